"""Compares two snapshots: counts added, changed and removed keys by mount."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from raft_snapshot_agent.core.snapshot_file.archive_text import broken
from raft_snapshot_agent.core.snapshot_file.contents import Mount, Mounts
from raft_snapshot_agent.core.snapshot_file.entries import StateEntry


@dataclass(slots=True)
class Change:
    """Changes of the keys of one mount."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    size: int = 0
    """Growth of the values in bytes; negative if they shrank."""

    @property
    def differs(self) -> bool:
        return bool(self.added or self.changed or self.removed)


class Side:
    """Entries of one snapshot that have been read and not yet compared."""

    def __init__(self) -> None:
        self.ended = False
        """Whether all entries have been read."""
        self._entries: list[StateEntry] = []
        self._next = 0
        self._last: bytes | None = None

    @property
    def is_empty(self) -> bool:
        return self._next == len(self._entries)

    def add(self, entries: Iterable[StateEntry]) -> None:
        """Append entries.

        Raises:
            VerificationError: They are not sorted by key, so they cannot be compared.
        """
        self._entries = self._entries[self._next :]
        self._next = 0
        for entry in entries:
            if self._last is not None and entry.key <= self._last:
                raise broken("its entries are not in the order of their keys")
            self._last = entry.key
            self._entries.append(entry)

    def peek(self) -> StateEntry | None:
        return None if self.is_empty else self._entries[self._next]

    def drop(self) -> None:
        self._next += 1


class Difference:
    """Compares two snapshots while they are read; memory grows only with their mounts."""

    def __init__(self) -> None:
        self.mounts: dict[Mount, Change] = {}
        self.before, self.after = Side(), Side()
        self._of = Mounts()

    def compare(self) -> None:
        """Compare all entries that both sides have."""
        before, after = self.before, self.after
        while not (self._waits_for(before) or self._waits_for(after)):
            old, new = before.peek(), after.peek()
            if old is None and new is None:
                return
            if new is None or (old is not None and old.key < new.key):
                assert old is not None  # noqa: S101 - one of them is there
                change = self._change(old)
                change.removed += 1
                change.size -= old.size
                before.drop()
            elif old is None or new.key < old.key:
                change = self._change(new)
                change.added += 1
                change.size += new.size
                after.drop()
            else:
                self._compare_values(old, new)
                before.drop()
                after.drop()

    @staticmethod
    def _waits_for(side: Side) -> bool:
        return side.is_empty and not side.ended

    def _compare_values(self, old: StateEntry, new: StateEntry) -> None:
        change = self._change(new)
        if (old.size, old.mark) == (new.size, new.mark):
            change.unchanged += 1
        else:
            change.changed += 1
            change.size += new.size - old.size

    def _change(self, entry: StateEntry) -> Change:
        mount = self._of.of(entry.key)
        return self.mounts.get(mount) or self.mounts.setdefault(mount, Change())
