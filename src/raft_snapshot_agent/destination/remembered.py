"""The manifests of one storage that were read already, so that each is read once in a process."""

from __future__ import annotations

import sys
from collections.abc import Container
from dataclasses import dataclass, field, replace

from raft_snapshot_agent.core.snapshot import Manifest, Stored

_MOST = 150_000
"""Manifests that are kept at most, about half a kilobyte each."""
_MOST_LETTERS = 8 << 20
"""Of what they tell of others: only the newest are asked for that, and it may be long in each."""
_SHORT = 64
"""Letters of it that are kept with the manifest itself."""
_LEFT_OUT = "?"
"""Stands for what they tell of others where that was left out; no manifest says so."""
_ALIKE = ("cluster_id", "cluster_name", "product", "version", "node", "agent_version",
          "encryption", "clock", "leading_since", "history")  # fmt: skip
"""Fields that are the same in many manifests."""
Key = tuple[str, int, int]


@dataclass(slots=True)
class Remembered:
    """Manifests by the name and the size of their snapshots, and their own size."""

    _facts: dict[Key, Manifest] = field(default_factory=dict)
    _known: dict[Key, str] = field(default_factory=dict)
    """In the order in which they were last asked for."""
    _letters: int = 0

    def recall(self, stored: Stored, *, whole: bool) -> Manifest | None:
        """Return the manifest of a snapshot that is still what it was; nothing: read it.

        Arguments:
            stored: The snapshot, as it is listed now.
            whole: Whether what it tells of others is wanted, too.
        """
        key = _key(stored)
        facts = self._facts.get(key)
        if facts is None or facts.known != _LEFT_OUT or not whole:
            return facts
        if (known := self._known.pop(key, None)) is None:
            return None
        self._known[key] = known
        return replace(facts, known=known)

    def note(self, stored: Stored, manifest: Manifest) -> None:
        """Remember a manifest; the oldest are forgotten where there are too many."""
        key = _key(stored)
        if manifest.known == _LEFT_OUT:
            return  # somebody wrote that
        self._forget(key)
        while len(self._facts) >= _MOST:
            self._forget(next(iter(self._facts)))
        known = manifest.known
        short = known if len(known) <= _SHORT else _LEFT_OUT
        alike = {name: sys.intern(str(getattr(manifest, name))) for name in _ALIKE}
        self._facts[key] = replace(manifest, **alike, snapshot=stored.name, known=short)  # type: ignore[arg-type]
        if short is _LEFT_OUT:
            self._known[key] = known
            self._letters += len(known)
        while self._letters > _MOST_LETTERS:
            self._letters -= len(self._known.pop(next(iter(self._known))))

    def keep_only(self, names: Container[str], count: int) -> None:
        """Forget those of snapshots that are gone, once these are more than the others."""
        if len(self._facts) > 2 * count + _SHORT:
            for key in [key for key in self._facts if key[0] not in names]:
                self._forget(key)

    def _forget(self, key: Key) -> None:
        self._facts.pop(key, None)
        self._letters -= len(self._known.pop(key, ""))


def _key(stored: Stored) -> Key:
    return stored.name, stored.size, stored.manifest_size
