"""An isolated server: reachable only by this process, without network access."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from raft_snapshot_agent.errors import ConfigError, ServerError, reason_of
from raft_snapshot_agent.host_limits import find_limit, starting_program
from raft_snapshot_agent.servers import closed
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.node_options import NodeHost, NodeOptions
from raft_snapshot_agent.servers.programs import find_bundled_program
from raft_snapshot_agent.servers.relay import Reachable, Relay

_PORTS = (8200, 8201)
# By default Vault locks memory, which needs a capability that isolated processes lack.
_OPTIONS = NodeOptions(server={"disable_mlock": True})
_PATIENCE = 20.0
_SEAL = "seal.hcl"
_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where Go programs look for trusted authorities."""


@dataclass(frozen=True, slots=True)
class KmsSeal:
    """A KMS seal, which unseals a server without keys, and how it is reached."""

    stanza: bytes = field(repr=False)
    """Stanza of the server's configuration: `seal "..." {...}`."""
    reachable: tuple[Reachable, ...] = ()
    """The KMS."""
    files: tuple[Path, ...] = ()
    """Files named in the stanza."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Environment variables with the credentials."""

    def relay(self, folder: Path) -> Relay:
        """Return the relay to the KMS for a server in this folder."""
        authorities = [Path(path) for path in _AUTHORITIES if Path(path).is_file()]
        return Relay(folder, self.reachable, [*self.files, *authorities])

    def install(self, node: OpenBaoNode) -> None:
        """Have a server use this seal from its next start on, while the relay is open."""
        stanza = node.folder / _SEAL
        stanza.touch(mode=0o600)
        stanza.write_bytes(self.stanza)
        node.options = replace(_OPTIONS, files=(_SEAL,), environment=self.environment)


@dataclass(frozen=True, slots=True)
class Isolation:
    """Whether a server can be isolated on this host, and why not."""

    works: bool
    why: str = ""


def isolation(folder: Path) -> Isolation:
    """Test, in an empty folder, whether a program can be isolated.

    Raises:
        ServerError: A limit of this host prevents the test.
    """
    shell = ["/bin/sh", "-c", "exit 0"]
    try:
        with starting_program():
            tried = subprocess.run(
                [*_enter(folder), *shell],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        if find_limit(error):
            raise ServerError(f"cannot start {sys.executable}: {reason_of(error)}") from error
        return Isolation(works=False, why=type(error).__name__)
    why = " ".join(tried.stderr.split())[-200:] or f"status {tried.returncode}"
    return Isolation(tried.returncode == 0, "" if tried.returncode == 0 else why)


def require_isolation(folder: Path) -> None:
    """Test, in an empty folder, whether a restored copy can be isolated.

    Raises:
        ConfigError: It cannot.
        ServerError: A limit of this host prevents the test.
    """
    found = isolation(folder)
    if not found.works:
        raise ConfigError(
            f"a restored copy cannot be isolated on this host: {found.why}",
            hint="allow user namespaces (RestrictNamespaces= of the systemd unit, sysctl"
            " user.max_user_namespaces, or the container's profile), or use a host or pod without"
            " network",
        )


def private_node(
    name: str,
    folder: Path,
    *,
    must_be_isolated: bool,
    program: Path | None = None,
) -> OpenBaoNode:
    """Return a server whose API is on a socket in its private folder.

    Another user could take a port between two starts, and would then receive the keys.

    Arguments:
        name: Name of the server.
        folder: Its empty folder, inside a private folder.
        must_be_isolated: Whether isolation is required, as for restored production data.
        program: Program of the server; by default the installed OpenBao.

    Raises:
        ConfigError: It cannot be isolated on this host, or OpenBao is not installed.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    program = program or find_bundled_program()
    if must_be_isolated:
        require_isolation(folder)
    if must_be_isolated or isolation(folder).works:
        host = NodeHost(enter=_enter(folder), ports=_PORTS, program=program, socket=True)
    else:
        host = NodeHost(program=program, socket=True)
    return OpenBaoNode(name, folder, _OPTIONS, host)


def _enter(folder: Path) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", closed.__file__, str(folder))
