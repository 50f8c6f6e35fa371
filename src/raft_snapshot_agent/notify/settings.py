"""The settings common to all notifiers."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol

from pydantic import AfterValidator

from raft_snapshot_agent.core.alert_events import CONDITIONS, AlertEvent, Wishes
from raft_snapshot_agent.fields import PositiveDuration, Settings, Timeout
from raft_snapshot_agent.network.address import ProxyUrl, SecretUrl

if TYPE_CHECKING:  # messages are loaded only by code that sends them
    from raft_snapshot_agent.core.notices import Notice

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHORTEST, _LONGEST = timedelta(minutes=1), timedelta(days=30)
_MOST_PATIENCE = timedelta(minutes=5)
_OF_A_RUN = (AlertEvent.START, AlertEvent.SUCCESS, AlertEvent.FAILED, AlertEvent.PARTIAL)


class Channel(Protocol):
    """Sends messages to one receiver."""

    def send(self, notice: Notice) -> str:
        """Send one message; return a short form of the answer.

        Raises:
            NotificationError: The message could not be delivered.
            ConfigError: A secret is missing or invalid.
        """


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("has letters, digits and . _ - only, such as on-call")
    return name


def _repeat(repeat: timedelta) -> timedelta:
    if not _SHORTEST <= repeat <= _LONGEST:
        raise ValueError("must be between 1m and 30d")
    return repeat


def _patience(timeout: timedelta) -> timedelta:
    if timeout > _MOST_PATIENCE:
        raise ValueError("must be at most 5m")
    return timeout


def _sensible(events: tuple[AlertEvent, ...]) -> tuple[AlertEvent, ...]:
    if len(set(events)) != len(events):
        raise ValueError("names an event twice")
    if set(events) == {AlertEvent.RECOVERED}:
        raise ValueError("names only recovered: name the events that it ends, too")
    return events


def _lasting(event: AlertEvent) -> AlertEvent:
    if event not in {*CONDITIONS, AlertEvent.RECOVERED}:
        raise ValueError(f"{event} does not last, so it is no alert: remove it")
    return event


def _of_a_run(event: AlertEvent) -> AlertEvent:
    if event not in _OF_A_RUN:
        raise ValueError(f"{event} is not told to a check: it takes {', '.join(_OF_A_RUN)}")
    return event


Repeat = Annotated[PositiveDuration, AfterValidator(_repeat)]
Events = Annotated[tuple[AlertEvent, ...], AfterValidator(_sensible)]
_Lasting = Annotated[AlertEvent, AfterValidator(_lasting)]
LastingEvents = Annotated[tuple[_Lasting, ...], AfterValidator(_sensible)]
_OfARun = Annotated[AlertEvent, AfterValidator(_of_a_run)]
RunEvents = Annotated[tuple[_OfARun, ...], AfterValidator(_sensible)]
SendTimeout = Annotated[Timeout, AfterValidator(_patience)]


class NotifierSettings(Settings):
    """Settings of one notifier."""

    type: str
    """How messages are sent; each class has its own value."""
    name: Annotated[str, AfterValidator(_name)] | None = None
    """Name in the log and on the command line; by default derived from the type."""
    on: Events = (*CONDITIONS, AlertEvent.RECOVERED)
    """Events that are reported."""
    repeat: Repeat = timedelta(hours=6)
    """Interval after which an ongoing alert is sent again."""
    clusters: tuple[str, ...] = ()
    """Clusters whose events are reported; by default all."""
    timeout: SendTimeout = timedelta(seconds=10)
    """Time limit of one message, until the end of the answer."""

    per_run: ClassVar[bool] = False
    """Whether `failed` and `partial` are reported for each run."""

    def wishes(self) -> Wishes:
        """Return which events this notifier reports."""
        return Wishes(frozenset(self.on), self.repeat, self.per_run, frozenset(self.clusters))

    @abstractmethod
    def open(self) -> Channel:
        """Return the channel; no I/O."""

    def check(self, clusters: Collection[str]) -> None:
        """Check the settings without sending anything.

        Arguments:
            clusters: Names of the configured clusters.

        Raises:
            ConfigError: Messages could not be sent with these settings.
        """


class HttpNotifierSettings(NotifierSettings):
    """Settings of a notifier that uses HTTP."""

    url: SecretUrl
    """URL to which messages are sent; treated as a secret, as it is for many services."""
    ca_file: Path | None = None
    """PEM file of certificates trusted in addition to the system's."""
    proxy: ProxyUrl | None = None
    """HTTP proxy; by default that of the environment."""
    allow_http: bool = False
    """Whether plain HTTP to other hosts is allowed."""
    allow_private: bool = False
    """Whether private addresses are allowed; this host's loopback always is."""
