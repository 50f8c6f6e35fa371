"""The settings that every notifier has."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol

from pydantic import AfterValidator

from raft_snapshot_agent.core.alarms.alert_events import CONDITIONS, AlertEvent, Wishes
from raft_snapshot_agent.fields import PositiveDuration, Settings, Timeout
from raft_snapshot_agent.network.address import ProxyUrl, SecretUrl

if TYPE_CHECKING:  # what is told is known to who tells it
    from raft_snapshot_agent.core.alarms.notices import Notice

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHORTEST, _LONGEST = timedelta(minutes=1), timedelta(days=30)
_MOST_PATIENCE = timedelta(minutes=5)
_OF_A_RUN = (AlertEvent.START, AlertEvent.SUCCESS, AlertEvent.FAILED, AlertEvent.PARTIAL)


class Channel(Protocol):
    """A way to tell somebody."""

    def send(self, notice: Notice) -> str:
        """Send one message, and return in a few words what came back.

        Raises:
            NotificationError: It did not arrive.
            ConfigError: A secret is missing, or makes no sense.
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
    """Somebody who is told."""

    type: str
    """Which way it goes; each class has one name for it."""
    name: Annotated[str, AfterValidator(_name)] | None = None
    """In the log and on the command line; derived from the type when missing."""
    on: Events = (*CONDITIONS, AlertEvent.RECOVERED)
    """What is told."""
    repeat: Repeat = timedelta(hours=6)
    """How long after it was told something that lasts is told again."""
    clusters: tuple[str, ...] = ()
    """Of which clusters; by default of all."""
    timeout: SendTimeout = timedelta(seconds=10)
    """How long one message may take, from its beginning to the end of the answer."""

    per_run: ClassVar[bool] = False
    """Whether `failed` and `partial` are told of each run."""

    def wishes(self) -> Wishes:
        """Return what it is told."""
        return Wishes(frozenset(self.on), self.repeat, self.per_run, frozenset(self.clusters))

    @abstractmethod
    def open(self) -> Channel:
        """Make the channel, without any I/O yet."""

    def check(self, clusters: Collection[str]) -> None:
        """Check what can be known without sending anything.

        Arguments:
            clusters: The names of those that are configured.

        Raises:
            ConfigError: It would not work.
        """


class HttpNotifierSettings(NotifierSettings):
    """One that is told over HTTP."""

    url: SecretUrl
    """Where messages are sent; those of many services are secrets as a whole."""
    ca_file: Path | None = None
    """Certificates to trust beside the system's, in PEM."""
    proxy: ProxyUrl | None = None
    """By default the environment's."""
    allow_http: bool = False
    """Whether it may go without TLS beyond this host."""
    allow_private: bool = False
    """Whether it may go to an address that is not public, other than this host's loopback."""
