"""Start page, status socket and notifications of a daemon, as configured."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from raft_snapshot_agent.config.check import check_web
from raft_snapshot_agent.config.loaded import LoadedFleet
from raft_snapshot_agent.config.model import spool_folder
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.notify import AnyNotifier
from raft_snapshot_agent.observe.board import Companion, StatusBoard
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import Log, get_log
from raft_snapshot_agent.service.status_socket import StatusSocket

if TYPE_CHECKING:
    from raft_snapshot_agent.notify.notifications import Notifications


def open_companions(
    present: Callable[[], LoadedFleet], log: Log, take_now: Callable[[str | None], bool]
) -> tuple[Companion, ...]:
    """Open the configured companions of the loops; log those that cannot start.

    Arguments:
        present: Returns the active configuration, which a reload may replace.
        log: Where failures are logged.
        take_now: Requests a snapshot of one cluster, or of all.

    Raises:
        AgentError: The page cannot be served, and `web.required` says that it must.
    """
    fleet = present()
    socket = StatusSocket(fleet.first.path, os.environ, log)
    return (socket, LateNotifications(present), *open_page(fleet, log, take_now))


def open_page(
    fleet: LoadedFleet, log: Log, take_now: Callable[[str | None], bool]
) -> tuple[Companion, ...]:
    """Return the server of the page if it is configured and can start.

    Arguments:
        fleet: The configuration.
        log: Where failures are logged.
        take_now: Requests a snapshot of one cluster, or of all.

    Raises:
        AgentError: It cannot be served, and `web.required` says that it must.
    """
    if fleet.web is None:
        return ()
    faults: tuple[str, ...] = ()
    try:
        check_web(fleet.web, fleet.position)
        # Imported only if it is configured.
        from raft_snapshot_agent.web.server import WebServer

        server = WebServer(fleet.web, log, take_now=take_now)
        server.listen()
    except AgentError as error:
        if fleet.web.required:
            raise
        faults = tuple(error.lines)
    for line in faults:
        what = f"The page is not served, snapshots are not affected: {line}"
        log.error(what, fact=LogEvent.PAGE_NOT_SERVED)
    return () if faults else (server,)


class LateNotifications:
    """Send notifications; the code is imported once a notifier is configured."""

    def __init__(self, present: Callable[[], LoadedFleet]) -> None:
        """Prepare without importing anything.

        Arguments:
            present: Returns the active configuration, which a reload may replace.
        """
        self._present = present
        self._notifications: Notifications | None = None

    async def run(self, board: StatusBoard) -> None:
        """Run until it is cancelled."""
        version = board.version
        while not self._wanted():
            version = await board.wait_for_change(version)
        from raft_snapshot_agent.notify.memory_file import MemoryFile
        from raft_snapshot_agent.notify.notifications import Notifications

        if self._notifications is None:  # it remembers what was sent when it is run again
            fleet = self._present()
            file = MemoryFile(memory_folder(fleet), fleet.first.source)
            self._notifications = Notifications(self._wanted, get_log(), file)
        await self._notifications.run(board)

    def _wanted(self) -> tuple[AnyNotifier, ...]:
        return self._present().first.config.notify


def memory_folder(fleet: LoadedFleet) -> Path:
    """Return the folder for the state of notifications: systemd's state folder, else the
    spool's.
    """
    state = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(state) if state else spool_folder(fleet.first.config, os.environ)
