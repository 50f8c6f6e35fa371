"""A server on this host that only this process can speak to, and that can speak to nobody."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.servers import closed
from raft_snapshot_agent.servers.node import NodeHost, NodeOptions, OpenBaoNode
from raft_snapshot_agent.servers.programs import find_bundled_program

OPEN = (
    "the server is not isolated: it can reach other hosts and revoke what production uses, and"
    " other users of this host can reach its port, though they receive no key"
)
"""What is not promised where this host gives no namespaces."""
_PORTS = (8200, 8201)
# Vault wants to lock memory, which needs a capability that nothing in there has.
_OPTIONS = NodeOptions(server={"disable_mlock": True})
_PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Isolation:
    """Whether a server can be closed in here, and why not."""

    works: bool
    why: str = ""


def isolation(folder: Path) -> Isolation:
    """Try whether a program can be closed in, in an empty folder of ours."""
    shell = ["/bin/sh", "-c", "exit 0"]
    try:
        tried = subprocess.run(
            [*_enter(folder), *shell],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Isolation(works=False, why=type(error).__name__)
    why = " ".join(tried.stderr.split())[-200:] or f"status {tried.returncode}"
    return Isolation(tried.returncode == 0, "" if tried.returncode == 0 else why)


def private_node(
    name: str, folder: Path, *, must_be_closed: bool, program: Path | None = None
) -> OpenBaoNode:
    """Make a server that is spoken to through a socket in its folder, which nobody else enters.

    A port could be taken by another user between two starts, and would then receive the keys.

    Arguments:
        name: Its name.
        folder: Its own, empty and in a folder of ours.
        must_be_closed: Whether it may reach nobody: it is to hold what production holds.
        program: The server's; by default the OpenBao that is installed.

    Raises:
        ConfigError: It cannot be closed in here, or OpenBao is not installed.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    program = program or find_bundled_program()
    found = isolation(folder)
    if found.works:
        host = NodeHost(enter=_enter(folder), ports=_PORTS, program=program, socket=True)
    elif must_be_closed:
        raise ConfigError(
            f"a restored copy cannot be isolated on this host: {found.why}",
            hint="allow user namespaces (sysctl user.max_user_namespaces, or the container's"
            " profile), or use a host or pod without network",
        )
    else:
        host = NodeHost(program=program, socket=True)
    return OpenBaoNode(name, folder, _OPTIONS, host)


def _enter(folder: Path) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", closed.__file__, str(folder))
