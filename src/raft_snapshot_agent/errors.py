"""Every error an operator can meet, in one tree, each with its exit code.

```
AgentError                 1  something here, on this host
├── ConfigError            1  the configuration is wrong
│   ├── NoConfiguration    1  there is none
│   └── ConfigFaults       1  in several places
├── SpoolError             1  the local disk failed or is full
├── ServerError            2  the Vault or OpenBao server
│   ├── Unreachable        2  no connection, or none that TLS accepts
│   ├── Sealed             2  sealed or not initialised
│   ├── NoLeader           2  the cluster has no leader at the moment
│   ├── Denied             2  the token or the login was refused
│   ├── NothingThere       2  nothing lies at a path
│   └── Interrupted        2  the stream was cut or stalled
├── StorageError           2  one storage
│   ├── StorageUnavailable 2  worth another try
│   ├── StorageDenied      2  rights are missing
│   │   └── LoginRefused   2  credentials are missing, wrong or expired: nothing will work
│   ├── StorageFull        2  no space left
│   ├── UnreliableStore    2  it does not refuse, or does not take, what a lease rests on
│   ├── SnapshotNotFound   2  no such snapshot there
│   ├── NotThereYet        2  no folder there: before the first snapshot it may be missing
│   └── Unconfirmed        2  stored, but the record of the lease does not know it yet
├── NotificationError      2  a notifier did not take a message; nothing else suffers
├── PartialFailure         3  some storages failed, or some nodes are not back
├── VerificationError      4  the bytes are not a whole snapshot
│   ├── StaleSnapshot      4  whole, but older than the leader's state
│   ├── MismatchedSnapshot 4  whole, but not what its name or manifest describes
│   └── DrillFailed        4  whole, but a throw-away server did not come to life with it
├── RetentionSuspended     6  an alarm of the guard is active
├── NotLeader              5  only with --require-leader
├── LeaseHeld              5  likewise
├── LeaseLost              2  another agent took the lease meanwhile
└── Stopped                0  the agent was told to stop
```
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

_LONGEST = 4000
"""Letters of a message; the longest of ours have some hundred."""


class AgentError(Exception):
    """What failed, on what and why, and what to try."""

    exit_code: ClassVar[int] = 1
    pause: float = 0.0
    """Seconds before which another try is pointless."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = _one_line(message)
        self.hint = _one_line(hint)

    def __str__(self) -> str:
        """Render as the one line an operator reads."""
        return f"{self.message} ({self.hint})" if self.hint else self.message

    @property
    def lines(self) -> tuple[str, ...]:
        """What an operator reads: one line for each thing that is wrong."""
        return (str(self),)


def reason_of(error: BaseException) -> str:
    """Return the reason that an exception gives, or its kind where it gives none; never empty."""
    reason = error.strerror if isinstance(error, OSError) else None
    return reason or " ".join(str(error).split()) or type(error).__name__


def _one_line(text: str) -> str:
    """Replace line breaks and control characters: names come from outside."""
    shown = text[:_LONGEST]
    line = " ".join("".join(one if one.isprintable() else " " for one in shown).split())
    return line if len(text) <= _LONGEST else f"{line}..."


class ConfigError(AgentError):
    """The configuration is wrong; the message names the place."""

    @property
    def each(self) -> tuple[ConfigError, ...]:
        """The one thing that is wrong, or each of several."""
        return (self,)


class NoConfiguration(ConfigError):
    """There is neither a file nor enough in the environment."""


class ConfigFaults(ConfigError):
    """Several things are wrong with the configuration."""

    def __init__(self, faults: Sequence[ConfigError]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = tuple(faults)

    @property
    def each(self) -> tuple[ConfigError, ...]:
        return self.faults

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(map(str, self.faults))


def all_faults(faults: Sequence[ConfigError]) -> ConfigError:
    """Return one error for one or more; what is said twice is said once."""
    different = tuple({str(fault): fault for fault in faults}.values())
    return different[0] if len(different) == 1 else ConfigFaults(different)


class SpoolError(AgentError):
    """The spool could not be written or read."""


class ServerError(AgentError):
    """The Vault or OpenBao server refused, or answered nonsense."""

    exit_code = 2


class Unreachable(ServerError):
    """No connection to the server, or none that TLS accepts."""


class Sealed(ServerError):
    """The server is sealed or not initialised."""


class NoLeader(ServerError):
    """The cluster has no leader at the moment."""


class Denied(ServerError):
    """The login or the token was refused."""


class NothingThere(ServerError):
    """Nothing lies at a path of a server."""


class Interrupted(ServerError):
    """The snapshot stream was cut off or stalled."""


class StorageError(AgentError):
    """A storage failed; only its own delivery suffers."""

    exit_code = 2


class StorageUnavailable(StorageError):
    """A failure that another try may overcome: time-outs, resets, 5xx."""


class StorageDenied(StorageError):
    """The credentials lack a right for this one request."""


class LoginRefused(StorageDenied):
    """Credentials are missing, wrong or expired, or the clocks differ: no request will succeed."""


class StorageFull(StorageError):
    """The storage has no space left."""


class UnreliableStore(StorageError):
    """The store does not write conditionally: a lease kept there would hold back nobody."""


class SnapshotNotFound(StorageError):
    """The storage holds no snapshot of that name."""


class NotThereYet(StorageError):
    """The folder for the snapshots does not exist; the first snapshot makes it."""


class Unconfirmed(StorageError):
    """The snapshot is stored, but nobody knows yet whether the lease lets it count."""


class NotificationError(AgentError):
    """A message did not arrive; no snapshot suffers."""

    exit_code = 2


class PartialFailure(AgentError):
    """Some storages hold the snapshot, or some nodes are back after a restore; others failed."""

    exit_code = 3


class VerificationError(AgentError):
    """The bytes are not a whole snapshot."""

    exit_code = 4


class StaleSnapshot(VerificationError):
    """A whole snapshot, but older than the leader's state when it was asked for."""


class MismatchedSnapshot(VerificationError):
    """A whole snapshot, but not the one that its name or its manifest describes."""


class DrillFailed(VerificationError):
    """A snapshot that a throw-away server did not take, or that does not hold what it should."""

    def __init__(self, message: str, *, hint: str = "", noted: str = "") -> None:
        """Say why; `noted` is what whoever reads the storage may know of it, by default all."""
        super().__init__(message, hint=hint)
        self.noted = _one_line(noted) or self.message


class RetentionSuspended(AgentError):
    """Snapshots are stored, but an active alarm keeps old ones from being pruned."""

    exit_code = 6


class NotLeader(AgentError):
    """The node beside this agent does not lead the cluster."""

    exit_code = 5


class LeaseHeld(AgentError):
    """Another agent holds the lease, or may hold it."""

    exit_code = 5


class LeaseLost(AgentError):
    """The lease is not this agent's any more; what was under way is dropped."""

    exit_code = 2


class Stopped(AgentError):
    """The agent was told to stop; what was under way is dropped."""

    exit_code = 0
