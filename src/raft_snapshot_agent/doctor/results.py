"""What a check finds, and what it is told about the patient."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.core.state.holding import Holding
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.leader import Cluster


class Status(StrEnum):
    """How a check ended."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found."""

    check: str
    status: Status
    message: str
    advice: str = ""
    exit_code: int = 0
    """What it makes of the whole: zero unless it is a failure."""


@dataclass(slots=True)
class CheckContext:
    """What is checked, and what earlier checks learnt of it."""

    config: Config
    environ: Mapping[str, str]
    destinations: Sequence[Destination]
    cluster: Cluster
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    node: Node | None = None
    """The node to log in at: one that answered well, the leader if it did."""
    token: str | None = field(default=None, repr=False)
    answered: set[str] = field(default_factory=set)
    """Addresses where a server answered, in whatever way: TLS was good there."""
    leaders: set[str] = field(default_factory=set)
    """Addresses at which other nodes are said to lead."""
    stands_by: bool = False
    """Whether another member's agent is the one to work."""
    tell: Callable[[str], None] = lambda _: None
    """Says at once what no finding can say any more."""
    holdings: Sequence[Holding] = ()
    """What the storages hold, once they were listed."""
    phase: timedelta = timedelta(0)
    """How far behind the first of several this cluster is by intent."""
    source: str = "it"
    """Where the configuration comes from."""
    cautions: Sequence[str] = ()
    """What works, but may not be what was meant by the configuration."""


Check = Callable[[CheckContext], Awaitable[list[CheckResult]]]


def failure(check: str, error: AgentError) -> CheckResult:
    """Turn an error into what a check found."""
    return CheckResult(check, Status.FAILURE, error.message, error.hint, error.exit_code or 1)


def success(check: str, message: str) -> CheckResult:
    """Report a check that passed."""
    return CheckResult(check, Status.SUCCESS, message)


def warning(check: str, message: str, advice: str) -> CheckResult:
    """Report something that should be changed and does no harm yet."""
    return CheckResult(check, Status.WARNING, message, advice)


def skipped(check: str, why: str) -> CheckResult:
    """Report a check that was not made, and why."""
    return CheckResult(check, Status.SKIPPED, why)
