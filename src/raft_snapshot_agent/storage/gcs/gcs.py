"""Google Cloud Storage, by its JSON API."""

from __future__ import annotations

import re
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, ValidationInfo, field_validator

from raft_snapshot_agent.core.leases.lease import StoredLeaseStore
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.network.clear_text import refuse_plain_http
from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.storage.gcs.objects import GcsObjects
from raft_snapshot_agent.storage.objectstore.connection import Endpoint, bare_endpoint, environment
from raft_snapshot_agent.storage.objectstore.endpoint import EndpointSettings
from raft_snapshot_agent.storage.settings import StorageAddress

if TYPE_CHECKING:
    from raft_snapshot_agent.storage.gcs.bucket import GcsBucket

T = TypeVar("T")

_GOOGLE = "https://storage.googleapis.com"
_GOOGLES_HOST = "storage.googleapis.com"
_GOOGLES_HOSTS = ".googleapis.com"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]*")
_KMS_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")


def _bucket(bucket: str) -> str:
    if not _BUCKET.fullmatch(bucket):
        raise ValueError("must be the bare name of a bucket: no gs://, folders belong into prefix")
    return bucket


def _kms_key(name: str) -> str:
    if not _KMS_KEY.fullmatch(name):
        raise ValueError("must be projects/.../locations/.../keyRings/.../cryptoKeys/...")
    return name


class GcsSettings(EndpointSettings):
    """Snapshots in a bucket on Google Cloud Storage.

    Without a credentials file, those of the environment are used: the file in
    GOOGLE_APPLICATION_CREDENTIALS, gcloud's file, or the service account of the instance or pod
    from the metadata server.
    """

    type: Literal["gcs"]
    bucket: Annotated[str, AfterValidator(_bucket)]
    endpoint: Endpoint | None = None
    """Endpoint other than Google's; STORAGE_EMULATOR_HOST sets one without credentials."""
    service_account_file: Path | None = None
    """Key of a service account, or any other credentials file accepted by Google's tools."""
    anonymous: bool = False
    """Whether to send no credentials, for emulators."""
    kms_key_name: Annotated[str, AfterValidator(_kms_key)] | None = None
    """KMS key of new objects; by default that of the bucket."""
    storage_class: Literal["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"] | None = None
    """Storage class of snapshots; the small files beside them use the bucket's default."""

    @field_validator("endpoint")
    @classmethod
    def _of_the_service(cls, endpoint: str | None) -> str | None:
        if urlsplit(endpoint or "").netloc.endswith(f".{_GOOGLES_HOST}"):
            raise ValueError(f"must not hold the bucket: use {_GOOGLE}")
        return endpoint

    @field_validator("bucket")
    @classmethod
    def _said_once(cls, bucket: str, info: ValidationInfo) -> str:
        """Refuse an endpoint that contains the bucket, which would become a folder."""
        url = urlsplit(info.data.get("endpoint") or "")
        if url.netloc.startswith(f"{bucket}.") and url.netloc != _GOOGLES_HOST:
            mend = f"{url.scheme}://{url.netloc.removeprefix(f'{bucket}.')}"
            raise ValueError(f"is in endpoint, too: use endpoint: {mend}")
        return bucket

    @field_validator("anonymous")
    @classmethod
    def _or_with_credentials(cls, anonymous: bool, info: ValidationInfo) -> bool:
        if anonymous and info.data.get("service_account_file") is not None:
            raise ValueError("sends no credentials: take it or service_account_file away")
        return anonymous

    def check(self) -> None:
        """Check that the credentials file can be used, here or in the environment."""
        if self.anonymous or _find_emulator(self):
            return
        from raft_snapshot_agent.storage.gcs.login import check_credentials, find_default_file

        if file := self.service_account_file or find_default_file():
            check_credentials(file)

    def open(self) -> Storage:
        from raft_snapshot_agent.storage.gcs.bucket import GENERATION
        from raft_snapshot_agent.storage.http.bucket_storage import BucketLocation, BucketStorage

        place = BucketLocation(f"gs://{self.bucket}", self.prefix, "google", GENERATION)
        bucket = cache(partial(_connect, self))  # with the token that it holds
        return BucketStorage(place, lambda: GcsObjects(bucket(), self.storage_class))

    def locate(self) -> StorageAddress:
        """Return the address; a bucket of Google's is the same at each of Google's hosts."""
        endpoint = _find_endpoint(self)
        is_googles = (urlsplit(endpoint).hostname or "").endswith(_GOOGLES_HOSTS)
        return StorageAddress(_GOOGLE if is_googles else endpoint, (self.bucket,), self.prefix)

    def lease_store(self, name: str) -> StoredLeaseStore:
        from raft_snapshot_agent.storage.gcs.lease_store import GcsRecords
        from raft_snapshot_agent.storage.http.lease_store import BucketLeaseStore

        key = f"{self.prefix}{name}.json"
        return BucketLeaseStore(f"gs://{self.bucket}", key, lambda: GcsRecords(_connect(self)))


def _connect(settings: GcsSettings) -> GcsBucket:
    from raft_snapshot_agent.network.trust import TlsOptions
    from raft_snapshot_agent.storage.gcs.bucket import GcsBucket, GcsIdentity, Nobody
    from raft_snapshot_agent.storage.gcs.login import GcsLogin
    from raft_snapshot_agent.storage.http.http import Http

    http = Http(settings.timeout, TlsOptions(settings.ca_file), settings.proxy)
    identity: GcsIdentity = Nobody()
    if not (settings.anonymous or _find_emulator(settings)):
        identity = GcsLogin(http, settings.service_account_file)
    endpoint = _find_endpoint(settings)
    return GcsBucket(
        settings.bucket, endpoint, http, identity, settings.kms_key_name, settings.max_objects
    )


def _find_endpoint(settings: GcsSettings) -> str:
    return settings.endpoint or _find_emulator(settings) or _GOOGLE


def _find_emulator(settings: GcsSettings) -> str | None:
    """Return the emulator's address; Google's libraries accept it with or without a scheme.

    An endpoint or credentials in the settings are for another place.
    """
    host = environment("STORAGE_EMULATOR_HOST")
    if settings.endpoint or settings.service_account_file or host is None:
        return None
    try:
        address = bare_endpoint(host if "://" in host else f"http://{host}")
        refuse_plain_http(address, settings.allow_http)
    except ValueError as error:
        raise ConfigError(f"STORAGE_EMULATOR_HOST: {error}") from error
    return address
