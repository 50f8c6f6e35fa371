"""Amazon S3 and everything that speaks its protocol."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from raft_snapshot_agent.core.lease import StoredLeaseStore
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.storage.base import Entry, Storage
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.objectstore.aws_profile import AwsCredentials, ambient_region
from raft_snapshot_agent.storage.objectstore.connection import (
    client_config,
    environment,
    environment_endpoint,
    retry_config,
)
from raft_snapshot_agent.storage.objectstore.errors import Hints
from raft_snapshot_agent.storage.objectstore.lease_store import ObjectLeaseStore
from raft_snapshot_agent.storage.objectstore.objects import BucketLocation, ObjectStorage
from raft_snapshot_agent.storage.s3.bucket import S3Bucket
from raft_snapshot_agent.storage.s3.credentials import ambient_keys, key_services, profile
from raft_snapshot_agent.storage.s3.endpoint import amazon_endpoint, is_amazon, refuse_bucket_in
from raft_snapshot_agent.storage.s3.options import S3Options, what_to_leave_out

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Store

    from raft_snapshot_agent.storage.s3.demands import Demands

_HINTS = Hints(
    rights="s3:PutObject, and to list, read and prune s3:ListBucket, s3:GetObject, s3:DeleteObject",
    login="check access_key_id and secret_access_key, or the environment",
    address="check bucket, region and endpoint",
)
_CUSTOMER_KEY = 32
"""Bytes."""


class S3Settings(S3Options):
    """Snapshots in a bucket on Amazon S3 or on a store that speaks its protocol.

    What is missing here comes from the AWS_* environment variables, and credentials that are
    missing there too from the default profile, the web identity, the container or the instance;
    where there is none of these it takes a few seconds to find that out.
    """

    def open(self) -> Storage:
        sweep, listed, demands = partial(_sweep, self), partial(_listed, self), self._demands()
        connect = partial(_connect, self, demands)
        return ObjectStorage(self._where(), connect, sweep, demands.heed, listed)

    def lease_store(self, name: str) -> StoredLeaseStore:
        demands = self._demands()
        return ObjectLeaseStore(self._where(), partial(_connect, self, demands), name, demands.heed)

    def check(self) -> None:
        """Make sure that an endpoint from the environment does not hold the bucket."""
        if endpoint := _endpoint_of(self):
            try:
                refuse_bucket_in(endpoint, self.bucket, self.path_style)
            except ValueError as error:
                raise ConfigError(str(error)) from error

    def _demands(self) -> Demands:
        from raft_snapshot_agent.storage.s3.demands import Demands

        return Demands(partial(bucket_of, self), checksum=self.checksum)

    def _where(self) -> BucketLocation:
        hints = replace(_HINTS, options=what_to_leave_out(self))
        url, more = f"s3://{self.bucket}", (self.storage_class, self.tags, self.proxy)
        return BucketLocation("aws", url, self.prefix, hints, *more)


def _connect(
    settings: S3Settings,
    demands: Demands,
    *,
    streaming: bool = False,
    writing: bool = False,  # noqa: ARG001 - any of its clients may write
) -> S3Store:
    from obstore.store import S3Store

    bucket = bucket_of(settings)
    keys = keys_of(settings)
    others = key_services(bucket.region) if keys is None else ()
    return S3Store(
        settings.bucket,
        config=_store_config(settings, bucket, demands.checksum),
        client_options=_client_options(bucket, streaming=streaming, others=others),
        retry_config=retry_config(bucket.timeout),
        # As plain keys they would be joined by a session token from the environment.
        credential_provider=None if keys is None else keys.credential,
    )


def _sweep(settings: S3Settings, leftovers: Leftovers) -> int:
    from raft_snapshot_agent.storage.s3 import multipart

    if (keys := keys_of(settings)) is None:  # a role's, which the library keeps to itself
        return 0
    uploads = multipart.Uploads(bucket_of(settings), keys)
    return multipart.sweep(uploads, settings.prefix, leftovers, datetime.now(UTC))


def _listed(settings: S3Settings, doing: str) -> list[Entry] | None:
    from raft_snapshot_agent.storage.s3.listing import list_bucket

    if (keys := keys_of(settings)) is None:  # a role's, which the library keeps to itself
        return None
    return list_bucket(doing, bucket_of(settings), keys, settings.prefix, _HINTS)


def bucket_of(settings: S3Settings) -> S3Bucket:
    """Find out where the bucket answers, from the settings and what the environment adds."""
    region = settings.region or _region(settings) or "us-east-1"
    endpoint = urlsplit(_endpoint_of(settings) or amazon_endpoint(region))
    path_style = settings.path_style
    if path_style is None:  # no certificate covers the subdomain of a name with dots
        path_style = not is_amazon(endpoint.hostname) or "." in settings.bucket
    host, path = endpoint.netloc, f"/{settings.bucket}"
    if not path_style:
        host, path = f"{settings.bucket}.{endpoint.netloc}", ""
    bundle = environment("AWS_CA_BUNDLE")
    return S3Bucket(
        endpoint=f"{endpoint.scheme}://{host}",
        path=path,
        region=region,
        ca_file=settings.ca_file or (Path(bundle) if bundle else None),
        timeout=settings.timeout,
        skip_verify=settings.skip_verify,
        proxy=settings.proxy,
        max_objects=settings.max_objects,
    )


def _region(settings: S3Settings) -> str | None:
    return ambient_region() if settings.profile is None else profile(settings.profile).region


def _endpoint_of(settings: S3Settings) -> str | None:
    return settings.endpoint or environment_endpoint(
        settings.allow_http, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"
    )


def keys_of(settings: S3Settings) -> AwsCredentials | None:
    """Find static keys; nothing where the library has to find a role's."""
    if settings.profile is not None:
        return profile(settings.profile).required_keys()
    if settings.access_key_id is None or settings.secret_access_key is None:
        return ambient_keys()
    token = settings.session_token
    return AwsCredentials(
        settings.access_key_id.resolve(),
        settings.secret_access_key.resolve(),
        None if token is None else token.resolve(),
    )


def _store_config(settings: S3Settings, bucket: S3Bucket, checksum: bool | None) -> S3Config:
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
    if settings.bucket_key_enabled is not None:
        config["sse_bucket_key_enabled"] = settings.bucket_key_enabled
    if settings.sse_customer_key is not None:
        config["server_side_encryption"] = "sse-c"
        config["sse_customer_key_base64"] = _customer_key(settings.sse_customer_key)
    host = urlsplit(bucket.endpoint).hostname
    if is_amazon(host) if checksum is None else checksum:
        config["checksum_algorithm"] = "sha256"
    return config


def _customer_key(key: Secret) -> str:
    text, length = key.resolve(), 0
    with suppress(ValueError):
        length = len(b64decode(text, validate=True))
    if length != _CUSTOMER_KEY:
        raise ConfigError(
            "sse_customer_key is not 32 bytes in base64", hint="make one: openssl rand -base64 32"
        )
    return text


def _client_options(
    bucket: S3Bucket, *, streaming: bool, others: Iterable[str] = ()
) -> ClientConfig:
    options = client_config(
        bucket.endpoint,
        bucket.timeout,
        bucket.ca_file,
        streaming=streaming,
        proxy=bucket.proxy,
        others=others,
    )
    if bucket.skip_verify:
        options["allow_invalid_certificates"] = True
    return options
