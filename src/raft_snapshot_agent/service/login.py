"""Renew the token, and test whether a new login would succeed."""

from __future__ import annotations

from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.leader import Cluster


async def try_login(cluster: Cluster) -> list[str] | None:
    """Try the login if that is due. Raises nothing.

    Returns:
        The error, if any: empty after a success; `None` if none was due.
    """
    if not cluster.is_login_check_due:
        return None  # of thousands of clusters, each would start a thread for nothing
    try:
        tried = await in_thread(cluster.try_login, abandon=True)
    except Exception as error:  # noqa: BLE001 - the token in use is good
        why = as_failure(error)
        what = "Snapshots continue only while the present token is valid."
        return [f"A new login would fail: {why}. {what}"]
    return [] if tried else None


async def renew_token(cluster: Cluster) -> list[str]:
    """Renew the token before it expires; return the error, if any. Raises nothing."""
    if cluster.session.seconds_to_renewal() > 0:
        return []
    try:
        await in_thread(cluster.keep_token, abandon=True)
    except Exception as error:  # noqa: BLE001 - the next run logs in again
        return [f"The token could not be renewed: {as_failure(error)}"]
    return []
