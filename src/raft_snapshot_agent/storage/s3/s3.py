"""Amazon S3 and stores with its protocol."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from raft_snapshot_agent.core.leases.lease import StoredLeaseStore
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.storage.objectstore.aws_profile import AwsCredentials, ambient_region
from raft_snapshot_agent.storage.objectstore.connection import environment, environment_endpoint
from raft_snapshot_agent.storage.objectstore.errors import Hints
from raft_snapshot_agent.storage.s3.bucket import S3Bucket
from raft_snapshot_agent.storage.s3.credentials import ambient_keys, profile
from raft_snapshot_agent.storage.s3.demands import Demands
from raft_snapshot_agent.storage.s3.endpoint import (
    amazon_endpoint,
    is_amazon,
    refuse_bucket_in,
    unify_amazon,
)
from raft_snapshot_agent.storage.s3.object_options import object_options
from raft_snapshot_agent.storage.s3.options import S3Options, what_to_leave_out
from raft_snapshot_agent.storage.settings import StorageAddress

if TYPE_CHECKING:
    from raft_snapshot_agent.storage.s3.store import S3Client

_HINTS = Hints(
    rights="s3:PutObject, and to list, read and prune s3:ListBucket, s3:GetObject, s3:DeleteObject",
    login="check access_key_id and secret_access_key, or the environment",
    address="check bucket, region and endpoint",
)


class S3Settings(S3Options):
    """Snapshots in a bucket on Amazon S3 or on a store that speaks its protocol.

    Missing settings are read from the AWS_* environment variables; missing credentials then from
    the default profile, the web identity, the container or the instance. If there are none at all,
    it takes a few seconds to find out.
    """

    def open(self) -> Storage:
        from raft_snapshot_agent.storage.http.bucket_storage import BucketLocation, BucketStorage
        from raft_snapshot_agent.storage.s3.storage import S3Objects

        demands = Demands(checksum=self.checksum)
        location = BucketLocation(f"s3://{self.bucket}", self.prefix, "aws")
        return BucketStorage(location, lambda: S3Objects(connect(self, demands)), demands.adapt_to)

    def locate(self) -> StorageAddress:
        return StorageAddress(unify_amazon(_find_endpoint(self)), (self.bucket,), self.prefix)

    def lease_store(self, name: str) -> StoredLeaseStore:
        from raft_snapshot_agent.storage.http.lease_store import BucketLeaseStore
        from raft_snapshot_agent.storage.http.tagged_records import TaggedRecords
        from raft_snapshot_agent.storage.s3.storage import S3Objects

        demands = Demands(checksum=self.checksum)
        url, key = f"s3://{self.bucket}", f"{self.prefix}{name}.json"

        def records() -> TaggedRecords:
            return TaggedRecords(S3Objects(connect(self, demands)))

        return BucketLeaseStore(url, key, records, demands.adapt_to)

    def check(self) -> None:
        """Check the profile, the customer key, and an endpoint from the environment."""
        if self.profile is not None:
            profile(self.profile).required_keys()
        object_options(self, checksum=False)
        try:
            refuse_bucket_in(_find_endpoint(self), self.bucket, self.path_style)
        except ValueError as error:
            raise ConfigError(str(error)) from error


def connect(settings: S3Settings, demands: Demands | None = None) -> S3Client:
    """Return a client with the present credentials; no network I/O.

    Arguments:
        settings: Settings of the bucket and the login.
        demands: Options that the store has demanded for uploads.

    Raises:
        ConfigError: The credentials cannot be read.
    """
    from raft_snapshot_agent.network.trust import TlsOptions
    from raft_snapshot_agent.storage.http.http import Http
    from raft_snapshot_agent.storage.s3.roles import RoleKeys
    from raft_snapshot_agent.storage.s3.store import S3Client, S3Store

    bucket = bucket_of(settings)
    http = Http(bucket.timeout, TlsOptions(bucket.ca_file, bucket.skip_verify), bucket.proxy)
    keys = keys_of(settings)
    checksum = settings.checksum if demands is None else demands.checksum
    if checksum is None:
        checksum = is_amazon(urlsplit(bucket.endpoint).hostname)
    store = S3Store(
        bucket,
        RoleKeys(http, bucket.region) if keys is None else lambda _doing: keys,
        replace(_HINTS, options=what_to_leave_out(settings)),
        object_options(settings, checksum=checksum),
        unsigned=demands is not None and not demands.signed and not checksum and bucket.is_trusted,
    )
    return S3Client(store, http)


def bucket_of(settings: S3Settings) -> S3Bucket:
    """Return the address of the bucket, from the settings and the environment."""
    endpoint = urlsplit(_find_endpoint(settings))
    path_style = settings.path_style
    if path_style is None:  # no certificate is valid for the subdomain of a name with dots
        path_style = not is_amazon(endpoint.hostname) or "." in settings.bucket
    host, path = endpoint.netloc, f"/{settings.bucket}"
    if not path_style:
        host, path = f"{settings.bucket}.{endpoint.netloc}", ""
    bundle = environment("AWS_CA_BUNDLE")
    return S3Bucket(
        endpoint=f"{endpoint.scheme}://{host}",
        path=path,
        region=_find_region(settings),
        ca_file=settings.ca_file or (Path(bundle) if bundle else None),
        timeout=settings.timeout,
        skip_verify=settings.skip_verify,
        proxy=settings.proxy,
        max_objects=settings.max_objects,
        name=settings.bucket,
    )


def _find_region(settings: S3Settings) -> str:
    if settings.region is not None:
        return settings.region
    found = ambient_region() if settings.profile is None else profile(settings.profile).region
    return found or "us-east-1"


def _find_endpoint(settings: S3Settings) -> str:
    """Return the endpoint: configured, from the environment, or Amazon's in the region."""
    given = settings.endpoint or environment_endpoint(
        settings.allow_http, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"
    )
    return given or amazon_endpoint(_find_region(settings))


def keys_of(settings: S3Settings) -> AwsCredentials | None:
    """Return static keys; `None` if a role is needed."""
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
