"""Counts the keys and bytes in a snapshot by mount and by prefix, and finds the largest values.

The paths of mounts are encrypted; their UUIDs and the keys below them are not, and the form of the
keys identifies some engines.

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
"""Prefixes below which each UUID is a mount."""
_UUID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VERSIONED = {b"archive", b"metadata", b"policy", b"versions"}
"""Folders of the versioned key/value engine, below its UUID."""
_IDENTITY = {b"packer", b"oidc_provider", b"oidc_tokens"}
"""Folders of the identity store."""
_LARGEST = 5
_ROOM = 32 << 20
"""Bytes for groups that are told apart: for 50,000 mounts, of which no server has as many."""
_GROUP = 600
"""Bytes that a group takes, beside its name."""
_OTHERS = b"(others)"


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount, or a part of the server, to which keys belong."""

    kind: str
    path: str
    """Prefix of its keys."""
    namespace: str = ""


@dataclass(slots=True)
class Count:
    """Number of keys, and total bytes of their values."""

    keys: int = 0
    size: int = 0
    engine: str = ""
    """Type of the mount, if its keys identify it."""


class Mounts:
    """Finds the mount of each key; keys of the same mount share one object.

    A forged snapshot may have a mount for each key: those for which there is no room are one.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Mount] = {}
        self._room = _ROOM
        self._others = Mount("others", shown(_OTHERS))

    def of(self, key: bytes) -> Mount:
        """Return the mount of a key."""
        parts = key.split(b"/", 2)
        if parts[0] == b"namespaces" and len(parts) == 3:
            inner = parts[2].split(b"/", 2)
            prefix = b"/".join((*parts[:2], *inner[:2]))
            return self._known.get(prefix) or self._add(prefix, inner, parts[1])
        prefix = b"/".join(parts[:2])
        return self._known.get(prefix) or self._add(prefix, parts, b"")

    def _add(self, prefix: bytes, parts: list[bytes], namespace: bytes) -> Mount:
        self._room -= _GROUP + len(prefix)
        if self._room < 0:
            return self._others
        first, inner = parts[0], b"/".join(parts[:2])
        kind = _KINDS.get(inner) or _KINDS.get(first) or shown(first)
        one = first in _MOUNTED or inner in _KINDS
        path = prefix if one else prefix.removesuffix(inner) + first
        self._known[prefix] = mount = Mount(kind, f"{shown(path)}/", shown(namespace))
        return mount


class Contents:
    """Counts the entries of a snapshot; memory grows with the mounts, not with the keys."""

    def __init__(self, depth: int = 0, prefix: str = "") -> None:
        """Start to count.

        Arguments:
            depth: Number of key parts by which to count additionally; 0: none.
            prefix: Count by depth only keys with this prefix.
        """
        self.is_readable = True
        """Whether the state contains storage entries."""
        self.keys = self.size = self.leases = self.tokens = 0
        self.mounts: dict[Mount, Count] = {}
        self.prefixes: dict[bytes, Count] = {}
        self._depth, self._prefix = depth, prefix.encode()
        self._of = Mounts()
        self._room = _ROOM
        self._largest: list[tuple[int, bytes]] = []

    def expect(self, size: int) -> None:
        """Start a state; none is too large."""

    def add(self, entries: Iterable[StateEntry]) -> None:
        """Count further entries."""
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
        """The keys of the largest values, with their sizes."""
        return [(shown(key), size) for size, key in sorted(self._largest, reverse=True)]

    def _add_to_prefix(self, key: bytes, size: int) -> None:
        parts = key.split(b"/", self._depth)
        head = b"/".join(parts[: self._depth]) + b"/" * (len(parts) > self._depth)
        if head not in self.prefixes:
            self._room -= _GROUP + len(head)
            head = head if self._room > 0 else _OTHERS
        _add(self.prefixes.setdefault(head, Count()), size)

    def _recognise(self, mount: Mount, count: Count, key: bytes) -> None:
        if mount.kind == "leases":
            self.leases += b"sys/expire/id/" in key
        elif mount.kind == "tokens":
            self.tokens += b"sys/token/id/" in key
        elif mount.kind == "secrets" and not count.engine:
            count.engine = _engine(key[len(mount.path) :])


def shown(text: bytes) -> str:
    """Return a key as text; invalid UTF-8 is escaped."""
    return text.decode("utf-8", "backslashreplace")


def _add(count: Count, size: int) -> None:
    count.keys += 1
    count.size += size


def _engine(rest: bytes) -> str:
    """Return the engine that uses keys of this form; empty if not certain."""
    parts = rest.split(b"/", 2)
    if parts[0] in _IDENTITY:
        return "identity"
    versioned = len(parts) > 1 and parts[1] in _VERSIONED and _UUID.fullmatch(parts[0])
    return "kv version 2" if versioned else ""
