"""Google Cloud Storage."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator

from raft_snapshot_agent.core.lease import StoredRegister
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.storage.connection import (
    Endpoint,
    bare_endpoint,
    client_config,
    environment,
    refuse_plain_http,
    retry_config,
)
from raft_snapshot_agent.storage.endpoint import EndpointSettings
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.object_errors import Hints
from raft_snapshot_agent.storage.object_register import ObjectRegister
from raft_snapshot_agent.storage.objects import ObjectStorage, Place

if TYPE_CHECKING:
    from obstore.store import GCSConfig, GCSCredential, GCSCredentialProvider, GCSStore

_GOOGLE = "https://storage.googleapis.com"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]*")
_KMS_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")
_KMS_HEADER = "x-goog-encryption-kms-key-name"
_HINTS = Hints(
    rights="storage.objects.create and storage.objects.delete, and to list, read and prune "
    "storage.objects.list and storage.objects.get: the role Storage Object User",
    login="set service_account_file or GOOGLE_APPLICATION_CREDENTIALS, or give the instance "
    "a service account",
    address="check bucket and endpoint",
)
_WELL_KNOWN = ".config/gcloud/application_default_credentials.json"
_PLAIN = {"service_account", "authorized_user"}
"""The kinds of credentials that the library reads by itself."""


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

    Without a file of credentials those of the environment are used: what
    GOOGLE_APPLICATION_CREDENTIALS names, what gcloud left, or the service account that the
    metadata server of the instance or the pod speaks for.
    """

    type: Literal["gcs"]
    bucket: Annotated[str, AfterValidator(_bucket)]
    endpoint: Endpoint | None = None
    """Another than Google's; STORAGE_EMULATOR_HOST names one that wants no credentials."""
    service_account_file: Path | None = None
    """A service account's key, or any other file of credentials that Google's tools take."""
    kms_key_name: Annotated[str, AfterValidator(_kms_key)] | None = None
    """What new objects are encrypted with; the bucket's default when missing."""

    def open(self) -> Storage:
        return ObjectStorage(self._where(), partial(_connect, self), _sweep)

    def register(self, name: str) -> StoredRegister:
        return ObjectRegister(self._where(), partial(_connect, self), name)

    def _where(self) -> Place:
        return Place("google", f"gs://{self.bucket}", self.prefix, _HINTS)


def _connect(settings: GcsSettings, *, streaming: bool = False, writing: bool = False) -> GCSStore:
    from obstore.store import GCSStore

    emulator = None if settings.endpoint else _emulator(settings.allow_http)
    endpoint = settings.endpoint or emulator or _GOOGLE
    client = client_config(endpoint, settings.timeout, settings.ca_file, streaming=streaming)
    if writing and settings.kms_key_name is not None:
        client["default_headers"] = {_KMS_HEADER: settings.kms_key_name}
    config, provider = ({}, _nobody) if emulator else _login(settings)
    return GCSStore(
        settings.bucket,
        config={**config, "base_url": endpoint, "skip_signature": False},
        client_options=client,
        retry_config=retry_config(settings.timeout),
        credential_provider=provider,
    )


def _sweep(_leftovers: Leftovers) -> int:
    """Leave unfinished uploads to the bucket's life cycle: only the library has the token."""
    return 0


def _emulator(allow_http: bool | None) -> str | None:
    """Tell the emulator's address; Google's libraries take it with and without a scheme."""
    host = environment("STORAGE_EMULATOR_HOST")
    if host is None:
        return None
    try:
        address = bare_endpoint(host if "://" in host else f"http://{host}")
        refuse_plain_http(address, allow_http)
    except ValueError as error:
        raise ConfigError(f"STORAGE_EMULATOR_HOST: {error}") from error
    return address


def _nobody() -> GCSCredential:
    return {"token": "", "expires_at": None}


def _login(settings: GcsSettings) -> tuple[GCSConfig, GCSCredentialProvider | None]:
    """Choose whose credentials: those of a file, or those the library finds by itself."""
    path = settings.service_account_file or _default_credentials()
    if path is None:
        return {}, None
    document = _document(path)
    if document["type"] not in _PLAIN:
        from raft_snapshot_agent.storage.gcs_federation import federated

        return {}, federated(path, document)
    if settings.service_account_file is None:
        return {}, None
    if document["type"] == "service_account":
        return {"service_account": str(path)}, None
    return {"application_credentials": str(path)}, None


def _default_credentials() -> Path | None:
    """Find the file of the application default credentials, as the library does.

    Source: Google's AIP-4110.
    """
    named = environment("GOOGLE_APPLICATION_CREDENTIALS")
    if named is not None:
        return Path(named)
    home = environment("HOME")
    left_by_gcloud = Path(home or "/nonexistent") / _WELL_KNOWN
    return left_by_gcloud if left_by_gcloud.exists() else None


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        why = error.strerror
    except ValueError:
        why = "it is not JSON"
    else:
        if isinstance(document, dict) and "type" in document:
            return document
        why = "it does not say of which type they are"
    raise ConfigError(f"cannot read the Google credentials in {path}: {why}", hint=_HINTS.login)
