"""What a snapshot holds, by mount and by prefix: how many keys, how many bytes, what is largest.

The paths of mounts are sealed; their UUIDs and the keys below them are not, and the shape of those
keys tells some engines.

Source: `vault/mount.go`, `vault/expiration.go`, `vault/token_store.go` and
`helper/storagepacker` of OpenBao.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable
from dataclasses import dataclass

from raft_snapshot_agent.core.snapshot_file.entries import StateEntry

_KINDS = {
    b"logical": "secrets",
    b"auth": "auth",
    b"audit": "audit",
    b"core": "core",
    b"sys/expire": "leases",
    b"sys/token": "tokens",
    b"sys/policy": "policies",
    b"sys/counters": "counters",
}
_MOUNTED = {b"logical", b"auth", b"audit"}
"""Below these, each UUID is a mount of its own."""
_UUID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VERSIONED = {b"archive", b"metadata", b"policy", b"versions"}
"""Folders of the versioned key/value engine, below a UUID of its own."""
_IDENTITY = {b"packer", b"oidc_provider", b"oidc_tokens"}
"""Folders of the identity store."""
_LARGEST = 5


@dataclass(frozen=True, slots=True)
class Mount:
    """What a key belongs to: a mount, or a part of the server itself."""

    kind: str
    path: str
    """Where its keys begin in the storage."""
    namespace: str = ""


@dataclass(slots=True)
class Count:
    """How many keys there are, and how many bytes their values have."""

    keys: int = 0
    size: int = 0
    engine: str = ""
    """What a mount is, where its keys tell."""


class Mounts:
    """Finds the mounts that keys belong to; each is one object, however many keys it has."""

    def __init__(self) -> None:
        self._known: dict[bytes, Mount] = {}

    def of(self, key: bytes) -> Mount:
        """Return what a key belongs to."""
        parts = key.split(b"/", 2)
        if parts[0] == b"namespaces" and len(parts) == 3:
            inner = parts[2].split(b"/", 2)
            prefix = b"/".join((*parts[:2], *inner[:2]))
            return self._known.get(prefix) or self._add(prefix, inner, parts[1])
        prefix = b"/".join(parts[:2])
        return self._known.get(prefix) or self._add(prefix, parts, b"")

    def _add(self, prefix: bytes, parts: list[bytes], namespace: bytes) -> Mount:
        first, inner = parts[0], b"/".join(parts[:2])
        kind = _KINDS.get(inner) or _KINDS.get(first) or shown(first)
        one = first in _MOUNTED or inner in _KINDS
        path = prefix if one else prefix.removesuffix(inner) + first
        self._known[prefix] = mount = Mount(kind, f"{shown(path)}/", shown(namespace))
        return mount


class Contents:
    """Counts the entries of a snapshot; memory grows with its mounts and not with its keys."""

    def __init__(self, depth: int = 0, prefix: str = "") -> None:
        """Begin to count.

        Arguments:
            depth: Parts of a key by which it is also counted; 0: it is not.
            prefix: Count by depth only what begins with this.
        """
        self.is_readable = True
        """Whether the state holds storage entries."""
        self.keys = self.size = self.leases = self.tokens = 0
        self.mounts: dict[Mount, Count] = {}
        self.prefixes: dict[bytes, Count] = {}
        self._depth, self._prefix = depth, prefix.encode()
        self._of = Mounts()
        self._largest: list[tuple[int, bytes]] = []

    def expect(self, size: int) -> None:
        """Begin: no state is too large."""

    def add(self, entries: Iterable[StateEntry]) -> None:
        """Count some more entries."""
        for key, size, _ in entries:
            self.keys += 1
            self.size += size
            mount = self._of.of(key)
            count = self.mounts.get(mount) or self.mounts.setdefault(mount, Count())
            _add(count, size)
            self._recognise(mount, count, key)
            if self._depth and key.startswith(self._prefix):
                self._add_to_prefix(key, size)
            if len(self._largest) < _LARGEST:
                heapq.heappush(self._largest, (size, key))
            elif size > self._largest[0][0]:
                heapq.heapreplace(self._largest, (size, key))

    @property
    def largest(self) -> list[tuple[str, int]]:
        """The keys of the largest values, and how large these are."""
        return [(shown(key), size) for size, key in sorted(self._largest, reverse=True)]

    def _add_to_prefix(self, key: bytes, size: int) -> None:
        parts = key.split(b"/", self._depth)
        head = b"/".join(parts[: self._depth]) + b"/" * (len(parts) > self._depth)
        _add(self.prefixes.get(head) or self.prefixes.setdefault(head, Count()), size)

    def _recognise(self, mount: Mount, count: Count, key: bytes) -> None:
        if mount.kind == "leases":
            self.leases += b"sys/expire/id/" in key
        elif mount.kind == "tokens":
            self.tokens += b"sys/token/id/" in key
        elif mount.kind == "secrets" and not count.engine:
            count.engine = _engine(key[len(mount.path) :])


def shown(text: bytes) -> str:
    """Return a key as text; what is no UTF-8 is escaped."""
    return text.decode("utf-8", "backslashreplace")


def _add(count: Count, size: int) -> None:
    count.keys += 1
    count.size += size


def _engine(rest: bytes) -> str:
    """Return which engine keeps keys of such a form; empty where that is not sure."""
    parts = rest.split(b"/", 2)
    if parts[0] in _IDENTITY:
        return "identity"
    versioned = len(parts) > 1 and parts[1] in _VERSIONED and _UUID.fullmatch(parts[0])
    return "kv version 2" if versioned else ""
