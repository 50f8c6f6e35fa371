"""Where a throw-away server runs, and its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raft_snapshot_agent.servers.process import LOOPBACK


@dataclass(frozen=True, slots=True)
class NodeHost:
    """Where a node runs."""

    address: str = LOOPBACK
    enter: tuple[str, ...] = ()
    """Prefix of commands that run there."""
    ports: tuple[int, int] | None = None
    """Ports of API and cluster, if no other process on that host can take them."""
    program: Path | None = None
    """Program of the server; by default the installed one."""
    socket: bool = False
    """Whether its API is on a unix socket in the node's folder instead of a port."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of a listener, and the authority its clients trust."""

    cert: Path
    key: Path
    ca: Path


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """Options of a node."""

    tls: TlsFiles | None = None
    listener: Mapping[str, Any] = field(default_factory=dict)
    """Further options of the TCP listener, such as `http_write_timeout`."""
    server: Mapping[str, Any] = field(default_factory=dict)
    """Further top-level settings, such as `seal` or `disable_standby_reads`."""
    files: tuple[str, ...] = ()
    """Further configuration files in the node's folder."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further environment variables of the server."""
