"""A container of OpenStack Swift, or of another store with its protocol.

A snapshot is a static large object: its segments are uploaded while it grows, hidden below
`.segments/`; the large object's manifest is stored last.
"""

from __future__ import annotations

from functools import cache, partial

from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.storage.settings import StorageAddress
from raft_snapshot_agent.storage.swift.options import SwiftOptions


class SwiftSettings(SwiftOptions):
    """Snapshots in a container of OpenStack Swift.

    Missing settings are read from the OS_* environment variables that OpenStack's RC files set.
    """

    def open(self) -> Storage:
        from raft_snapshot_agent.storage.http.bucket_storage import BucketLocation, BucketStorage
        from raft_snapshot_agent.storage.swift.objects import SwiftObjects

        location = BucketLocation(f"swift://{self.container}", self.prefix, "swift")
        objects = cache(partial(SwiftObjects.of, self))  # with the token that it holds
        return BucketStorage(location, objects)

    def locate(self) -> StorageAddress:
        from raft_snapshot_agent.storage.swift.login import locate_account

        server, account = locate_account(self)
        return StorageAddress(server, (*account, self.container), self.prefix)

    def check(self) -> None:
        """Check that the login is complete."""
        from raft_snapshot_agent.storage.swift.login import check_login

        check_login(self)
