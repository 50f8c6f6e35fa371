"""Amazon S3 and everything that speaks its protocol."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator

from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.storage.connection import (
    Endpoint,
    client_config,
    environment,
    environment_endpoint,
    refuse_plain_http,
    retry_config,
)
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.objects import ObjectStorage, Place
from raft_snapshot_agent.storage.settings import StorageSettings

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Credential, S3Store

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_RIGHTS = "s3:PutObject, and to list, read and prune s3:ListBucket, s3:GetObject, s3:DeleteObject"


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where a bucket answers."""

    endpoint: str
    """Scheme and host."""
    path: str
    """Empty where the bucket is part of the host."""
    region: str
    ca_file: Path | None
    timeout: timedelta

    @property
    def url(self) -> str:
        return self.endpoint + self.path


@dataclass(frozen=True, slots=True)
class Keys:
    """What requests are signed with."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def _bucket(bucket: str) -> str:
    if not _BUCKET.fullmatch(bucket):
        raise ValueError("must be the bare name of a bucket; folders in it belong into prefix")
    return bucket


class S3Settings(StorageSettings):
    """Snapshots in a bucket on Amazon S3 or on a store that speaks its protocol.

    What is missing here comes from the AWS_* environment variables, and credentials that are
    missing there too from the web identity, the container or the instance; where there is none of
    these it takes a few seconds to find that out.
    """

    type: Literal["s3"]
    bucket: Annotated[str, AfterValidator(_bucket)]
    region: str | None = None
    endpoint: Endpoint | None = None
    path_style: bool | None = None
    """`endpoint/bucket/key`, not `bucket.endpoint/key`; true for endpoints other than Amazon's."""
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    allow_http: bool | None = None
    """Whether an endpoint may go without TLS; true for one on loopback."""
    ca_file: Path | None = None
    """Certificates to trust beside the system's, in PEM."""
    server_side_encryption: Literal["AES256", "aws:kms"] | None = None
    kms_key_id: str | None = None

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key must be given together")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("session_token needs access_key_id and secret_access_key")
        if self.kms_key_id is not None and self.server_side_encryption != "aws:kms":
            raise ValueError("kms_key_id needs server_side_encryption: aws:kms")
        return self

    @model_validator(mode="after")
    def _encrypted_in_transit(self) -> Self:
        if self.endpoint is not None:
            refuse_plain_http(self.endpoint, self.allow_http)
        return self

    def open(self) -> Storage:
        place = Place("aws", f"s3://{self.bucket}", self.prefix, _RIGHTS)
        return ObjectStorage(place, partial(_connect, self), partial(_sweep, self))


def _connect(settings: S3Settings, *, streaming: bool = False) -> S3Store:
    from obstore.store import S3Store

    bucket = bucket_of(settings)
    keys = _given_keys(settings)
    return S3Store(
        settings.bucket,
        config=_store_config(settings, bucket),
        client_options=client_config(
            bucket.endpoint, bucket.timeout, bucket.ca_file, streaming=streaming
        ),
        retry_config=retry_config(bucket.timeout),
        # As plain keys they would be joined by a session token from the environment.
        credential_provider=None if keys is None else lambda: _credential(keys),
    )


def _sweep(settings: S3Settings, leftovers: Leftovers) -> int:
    from raft_snapshot_agent.storage import multipart

    keys = _given_keys(settings) or _environment_keys()
    if keys is None:  # a role's, which the library keeps to itself
        return 0
    uploads = multipart.Uploads(bucket_of(settings), keys)
    return multipart.sweep(uploads, settings.prefix, leftovers, datetime.now(UTC))


def bucket_of(settings: S3Settings) -> Bucket:
    """Find out where the bucket answers, from the settings and what the environment adds."""
    region = settings.region or environment("AWS_REGION", "AWS_DEFAULT_REGION") or "us-east-1"
    endpoint = urlsplit(_endpoint_of(settings) or _amazon(region))
    path_style = settings.path_style
    if path_style is None:  # no certificate covers the subdomain of a name with dots
        path_style = not _is_amazon(endpoint.hostname) or "." in settings.bucket
    host, path = endpoint.netloc, f"/{settings.bucket}"
    if not path_style:
        host, path = f"{settings.bucket}.{endpoint.netloc}", ""
    bundle = environment("AWS_CA_BUNDLE")
    ca_file = settings.ca_file or (Path(bundle) if bundle else None)
    return Bucket(f"{endpoint.scheme}://{host}", path, region, ca_file, settings.timeout)


def _endpoint_of(settings: S3Settings) -> str | None:
    return settings.endpoint or environment_endpoint(
        settings.allow_http, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"
    )


def _amazon(region: str) -> str:
    return f"https://s3.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")


def _is_amazon(host: str | None) -> bool:
    return host is not None and host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _given_keys(settings: S3Settings) -> Keys | None:
    if settings.access_key_id is None or settings.secret_access_key is None:
        return None
    token = settings.session_token
    return Keys(
        settings.access_key_id.resolve(),
        settings.secret_access_key.resolve(),
        None if token is None else token.resolve(),
    )


def _environment_keys() -> Keys | None:
    key, secret = environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY")
    return Keys(key, secret, environment("AWS_SESSION_TOKEN")) if key and secret else None


def _credential(keys: Keys) -> S3Credential:
    return {
        "access_key_id": keys.access_key_id,
        "secret_access_key": keys.secret_access_key,
        "token": keys.session_token,
        "expires_at": None,
    }


def _store_config(settings: S3Settings, bucket: Bucket) -> S3Config:
    config: S3Config = {
        "region": bucket.region,
        "endpoint": bucket.endpoint,
        "aws_endpoint_url_s3": bucket.endpoint,  # from the environment it would come first
        "virtual_hosted_style_request": not bucket.path,
        "unsigned_payload": False,  # the store shall check what arrives
    }
    if settings.server_side_encryption is not None:
        config["server_side_encryption"] = settings.server_side_encryption
    if settings.kms_key_id is not None:
        config["sse_kms_key_id"] = settings.kms_key_id
    return config
