"""What runs beside the loops of a daemon, as the configuration has it."""

from __future__ import annotations

from collections.abc import Callable

from raft_snapshot_agent.config.check import check_web
from raft_snapshot_agent.config.load import LoadedFleet
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.observe.board import Companion
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import Log


def open_companions(
    fleet: LoadedFleet, log: Log, take_now: Callable[[str | None], bool]
) -> tuple[Companion, ...]:
    """Return what runs beside the loops; what cannot begin is told, and costs no snapshot.

    Arguments:
        fleet: What is configured.
        log: Is told.
        take_now: Lets a cluster take a snapshot, or all.

    Raises:
        AgentError: The page cannot be served, and `web.required` says that it must.
    """
    return _open_web(fleet, log, take_now)


def _open_web(
    fleet: LoadedFleet, log: Log, take_now: Callable[[str | None], bool]
) -> tuple[Companion, ...]:
    if fleet.web is None:
        return ()
    faults: tuple[str, ...] = ()
    try:
        check_web(fleet.web, fleet.position)
        # Its libraries are needed only where it is configured.
        from raft_snapshot_agent.web.server import WebServer

        server = WebServer(fleet.web, log, take_now=take_now)
        server.listen()
    except AgentError as error:
        if fleet.web.required:
            raise
        faults = tuple(error.lines)
    for line in faults:
        what = f"No page is served; snapshots are taken all the same: {line}"
        log.error(what, fact=LogEvent.PAGE_NOT_SERVED)
    return () if faults else (server,)
