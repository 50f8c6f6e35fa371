"""A cache of the manifests of one storage, so that each is read once per process."""

from __future__ import annotations

import sys
from collections.abc import Container
from dataclasses import dataclass, field, replace

from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Stored

_MOST = 150_000
"""Maximum cached manifests, about half a kilobyte each."""
_MOST_LETTERS = 8 << 20
"""Maximum cached lists of other snapshots: only the newest are used, and each may be long."""
_SHORT = 64
"""Characters of such a list that are kept in the manifest itself."""
_LEFT_OUT = "?"
"""Placeholder for a list that was left out; no manifest contains it."""
_ALIKE = ("cluster_id", "cluster_name", "product", "version", "node", "agent_version",
          "encryption", "clock", "leading_since", "history")  # fmt: skip
"""Fields with equal values in many manifests."""
Key = tuple[str, int, int]


@dataclass(slots=True)
class Remembered:
    """Manifests by name and size of their snapshots and their own size.

    Without that, as with a static name, nothing tells whether a manifest was replaced.
    """

    _facts: dict[Key, Manifest] = field(default_factory=dict)
    _long: dict[Key, tuple[str, str]] = field(default_factory=dict)
    """Lists of other snapshots and of mounts, least recently used first."""
    _letters: int = 0

    def recall(self, stored: Stored, *, whole: bool) -> Manifest | None:
        """Return the cached manifest of an unchanged snapshot; `None`: it must be read.

        Arguments:
            stored: The snapshot as listed now.
            whole: Whether its list of other snapshots is needed, too.
        """
        key = _key(stored)
        facts = self._facts.get(key) if stored.manifest_size else None
        if facts is None or facts.known != _LEFT_OUT or not whole:
            return facts
        if (long := self._long.pop(key, None)) is None:
            return None
        self._long[key] = long
        return replace(facts, known=long[0], counts=long[1])

    def note(self, stored: Stored, manifest: Manifest) -> None:
        """Cache a manifest; drop the oldest if there are too many."""
        key = _key(stored)
        if manifest.known == _LEFT_OUT:
            return  # written by another program
        self._forget(key)
        while len(self._facts) >= _MOST:
            self._forget(next(iter(self._facts)))
        long = manifest.known, manifest.counts
        alike = {name: sys.intern(str(getattr(manifest, name))) for name in _ALIKE}
        facts = replace(manifest, **alike, snapshot=stored.name)  # type: ignore[arg-type]
        if _length(long) > _SHORT:
            facts = replace(facts, known=_LEFT_OUT, counts="")
            self._long[key] = long
            self._letters += _length(long)
        self._facts[key] = facts
        while self._letters > _MOST_LETTERS:
            self._letters -= _length(self._long.pop(next(iter(self._long))))

    def keep_only(self, names: Container[str], count: int) -> None:
        """Drop manifests of deleted snapshots once they outnumber the others."""
        if len(self._facts) > 2 * count + _SHORT:
            for key in [key for key in self._facts if key[0] not in names]:
                self._forget(key)

    def _forget(self, key: Key) -> None:
        self._facts.pop(key, None)
        self._letters -= _length(self._long.pop(key, ("", "")))


def _length(long: tuple[str, str]) -> int:
    return sum(map(len, long))


def _key(stored: Stored) -> Key:
    return stored.name, stored.size, stored.manifest_size
