"""The folder that snapshots stream into: what killed runs left there, and how much room it has."""

from __future__ import annotations

import shutil
from pathlib import Path

from raft_snapshot_agent.servers.throw_away import sweep_throw_away_folders
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.transfer.spool import sweep


class SpoolFolder:
    """The folder, looked at when a run begins: asking a disk that hangs would hold up readers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.free: int | None = None
        """Free bytes in its file system, when it was last looked at."""

    async def sweep(self) -> frozenset[str]:
        """Remove what is left of killed runs; return which those were."""
        return await in_thread(self._sweep)

    def _sweep(self) -> frozenset[str]:
        sweep_throw_away_folders(self.path)
        left = sweep(self.path)
        try:
            self.free = shutil.disk_usage(self.path).free
        except OSError:  # the run will say so
            self.free = None
        return left
