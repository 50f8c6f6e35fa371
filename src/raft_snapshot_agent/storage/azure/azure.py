"""Azure Blob Storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raft_snapshot_agent.core.leases.lease import StoredLeaseStore
from raft_snapshot_agent.storage.azure.account import find_account, read_connection_string
from raft_snapshot_agent.storage.azure.options import AzureOptions
from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.storage.objectstore.errors import Hints
from raft_snapshot_agent.storage.settings import StorageAddress

if TYPE_CHECKING:
    from raft_snapshot_agent.storage.azure.login import TokenCache
    from raft_snapshot_agent.storage.azure.store import AzureClient

_RIGHTS = "the role Storage Blob Data Contributor on the container, or a SAS with racwdl"
_ADDRESS = "check container, account_name and endpoint"


class AzureSettings(AzureOptions):
    """Snapshots in a container on Azure Blob Storage.

    Without credentials here, those of the environment are used: the AZURE_STORAGE_*
    variables, then a service principal, a workload identity, the Azure CLI if
    AZURE_USE_AZURE_CLI says so, and the managed identity of the instance.
    """

    def open(self) -> Storage:
        from raft_snapshot_agent.storage.azure.login import TokenCache
        from raft_snapshot_agent.storage.azure.storage import AzureObjects
        from raft_snapshot_agent.storage.http.bucket_storage import BucketLocation, BucketStorage

        location, cache = BucketLocation(self._url, self.prefix, "azure"), TokenCache()
        return BucketStorage(location, lambda: AzureObjects(connect(self, cache)))

    def check(self) -> None:
        """Check that an endpoint from the environment does not contain the container."""
        find_account(self, read_connection_string(self))

    def locate(self) -> StorageAddress:
        account = find_account(self, read_connection_string(self))
        return StorageAddress(account.endpoint, (self.container,), self.prefix)

    def lease_store(self, name: str) -> StoredLeaseStore:
        from raft_snapshot_agent.storage.azure.login import TokenCache
        from raft_snapshot_agent.storage.azure.storage import AzureObjects
        from raft_snapshot_agent.storage.http.lease_store import BucketLeaseStore
        from raft_snapshot_agent.storage.http.tagged_records import TaggedRecords

        key, cache = f"{self.prefix}{name}.json", TokenCache()

        def records() -> TaggedRecords:
            return TaggedRecords(AzureObjects(connect(self, cache)))

        return BucketLeaseStore(self._url, key, records)

    @property
    def _url(self) -> str:
        return f"az://{self.container}"


def connect(settings: AzureSettings, cache: TokenCache) -> AzureClient:
    """Return a client with the present credentials; no network I/O.

    Arguments:
        settings: Settings of the container and the login.
        cache: Keeps the token from one client to the next.

    Raises:
        ConfigError: The credentials cannot be read.
    """
    from raft_snapshot_agent.network.trust import TlsOptions
    from raft_snapshot_agent.storage.azure.identities import LOGIN_HINT
    from raft_snapshot_agent.storage.azure.login import choose_identity
    from raft_snapshot_agent.storage.azure.store import AzureClient, AzureContainer, AzureStore
    from raft_snapshot_agent.storage.http.http import Http

    said = read_connection_string(settings)
    account = find_account(settings, said)
    http = Http(settings.timeout, TlsOptions(settings.ca_file), settings.proxy)
    store = AzureStore(
        AzureContainer(account, settings.container, settings.timeout, settings.max_objects),
        choose_identity(settings, account.name, said, http, cache),
        Hints(rights=_RIGHTS, login=LOGIN_HINT, address=_ADDRESS),
        settings.access_tier,
    )
    return AzureClient(store, http)
