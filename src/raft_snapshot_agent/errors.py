"""Every error an operator can meet, in one tree, each with its exit code.

```
AgentError                 1  an error on this host
├── ConfigError            1  the configuration is wrong
│   ├── NoConfiguration    1  no configuration was found
│   ├── NotReady           1  a storage cannot be used yet, as its disk is full or not mounted
│   └── ConfigFaults       1  several errors in the configuration
├── SpoolError             1  the local disk failed or is full
├── ServerError            2  the Vault or OpenBao server
│   ├── Unreachable        2  no connection, or TLS failed
│   │   └── NotListening   2  the host is up, but no server listens
│   ├── Sealed             2  sealed or not initialised
│   ├── NoLeader           2  the cluster has no leader at the moment
│   ├── Denied             2  the token or the login was refused
│   ├── NothingThere       2  nothing exists at a path
│   └── Interrupted        2  the stream was cut or stalled
├── StorageError           2  one storage
│   ├── StorageFaults      2  several storages, each with its own error
│   ├── StorageUnavailable 2  a temporary failure: a retry may succeed
│   ├── StorageDenied      2  permissions are missing
│   │   └── LoginRefused   2  credentials are missing, wrong or expired: no request will succeed
│   ├── StorageFull        2  no space left
│   ├── UnreliableStore    2  it does not support the conditional writes that a lease needs
│   ├── SnapshotNotFound   2  no such snapshot there
│   ├── NotMounted         2  the file system of the snapshots is not mounted
│   ├── NotThereYet        2  the folder is missing, as it may be before the first snapshot
│   └── Unconfirmed        2  stored, but not yet confirmed by the lease record
├── NotificationError      2  a notification was not delivered; nothing else is affected
├── PartialFailure         3  some storages failed, or some nodes did not come back
├── VerificationError      4  the bytes are not a whole snapshot
│   ├── StaleSnapshot      4  whole, but older than the leader's state
│   ├── MismatchedSnapshot 4  whole, but not what its name or manifest describes
│   └── DrillFailed        4  whole, but the restore into a throw-away server failed
├── RetentionSuspended     6  an alarm of the guard is active
├── NotLeader              5  only with --require-leader
├── LeaseHeld              5  only with --require-leader
│   └── LeaseFree          5  nobody is known to hold it
├── LeaseLost              2  this agent lost the lease during the run
└── Stopped                0  the agent was told to stop
```
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import ClassVar

from raft_snapshot_agent.host_limits import find_limit

_LONGEST = 4000
"""Characters of a message; the agent's own have at most a few hundred."""


class AgentError(Exception):
    """What failed, on what and why, and what to try."""

    exit_code: ClassVar[int] = 1
    pause: float = 0.0
    """Seconds to wait before a retry can succeed."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = _one_line(message)
        # An exception that is being handled is the cause, also where `from None` hides it.
        limit = find_limit(sys.exception())
        self.hint = _one_line(limit.hint if limit else hint)

    def __str__(self) -> str:
        """Return message and hint on one line."""
        return f"{self.message} ({self.hint})" if self.hint else self.message

    @property
    def lines(self) -> tuple[str, ...]:
        """One line for each error, with its hint."""
        return (str(self),)


def reason_of(error: BaseException) -> str:
    """Return an exception's text, or its class name if it has none; never empty."""
    reason = error.strerror if isinstance(error, OSError) else None
    return reason or " ".join(str(error).split()) or type(error).__name__


def _one_line(text: str) -> str:
    """Replace line breaks and control characters, which names from outside may contain."""
    shown = text[:_LONGEST]
    line = " ".join("".join(one if one.isprintable() else " " for one in shown).split())
    return line if len(text) <= _LONGEST else f"{line}..."


class ConfigError(AgentError):
    """The configuration is wrong; the message names file, line and key."""

    @property
    def each(self) -> tuple[ConfigError, ...]:
        """Each single error; just this one unless there are several."""
        return (self,)


class NoConfiguration(ConfigError):
    """There is no configuration file, and the environment does not replace it."""


class NotReady(ConfigError):
    """A storage cannot be used yet, but will be without a change of the configuration."""


class ConfigFaults(ConfigError):
    """The configuration has several errors."""

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
    """Combine one or more errors into one; duplicates appear once."""
    different = tuple({str(fault): fault for fault in faults}.values())
    return different[0] if len(different) == 1 else ConfigFaults(different)


class SpoolError(AgentError):
    """The spool could not be written or read."""


class ServerError(AgentError):
    """The Vault or OpenBao server refused a request, or its answer is invalid."""

    exit_code = 2


class Unreachable(ServerError):
    """The server cannot be reached, or TLS failed."""


class NotListening(Unreachable):
    """The server's host answered that no server listens: it is not running."""


class Sealed(ServerError):
    """The server is sealed or not initialised."""


class NoLeader(ServerError):
    """The cluster has no leader at the moment."""


class Denied(ServerError):
    """The login or the token was refused."""


class NothingThere(ServerError):
    """Nothing exists at a path of a server."""


class Interrupted(ServerError):
    """The snapshot stream was cut off or stalled."""


class StorageError(AgentError):
    """A storage failed; the other storages are not affected."""

    exit_code = 2


class StorageFaults(StorageError):
    """Several storages failed, each with its own error."""

    def __init__(self, faults: Mapping[str, AgentError]) -> None:
        self.faults = tuple(f"{storage}: {error}" for storage, error in faults.items())
        super().__init__("; ".join(self.faults))

    @property
    def lines(self) -> tuple[str, ...]:
        return self.faults


class StorageUnavailable(StorageError):
    """A temporary failure, such as a timeout, a reset or a 5xx: a retry may succeed."""


class StorageDenied(StorageError):
    """The credentials lack a permission for this request."""


class LoginRefused(StorageDenied):
    """Credentials are missing, wrong or expired, or the clocks differ: no request will succeed."""


class StorageFull(StorageError):
    """The storage has no space left."""


class UnreliableStore(StorageError):
    """The store does not support conditional writes, so a lease there would exclude no agent."""


class SnapshotNotFound(StorageError):
    """The storage holds no snapshot of that name."""


class NotMounted(StorageError):
    """The file system of the snapshots is not mounted."""


class NotThereYet(StorageError):
    """The folder for the snapshots does not exist; the start of the agent creates it."""


class Unconfirmed(StorageError):
    """The snapshot is stored, but whether this agent still held the lease is not yet known."""


class NotificationError(AgentError):
    """A notification was not delivered; snapshots are not affected."""

    exit_code = 2


class PartialFailure(AgentError):
    """Some storages, nodes after a restore, or secrets failed; others succeeded."""

    exit_code = 3


class VerificationError(AgentError):
    """The bytes are not a whole snapshot."""

    exit_code = 4


class StaleSnapshot(VerificationError):
    """A whole snapshot, but older than the leader's state when it was asked for."""


class MismatchedSnapshot(VerificationError):
    """A whole snapshot, but not the one that its name or its manifest describes."""


class DrillFailed(VerificationError):
    """A throw-away server could not restore the snapshot, or expected data is missing in it."""

    def __init__(self, message: str, *, hint: str = "", noted: str = "") -> None:
        """Keep the reason; `noted` is what is stored with the snapshot, by default all of it."""
        super().__init__(message, hint=hint)
        self.noted = _one_line(noted) or self.message


class RetentionSuspended(AgentError):
    """Snapshots are stored, but an active alarm prevents pruning."""

    exit_code = 6


class NotLeader(AgentError):
    """The node beside this agent does not lead the cluster."""

    exit_code = 5


class LeaseHeld(AgentError):
    """Another agent holds the lease, or may hold it."""

    exit_code = 5


class LeaseFree(LeaseHeld):
    """No agent is known to hold the lease; this one does not hold it either."""


class LeaseLost(AgentError):
    """The agent no longer holds the lease; the running snapshot is discarded."""

    exit_code = 2


class Stopped(AgentError):
    """The agent was asked to stop; the running snapshot is discarded."""

    exit_code = 0
