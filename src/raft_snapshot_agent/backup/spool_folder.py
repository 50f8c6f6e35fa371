"""The spool's folder: leftovers of killed runs, its free space, and its removal by others."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from raft_snapshot_agent.servers.throw_away import sweep_throw_away_folders
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.transfer.spool_files import sweep


class SpoolFolder:
    """The spool's folder, checked when a run begins, as a disk that hangs would block readers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.free: int | None = None
        """Free bytes of its file system at the last check."""

    async def sweep(self) -> frozenset[str]:
        """Remove leftovers of killed runs; return their run IDs.

        The folder itself is created again if a program that tidies up has removed it; its parents
        are not, as they may be on a disk that is not mounted.
        """
        return await in_thread(self._sweep)

    def _sweep(self) -> frozenset[str]:
        with suppress(OSError):  # the run reports it
            self.path.mkdir(mode=0o700, exist_ok=True)
        sweep_throw_away_folders(self.path)
        left = sweep(self.path)
        try:
            self.free = shutil.disk_usage(self.path).free
        except OSError:  # the run reports it
            self.free = None
        return left
