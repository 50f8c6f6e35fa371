"""Where a throw-away server runs, and what of it may differ from the plainest one."""

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
    """What a command begins with that is to run there."""
    ports: tuple[int, int] | None = None
    """Those of the API and of the cluster, where nobody else takes them."""
    program: Path | None = None
    """The server's program; by default the one that is installed."""
    socket: bool = False
    """Whether it is spoken to through a unix socket in the node's folder, and no port."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files a listener uses, and the authority its clients trust."""

    cert: Path
    key: Path
    ca: Path


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What may differ from the plainest node."""

    tls: TlsFiles | None = None
    listener: Mapping[str, Any] = field(default_factory=dict)
    """Further options of the TCP listener, such as `http_write_timeout`."""
    server: Mapping[str, Any] = field(default_factory=dict)
    """Further top-level settings, such as `seal` or `disable_standby_reads`."""
    files: tuple[str, ...] = ()
    """Further files of configuration, in the node's folder."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further variables of the server's."""
