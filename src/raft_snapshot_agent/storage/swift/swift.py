"""A container of OpenStack Swift, or of another store that speaks its protocol.

A snapshot is a static large object: its segments are uploaded while it grows, out of sight below
`.segments/`, and the manifest that makes an object of them comes last.
"""

from __future__ import annotations

from functools import cache, partial

from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.storage.swift.options import SwiftOptions


class SwiftSettings(SwiftOptions):
    """Snapshots in a container of OpenStack Swift.

    What is missing here comes from the OS_* environment variables that OpenStack's RC files set.
    """

    def open(self) -> Storage:
        from raft_snapshot_agent.storage.http.bucket_storage import BucketLocation, BucketStorage
        from raft_snapshot_agent.storage.swift.objects import SwiftObjects

        location = BucketLocation(f"swift://{self.container}", self.prefix, "swift")
        objects = cache(partial(SwiftObjects.of, self))  # with the token that it holds
        return BucketStorage(location, objects)

    def check(self) -> None:
        """Make sure that there is something to log in with."""
        from raft_snapshot_agent.storage.swift.login import check_login

        check_login(self)
