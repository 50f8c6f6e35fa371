"""Encodes an object and its metadata in the body of one request."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping

JSON = "application/json; charset=UTF-8"
BYTES = "application/octet-stream"


def two_parts(metadata: Mapping[str, str], content: bytes) -> tuple[str, bytes]:
    """Return the content type and the body.

    Source: "Upload an object from memory" of Cloud Storage's documentation.
    """
    boundary = secrets.token_hex(16)
    body = (
        f"--{boundary}\r\ncontent-type: {JSON}\r\n\r\n{json.dumps(metadata)}\r\n"
        f"--{boundary}\r\ncontent-type: {BYTES}\r\n\r\n"
    ).encode()
    body += content + f"\r\n--{boundary}--\r\n".encode()
    return f"multipart/related; boundary={boundary}", body
