"""Settings of a bucket on S3, and which options not every store supports."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, WithJsonSchema, model_validator

from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.storage.objectstore.endpoint import EndpointSettings
from raft_snapshot_agent.storage.s3.endpoint import refuse_bucket_in

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_REGION = re.compile(r"[A-Za-z0-9._-]+")
_NOT_EVERYWHERE = (
    "storage_class",
    "tags",
    "server_side_encryption",
    "sse_customer_key",
    "checksum",
)


def _bucket(bucket: str) -> str:
    if not _BUCKET.fullmatch(bucket):
        raise ValueError("must be the bare name of a bucket; folders in it belong into prefix")
    return bucket


def _region(name: str) -> str:
    if not _REGION.fullmatch(name):
        raise ValueError("must be the name of a region, such as eu-central-1")
    return name


def _tags(tags: dict[str, str]) -> dict[str, str]:
    """Check tags by the rules of Amazon S3, "Categorizing your storage using tags"."""
    if len(tags) > 10:
        raise ValueError("an object has at most ten tags")
    for key, value in tags.items():
        if not (0 < len(key) <= 128 and len(value) <= 256):
            raise ValueError("a tag's key has 1 to 128 characters, its value at most 256")
        if not all(one.isalnum() or one in " +-=._:/@" for one in key + value):
            raise ValueError("a tag takes letters, digits, spaces and + - = . _ : / @")
    return tags


TagValue = Annotated[str, WithJsonSchema({"type": "string", "minLength": 0})]


class S3Options(EndpointSettings):
    """Settings of one bucket: address, credentials, and options of its objects."""

    type: Literal["s3"]
    bucket: Annotated[str, AfterValidator(_bucket)]
    region: Annotated[str, AfterValidator(_region)] | None = None
    path_style: bool | None = None
    """Use `endpoint/bucket/key`, not `bucket.endpoint/key`; by default true except for Amazon."""
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    profile: str | None = None
    """Profile in the shared files of the AWS SDK, instead of keys."""
    skip_verify: bool = False
    """Accept any certificate. For tests only."""
    storage_class: str | None = None
    tags: Annotated[dict[str, TagValue], AfterValidator(_tags)] = {}  # noqa: RUF012 - it is copied
    server_side_encryption: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = None
    kms_key_id: str | None = None
    bucket_key_enabled: bool | None = None
    sse_customer_key: Secret | None = None
    """256-bit key in base64, with which the store encrypts without keeping it (SSE-C)."""
    checksum: bool | None = None
    """Send a SHA-256 for the store to keep; by default to Amazon and stores that require it."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key must be given together")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("session_token needs access_key_id and secret_access_key")
        if self.profile is not None and self.access_key_id is not None:
            raise ValueError("give profile or access_key_id and secret_access_key, not both")
        if self.endpoint is not None:
            refuse_bucket_in(self.endpoint, self.bucket, self.path_style)
        return self

    @model_validator(mode="after")
    def _one_encryption(self) -> Self:
        encryption = self.server_side_encryption or ""
        if self.kms_key_id is not None and not encryption.startswith("aws:kms"):
            raise ValueError("kms_key_id needs server_side_encryption: aws:kms")
        if self.bucket_key_enabled is not None and not encryption.startswith("aws:kms"):
            raise ValueError("bucket_key_enabled needs server_side_encryption: aws:kms")
        if self.sse_customer_key is not None and encryption:
            raise ValueError("give sse_customer_key or server_side_encryption, not both")
        return self


def what_to_leave_out(settings: S3Options) -> str:
    """Return the hint for a store that does not support an option."""
    if given := [key for key in _NOT_EVERYWHERE if getattr(settings, key)]:
        return f"likely an option this store does not know: try without {', '.join(given)}"
    return "look at what this store supports"
