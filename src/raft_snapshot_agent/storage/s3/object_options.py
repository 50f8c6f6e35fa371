"""Headers that set options of an object in S3."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.secret import Secret

if TYPE_CHECKING:
    from raft_snapshot_agent.storage.s3.options import S3Options

_ENCRYPTION = "x-amz-server-side-encryption"
_CUSTOMER_KEY = 32
"""Bytes."""


@dataclass(frozen=True, slots=True)
class ObjectOptions:
    """Headers of requests for an object."""

    created: Mapping[str, str] = field(default_factory=dict)
    """Headers of requests that create an object."""
    of_access: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Headers of requests that create it, upload its parts, or read it."""
    storage_class: str | None = None
    checksum: bool = False
    """Whether a SHA-256 is sent, which the store keeps."""

    def of_new(self, *, plain: bool) -> dict[str, str]:
        """Return the headers of a new object; with `plain`, in the default storage class.

        Files beside a snapshot are read by every command, so they are not archived.
        """
        kept = (
            {} if plain or not self.storage_class else {"x-amz-storage-class": self.storage_class}
        )
        return {**self.created, **self.of_access, **kept}


def object_options(settings: S3Options, *, checksum: bool) -> ObjectOptions:
    """Convert the settings to headers.

    Raises:
        ConfigError: The customer key is not valid.

    Source: `PutObject` and `UploadPart` of the S3 API.
    """
    created: dict[str, str] = {}
    if settings.tags:
        created["x-amz-tagging"] = urlencode(settings.tags, quote_via=quote, safe="")
    if settings.server_side_encryption is not None:
        created[_ENCRYPTION] = settings.server_side_encryption
    if settings.kms_key_id is not None:
        created[f"{_ENCRYPTION}-aws-kms-key-id"] = settings.kms_key_id
    if settings.bucket_key_enabled is not None:
        enabled = str(settings.bucket_key_enabled).lower()
        created[f"{_ENCRYPTION}-bucket-key-enabled"] = enabled
    access = _of_customer(settings.sse_customer_key) if settings.sse_customer_key else {}
    return ObjectOptions(created, access, settings.storage_class, checksum)


def _of_customer(key: Secret) -> dict[str, str]:
    text, raw = key.resolve(), b""
    with suppress(ValueError):
        raw = b64decode(text, validate=True)
    if len(raw) != _CUSTOMER_KEY:
        raise ConfigError(
            "sse_customer_key is not 32 bytes in base64", hint="make one: openssl rand -base64 32"
        )
    digest = hashlib.md5(raw, usedforsecurity=False).digest()
    return {
        f"{_ENCRYPTION}-customer-algorithm": "AES256",
        f"{_ENCRYPTION}-customer-key": text,
        f"{_ENCRYPTION}-customer-key-md5": b64encode(digest).decode(),
    }
