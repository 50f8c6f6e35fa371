"""Check that this host can run scheduled drills, long before the first is due."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from raft_snapshot_agent.config.drill import DrillSettings
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.servers.private import require_isolation
from raft_snapshot_agent.servers.programs import find_server_program


def check_server(settings: DrillSettings) -> None:
    """Check that there is a server program.

    Raises:
        ConfigError: There is none.
    """
    find_server_program("", settings.server)


def check_roots(settings: DrillSettings) -> None:
    """Check that the roots of issuers are certificates.

    Raises:
        ConfigError: One is not, or the extra is missing.
    """
    for issuer in settings.issuers:
        issuer.read_roots()


def check_isolation(settings: DrillSettings) -> None:
    """Check that a copy which is unsealed can be isolated.

    Raises:
        AgentError: It cannot.
    """
    is_opened = settings.unseal.keys or settings.unseal.seal
    if is_opened and (error := _find_obstacle()) is not None:
        raise error


@cache
def _find_obstacle() -> AgentError | None:
    """Try it once for all clusters, as it starts a process."""
    try:
        with TemporaryDirectory() as folder:
            require_isolation(Path(folder))
    except AgentError as error:
        return error
    return None
