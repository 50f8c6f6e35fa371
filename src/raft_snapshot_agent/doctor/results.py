"""The result of a check, and the context that all checks share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.core.state.holding import Holding
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.leader import Cluster


class Status(StrEnum):
    """The status of a check."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check."""

    check: str
    status: Status
    message: str
    advice: str = ""
    exit_code: int = 0
    """Its contribution to the exit code; 0 unless it is a failure."""


@dataclass(slots=True)
class CheckContext:
    """The configuration to check, and the findings of earlier checks."""

    config: Config
    environ: Mapping[str, str]
    destinations: Sequence[Destination]
    cluster: Cluster
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    node: Node | None = None
    """The node to log in to: one that answered, preferably the leader."""
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    """The operator's own file from which the token is, which the daemon never uses."""
    told_of_token: Mapping[str, Any] = field(default_factory=dict)
    """What the server tells of a given token."""
    answered: set[str] = field(default_factory=set)
    """Addresses at which a server answered, so TLS succeeded there."""
    leaders: set[str] = field(default_factory=set)
    """Addresses of leaders as other nodes report them."""
    stands_by: bool = False
    """Whether another member's agent is responsible."""
    tell: Callable[[str], None] = lambda _: None
    """Reports what can no longer be part of a result."""
    holdings: Sequence[Holding] = ()
    """The content of the storages, once listed."""
    phase: timedelta = timedelta(0)
    """The configured delay of this cluster after the first of several."""
    source: str = "it"
    """The source of the configuration."""
    cautions: Sequence[str] = ()
    """Warnings: valid settings that may not be intended."""


Check = Callable[[CheckContext], Awaitable[list[CheckResult]]]


def failure(check: str, error: AgentError) -> CheckResult:
    """Convert an error to the result of a check."""
    return CheckResult(check, Status.FAILURE, error.message, error.hint, error.exit_code or 1)


def success(check: str, message: str) -> CheckResult:
    """Report a check that passed."""
    return CheckResult(check, Status.SUCCESS, message)


def warning(check: str, message: str, advice: str) -> CheckResult:
    """Report something that should be changed but is not a failure."""
    return CheckResult(check, Status.WARNING, message, advice)


def skipped(check: str, why: str) -> CheckResult:
    """Report a check that was skipped, and why."""
    return CheckResult(check, Status.SKIPPED, why)
