"""Whether the agent could log in again, told while its token still lives."""

from __future__ import annotations

from raft_snapshot_agent.intake import as_failure
from raft_snapshot_agent.logs import Log
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.leader import Cluster


class LoginCheck:
    """Tells of a login that would fail when that begins, at each further try, and when it ends."""

    def __init__(self) -> None:
        self._failures = 0

    async def tried(self, cluster: Cluster, log: Log) -> None:
        """Try the login, if that is due; nothing is raised."""
        try:
            works = await in_thread(cluster.try_login, abandon=True)
        except Exception as error:  # noqa: BLE001 - the token in use is good
            self._failures += 1
            why = as_failure(error)
            log.warning(
                f"A new login would fail: {why}. Snapshots go on until the present token ends."
            )
            return
        if works and self._failures:
            log.info(f"A new login works again; it failed {self._failures} times.")
        self._failures = 0 if works else self._failures
