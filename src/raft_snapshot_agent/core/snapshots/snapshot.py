"""Values that describe a snapshot: in its archive, verified, stored, and in its manifest."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import MINYEAR, UTC, datetime, timedelta
from enum import StrEnum

from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.core.snapshots.notes import one_line

FORMAT = 1
MISDESCRIBED = "not what its manifest describes"
NOT_COUNTED = ": does not count for retention"
"""The end of every doubt."""
SAFETY = "safety"
"""Purpose of a safety snapshot: the data that a restore was to replace."""
AHEAD = timedelta(minutes=10)
"""How far in the future a snapshot may be dated and count for retention."""
NO_TIME = datetime.min.replace(tzinfo=UTC)
"""Stands for an unknown time; it is before all others."""

_LONGEST = 4000
"""Most characters of a text in a manifest: messages show them, whoever wrote them."""
_LONG = {"known", "counts"}
"""Texts of a manifest that grow with the history and the mounts; no message shows them."""
_JSON_TYPES = {"str": (str,), "int": (int,), "float": (float, int)}


class Sidecar(StrEnum):
    """Files beside a stored snapshot, by the suffix after the snapshot's name."""

    MANIFEST = ".json"
    """Manifest: the snapshot was verified before it was stored."""
    HOLD = ".hold"
    """Hold: an operator keeps it regardless of the rules."""
    BROKEN = ".broken"
    """Two readings found it broken; the note may be forged."""
    MISMATCH = ".mismatch"
    """The stored object is whole, but not the snapshot that name and manifest describe."""
    DRILL = ".drill"
    """Result of a drill."""
    RESTORED = ".restored"
    """Note of a restore, beside a snapshot with a static name."""
    SCRUB = ".scrub"
    """Note of what was read back, beside a snapshot with a static name."""

    def name_for(self, snapshot: str) -> str:
        """Return the name of this file beside a snapshot."""
        return snapshot + self


@dataclass(frozen=True, slots=True)
class ArchiveMeta:
    """Content of `meta.json`, the first member of the archive.

    Source: `raft.SnapshotMeta` of hashicorp/raft.
    """

    index: int
    term: int
    size: int
    """Bytes of `state.bin`, uncompressed."""
    servers: tuple[str, ...] = ()
    """Raft node IDs of the cluster's members."""
    written_at: int | None = field(default=None, compare=False)
    """When the server wrote it, by its own clock, in seconds since 1970; if known."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A verified snapshot."""

    meta: ArchiveMeta
    size: int
    """Bytes of the archive as the server sent it."""
    sha256: str
    """SHA-256 of the archive, in hex; empty if not requested."""
    counts: str = field(default="", compare=False)
    """Keys by mount, in the format of a manifest; empty if not counted."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One snapshot in the listing of a storage."""

    name: str
    taken_at: datetime
    size: int
    index: int | None = None
    """Raft index, if the name has it."""
    verified: bool = False
    """Whether it has a manifest, so that it was verified before it was stored."""
    held: bool = False
    """Whether an operator holds it."""
    condemned: bool = False
    """Whether a note marks it as broken."""
    condemned_at: datetime | None = None
    """Since when it is marked as broken, if looked up and known."""
    mismatched: bool = False
    """Whether a note says that it is not the snapshot described by its manifest."""
    manifest_size: int = field(default=0, compare=False)
    """Bytes of its manifest; zero without one."""
    unproved: bool = False
    """Whether its manifest is no proof: unreadable, or not signed although others are."""
    signed: bool = False
    """Whether its manifest was read and is signed by the cluster's agents."""
    doubt: str = ""
    """Why it does not count for retention, apart from being broken; empty if it does."""
    is_duplicated: bool = False
    """Whether the storage has a copy of it under another name."""
    drilled: bool = False
    """Whether it has a note of a drill."""
    safety: bool = False
    """Whether its manifest was read and says that it is a safety snapshot."""

    def __hash__(self) -> int:
        """Return the hash of the name only, because plans look up each snapshot many times."""
        return hash(self.name)

    @property
    def dated(self) -> bool:
        """Whether its time is known; with a static name it is only in the manifest."""
        return self.taken_at.year > MINYEAR

    @property
    def proved(self) -> bool:
        """Whether its manifest proves that it was whole, as far as known."""
        return self.verified and not self.unproved

    @property
    def broken(self) -> bool:
        """Whether it is empty, or marked as broken by a note."""
        return self.size == 0 or self.condemned

    @property
    def is_counted(self) -> bool:
        """Whether it counts for retention."""
        return not (self.broken or self.mismatched or self.doubt)

    @property
    def why_doubted(self) -> str:
        """Why it does not count, in a few words."""
        if not self.doubt and self.mismatched:
            return MISDESCRIBED
        return self.doubt.removesuffix(NOT_COUNTED)

    def describe_condemned(self, now: datetime, otherwise: str) -> str:
        """Say since when it is marked as broken; `otherwise` if that is unknown or not past."""
        since = self.condemned_at
        return otherwise if since is None or since > now else f"broken since {since:%Y-%m-%d}"

    @property
    def broken_since(self) -> datetime | None:
        """Since when it is broken; for an empty one, the time in its name."""
        return self.condemned_at if self.condemned or self.size else self.taken_at


@dataclass(frozen=True, slots=True)
class Condemnation:
    """The note beside a snapshot that two readings found broken."""

    reason: str
    since: datetime | None
    """When it was found broken; `None` in notes of earlier versions."""

    def to_json(self) -> bytes:
        since = "" if self.since is None else f"{self.since:%Y-%m-%dT%H:%M:%SZ}"
        return (json.dumps({"reason": self.reason, "since": since}, indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, text: bytes) -> Condemnation:
        """Parse a note; an invalid one has no time."""
        try:
            fields = read_json(text)
            since = datetime.fromisoformat(fields["since"]).astimezone(UTC)
            return cls(one_line(fields["reason"]), since)
        except (ValueError, KeyError, TypeError, OverflowError):
            return cls("", None)


@dataclass(frozen=True, slots=True)
class Instant:
    """A time by a monotonic clock, so that the order of two of them is certain."""

    clock: str = ""
    """ID of the clock; empty without one."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Manifest:
    """The small JSON file beside a stored snapshot; it marks the snapshot as complete."""

    snapshot: str
    """Name of the snapshot it describes."""
    taken_at: str
    """Start of the request, RFC 3339 in UTC."""
    index: int
    term: int
    size: int
    """Bytes of the stored object."""
    sha256: str
    """SHA-256 of the stored object, in hex."""
    duration: float
    """Seconds from request to verification."""
    cluster_id: str
    cluster_name: str
    product: str
    """`openbao`, `vault`, or empty if unknown."""
    version: str
    node: str
    """Address of the server that sent it."""
    agent_version: str
    encryption: str = "none"
    format: int = FORMAT
    clock: str = ""
    """ID of the clock of `began` and `ended`, unique per host; empty if they are not valid."""
    began: float = 0.0
    """Seconds by that clock, just before the request."""
    ended: float = 0.0
    """Seconds by that clock, when the snapshot was stored."""
    leading_since: str = ""
    """When that server became the leader, by its own clock, RFC 3339."""
    history: str = ""
    """Name of the first snapshot of this history, after an alarm or a restore."""
    known: str = ""
    """Fingerprints of the earlier snapshots; see `core.history.proof`."""
    signature: str = ""
    """Signature by the key that all agents of the cluster share; empty without a key."""
    counts: str = ""
    """Keys and bytes by mount, see `core.snapshot_file.mount_counts`; empty if not counted."""
    counts_signature: str = ""
    """Signature of the counts by the same key; `signature` excludes them, for older versions."""
    purpose: str = ""
    """`safety` for a safety snapshot; empty for any other."""
    purpose_signature: str = ""
    """Signature of the purpose by the same key; `signature` excludes it, for older versions."""

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, text: bytes) -> Manifest:
        """Parse a manifest, ignoring fields of later versions.

        Raises:
            ValueError: It is not a manifest.
        """
        fields = read_json(text)
        if not isinstance(fields, dict):
            raise ValueError("a manifest is a JSON object")  # noqa: TRY004
        known = {key: fields[key] for key in cls.__slots__ if key in fields}
        for key, value in known.items():
            if type(value) not in _JSON_TYPES[cls.__annotations__[key]]:
                raise ValueError(f"the manifest's {key} is of type {type(value).__name__}")
            if isinstance(value, str) and len(value) > _LONGEST and key not in _LONG:
                raise ValueError(f"the manifest's {key} has {len(value)} characters")
        try:
            return cls(**known)
        except TypeError as error:
            raise ValueError(f"the manifest is incomplete: {error}") from error
