"""Signatures of requests to S3.

Source: "Authenticating Requests: Using the Authorization Header" of the S3 API (AWS Signature
Version 4).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from raft_snapshot_agent.storage.objectstore.aws_profile import AwsCredentials

EMPTY = hashlib.sha256(b"").hexdigest()


def sign(
    method: str,
    url: str,
    region: str,
    keys: AwsCredentials,
    now: datetime,
    headers: Mapping[str, str] | None = None,
    digest: str = EMPTY,
) -> dict[str, str]:
    """Sign a request.

    Arguments:
        method: HTTP method.
        url: Encoded URL, with sorted parameters.
        region: Region of the bucket.
        keys: Keys to sign with.
        now: The present time.
        headers: Further headers, with names in lower case; those of Amazon are signed, too.
        digest: SHA-256 of the body, in hexadecimal.

    Returns:
        All headers to send.
    """
    parts = urlsplit(url)
    moment = f"{now:%Y%m%dT%H%M%SZ}"
    sent = dict(headers or {})
    sent |= {"host": parts.netloc, "x-amz-content-sha256": digest, "x-amz-date": moment}
    if keys.session_token:
        sent["x-amz-security-token"] = keys.session_token
    signed = sorted(name for name in sent if name == "host" or name.startswith("x-amz-"))
    names = ";".join(signed)
    lines = "".join(f"{name}:{' '.join(sent[name].split())}\n" for name in signed)
    request = "\n".join((method, parts.path or "/", parts.query, lines, names, digest))
    scope = f"{now:%Y%m%d}/{region}/s3/aws4_request"
    hashed = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashed}"
    key = f"AWS4{keys.secret_access_key}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{keys.access_key_id}/{scope}"
    sent["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    )
    return sent
