"""What is known of a snapshot: in its archive, once verified, in a storage, and in its manifest."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.core.snapshots.notes import one_line

FORMAT = 1

_JSON_TYPES = {"str": (str,), "int": (int,), "float": (float, int)}


class Sidecar(StrEnum):
    """What may lie beside a stored snapshot, by the ending after the snapshot's name."""

    MANIFEST = ".json"
    """It was proved whole before it was stored."""
    HOLD = ".hold"
    """An operator said that it stays, whatever the rules say."""
    BROKEN = ".broken"
    """Two readings agreed that it is no whole snapshot, or so somebody claims."""
    MISMATCH = ".mismatch"
    """What lies there is whole, but not the snapshot that name and manifest describe."""
    DRILL = ".drill"
    """It was restored into a throw-away server, and what came of that."""

    def name_for(self, snapshot: str) -> str:
        """Return the name of the object beside a snapshot."""
        return snapshot + self


@dataclass(frozen=True, slots=True)
class ArchiveMeta:
    """What `meta.json`, the first member of the archive, says.

    Source: `raft.SnapshotMeta` of hashicorp/raft.
    """

    index: int
    term: int
    size: int
    """Bytes of `state.bin`, uncompressed."""
    servers: tuple[str, ...] = ()
    """Raft node IDs of the cluster's members."""
    written_at: int | None = field(default=None, compare=False)
    """When the server wrote it by its own clock, in seconds since 1970, where it tells."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that was proved whole."""

    meta: ArchiveMeta
    size: int
    """Bytes of the archive as the server sent it."""
    sha256: str
    """Of the archive, in hex; empty where nobody asked for it."""
    counts: str = field(default="", compare=False)
    """Keys by mount, as a manifest tells them; empty where they were not counted."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One snapshot as a storage lists it."""

    name: str
    taken_at: datetime
    size: int
    index: int | None = None
    """Raft index, where the name tells it."""
    verified: bool = False
    """Whether a manifest lies beside it: it was proved whole before it was stored."""
    held: bool = False
    """Whether an operator said that it stays."""
    condemned: bool = False
    """Whether a note says that it was found broken."""
    condemned_at: datetime | None = None
    """Since when, where that was looked up and the note tells it."""
    mismatched: bool = False
    """Whether a note says that it is not the snapshot its manifest describes."""
    manifest_size: int = field(default=0, compare=False)
    """Bytes of the manifest beside it; zero: there is none."""
    unproved: bool = False
    """Whether its manifest proves nothing: it may not be read, or is not signed as others are."""
    signed: bool = False
    """Whether its manifest was read, and carries the signature of the cluster's agents."""
    doubt: str = ""
    """Why it does not count for retention, though not found broken; empty: no reason is known."""
    copied: bool = False
    """Whether a copy of it lies there under another name."""
    drilled: bool = False
    """Whether a note says what came of a drill."""

    def __hash__(self) -> int:
        """Hash the name alone: plans look up each snapshot many times."""
        return hash(self.name)

    @property
    def proved(self) -> bool:
        """Whether its manifest says that it was whole, as far as that is known."""
        return self.verified and not self.unproved

    @property
    def broken(self) -> bool:
        """Whether it is said to be no whole snapshot: it is empty, or a note condemns it."""
        return self.size == 0 or self.condemned

    @property
    def counts(self) -> bool:
        """Whether it may be one of those that retention keeps."""
        return not (self.broken or self.mismatched or self.doubt)

    @property
    def broken_since(self) -> datetime | None:
        """Since when it is broken; an empty one holds nothing since the time in its name."""
        return self.condemned_at if self.condemned or self.size else self.taken_at


@dataclass(frozen=True, slots=True)
class Condemnation:
    """The note beside a snapshot that two readings found broken."""

    reason: str
    since: datetime | None
    """When that was; nothing where the note does not tell, as those of earlier versions."""

    def to_json(self) -> bytes:
        since = "" if self.since is None else f"{self.since:%Y-%m-%dT%H:%M:%SZ}"
        return (json.dumps({"reason": self.reason, "since": since}, indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, text: bytes) -> Condemnation:
        """Read a note, whoever wrote it; what is none of ours tells no time."""
        try:
            fields = read_json(text)
            since = datetime.fromisoformat(fields["since"]).astimezone(UTC)
            return cls(one_line(fields["reason"]), since)
        except (ValueError, KeyError, TypeError, OverflowError):
            return cls("", None)


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment by a clock that is never set: the order of two of them is certain."""

    clock: str = ""
    """Which clock; empty where there is none."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Manifest:
    """The small JSON beside a stored snapshot; its presence marks a finished one."""

    snapshot: str
    """Name of the snapshot it describes."""
    taken_at: str
    """Start of the request, RFC 3339 in UTC."""
    index: int
    term: int
    size: int
    """Bytes of the stored object."""
    sha256: str
    """Of the stored object, in hex."""
    duration: float
    """Seconds from request to verdict."""
    cluster_id: str
    cluster_name: str
    product: str
    """`openbao`, `vault`, or empty where the server does not tell."""
    version: str
    node: str
    """Address of the server that sent it."""
    agent_version: str
    encryption: str = "none"
    format: int = FORMAT
    clock: str = ""
    """Names the clock of `began` and `ended`, which no other host has; empty: they tell nothing."""
    began: float = 0.0
    """By that clock, in seconds, just before the server was asked."""
    ended: float = 0.0
    """By that clock, when the snapshot was stored."""
    leading_since: str = ""
    """When that server became the leader, by its own clock, RFC 3339."""
    history: str = ""
    """Name of the snapshot with which this history began, after an alarm or a restore."""
    known: str = ""
    """Fingerprints of the snapshots that were there before; see `core.proof`."""
    signature: str = ""
    """By the key that all agents of the cluster share; empty: there is none."""
    counts: str = ""
    """Keys and bytes by mount, see `core.mount_counts`; empty: they were not counted."""
    counts_signature: str = ""
    """By the same key: `signature` is made as versions make it that know no counts."""

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, text: bytes) -> Manifest:
        """Read a manifest, ignoring fields of later versions.

        Raises:
            ValueError: It is not a manifest.
        """
        fields = read_json(text)
        if not isinstance(fields, dict):
            raise ValueError("a manifest is a JSON object")  # noqa: TRY004
        known = {key: fields[key] for key in cls.__slots__ if key in fields}
        for key, value in known.items():
            if type(value) not in _JSON_TYPES[cls.__annotations__[key]]:
                raise ValueError(f"the manifest's {key} is {value!r}")
        try:
            return cls(**known)
        except TypeError as error:
            raise ValueError(f"the manifest is incomplete: {error}") from error
