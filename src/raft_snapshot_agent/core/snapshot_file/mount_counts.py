"""Counts the keys of each mount in a snapshot, and detects large losses.

Only lasting data is counted: secrets, identity and policies. Leases, tokens and the cubbyholes of
wrapped answers change all the time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nlargest

from raft_snapshot_agent.core.snapshot_file.contents import Mount, Mounts
from raft_snapshot_agent.core.snapshot_file.entries import StateEntry

MOST_BYTES = 256 << 20
"""Largest state, in bytes, whose entries are counted during the download."""
MOST_ENTRIES = 250_000
"""Most entries that are counted: one takes 2.7 µs, and verifying 64 MiB a third of a second."""
_MOST_MOUNTS = 200
"""Number of mounts, the largest ones, that a manifest lists separately."""
_MOST_SEEN = 5000
"""Largest plausible number of mounts; more are forged."""
_FEW = 20
"""Least keys of a mount for an alarm about this mount alone."""
_KINDS = {"secrets", "policies"}
_WRAPPED = (b"/response", b"/wrapinfo")
"""End of the keys of wrapped answers in a token's cubbyhole."""
_REST = "+"
_ENTRY = re.compile(r"([!-:<-~]{1,150}) ([0-9]{1,15}) ([0-9]{1,18})")
_BETWEEN = "; "


@dataclass(frozen=True, slots=True)
class Tally:
    """Number of keys, and total bytes of their values."""

    keys: int = 0
    size: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.keys + other.keys, self.size + other.size)


@dataclass(frozen=True, slots=True)
class MountCounts:
    """The keys of a snapshot by mount."""

    mounts: Mapping[str, Tally] = field(default_factory=dict)
    """The largest mounts, by prefix of their keys."""
    rest: Tally = Tally()
    """Total of all other mounts."""

    def to_text(self) -> str:
        """Return the counts as the one line that is stored in a manifest."""
        pairs = [*sorted(self.mounts.items())]
        if self.rest.keys:
            pairs.append((_REST, self.rest))
        return _BETWEEN.join(f"{path} {one.keys} {one.size}" for path, one in pairs)

    @classmethod
    def from_text(cls, text: str) -> MountCounts | None:
        """Parse such a line; `None` if it is empty or invalid."""
        read = {}
        for part in text.split(_BETWEEN)[: _MOST_MOUNTS + 2]:
            if (match := _ENTRY.fullmatch(part)) is None:
                return None
            read[match[1]] = Tally(int(match[2]), int(match[3]))
        rest = read.pop(_REST, Tally())
        return cls(read, rest)

    def most_of(self, path: str) -> int:
        """Return an upper limit of a mount's keys, which may be among the other mounts."""
        if path in self.mounts:
            return self.mounts[path].keys
        smallest = min((one.keys for one in self.mounts.values()), default=0)
        return min(self.rest.keys, smallest)


class MountCounter:
    """Counts the entries of a state, unless that would take too long."""

    def __init__(self) -> None:
        self.is_readable = True
        """Whether it still counts: the state contains entries, and not too many."""
        self._of = Mounts()
        self._counts: dict[Mount, list[int]] = {}
        self._seen = 0

    def expect(self, size: int) -> None:
        """Stop counting if the state is too large."""
        self.is_readable = size <= MOST_BYTES

    def add(self, entries: Iterable[StateEntry]) -> None:
        """Count further entries; inlined for speed."""
        counts, find, seen = self._counts, self._of.of, 0
        for key, size, _ in entries:
            seen += 1
            mount = find(key)
            count = counts.get(mount)
            if count is None:
                count = counts[mount] = [0, 0]
            if key.endswith(_WRAPPED):
                continue
            count[0] += 1
            count[1] += size
        self._seen += seen
        if self._seen > MOST_ENTRIES or len(counts) > _MOST_SEEN:
            self.is_readable = False

    @property
    def counts(self) -> MountCounts | None:
        """The counts; `None` if counting was stopped."""
        if not self.is_readable:
            return None
        told, rest = {}, Tally()
        for mount, (keys, size) in self._counts.items():
            if mount.kind not in _KINDS or not keys:
                continue
            if _ENTRY.fullmatch(f"{mount.path} {keys} {size}"):
                told[mount.path] = Tally(keys, size)
            else:
                rest += Tally(keys, size)
        largest = dict(nlargest(_MOST_MOUNTS, told.items(), key=lambda one: one[1].keys))
        for path in told.keys() - largest.keys():
            rest += told[path]
        return MountCounts(largest, rest)


def explain_loss(before: MountCounts, now: MountCounts, share: float) -> str:
    """Return which mount lost more than a fraction of its keys; empty if none did.

    Mounts with few keys are compared together.

    Arguments:
        before: Counts of an earlier snapshot of the same cluster.
        now: Counts of the new snapshot.
        share: Fraction of its keys that a mount may lose.
    """
    few_before = few_now = few = 0
    for path, one in before.mounts.items():
        left = now.most_of(path)
        if one.keys < _FEW:
            few, few_before, few_now = few + 1, few_before + one.keys, few_now + left
        elif left < one.keys * (1 - share):
            lost = "has vanished with its" if not left else f"has {left} of its"
            return f"the mount {path} {lost} {one.keys} keys"
    if few_before >= _FEW and few_now < few_before * (1 - share):
        return f"{few} mounts with few keys each have {few_now} of their {few_before} keys"
    return ""
