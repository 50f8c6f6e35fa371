"""Reads the unencrypted parts of a snapshot: versions and seal of the cluster.

Both are unencrypted below `core/`: a key for each version that the cluster ever ran, and the seal's
configuration. Entries are sorted by key, so reading stops after `core/`.

Source: `vault/version_store.go` and `vault/seal.go` of OpenBao and Vault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.core.release import parse_release
from raft_snapshot_agent.core.snapshot_file.entries import EntryReader, StateEntry
from raft_snapshot_agent.errors import VerificationError

_VERSIONS = b"core/versions/"
_SEAL = b"core/seal-config"
_BEHIND = b"core0"
"""The first key after `core/`."""
_LONGEST = 64
"""Most characters of a version."""


@dataclass(frozen=True, slots=True)
class Seal:
    """How a cluster is unsealed."""

    kind: str
    """`shamir` for key shares, else the type of the KMS, such as `awskms`."""
    shares: int = 0
    threshold: int = 0

    @property
    def is_shared(self) -> bool:
        return self.kind == "shamir"


@dataclass(frozen=True, slots=True)
class ClearParts:
    """Version and seal of the cluster of a snapshot."""

    version: str = ""
    """Newest version that ever ran there; empty if unknown."""
    seal: Seal | None = None


class ClearReader(EntryReader):
    """Reads the unencrypted parts of a state; an unknown format gives nothing, without error."""

    def __init__(self) -> None:
        super().__init__(marks=True)
        self.parts = ClearParts()
        self._is_done = False

    def feed(self, piece: memoryview) -> None:
        if self._is_done:
            return
        try:
            super().feed(piece)
        except VerificationError:
            self._is_done = True
        self._note(self.take())

    def finish(self) -> None:
        """Accept any end: completeness is checked elsewhere."""

    def _note(self, entries: Sequence[StateEntry]) -> None:
        version, seal = self.parts.version, self.parts.seal
        for key, size, mark in entries:
            if key >= _BEHIND:
                self._is_done = True
                break
            if key.startswith(_VERSIONS):
                version = _newer(version, key.removeprefix(_VERSIONS))
            elif key == _SEAL:
                seal = _read_seal(mark[:size])
        self.parts = ClearParts(version, seal)


def _newer(known: str, key: bytes) -> str:
    told = key.decode("ascii", "replace")[:_LONGEST]
    release = parse_release(told)
    if release is None or not told.isprintable():
        return known
    return told if release > (parse_release(known) or ()) else known


def _read_seal(text: bytes) -> Seal | None:
    try:
        told = read_json(text)
        kind, shares, threshold = (
            told.get(name) for name in ("type", "secret_shares", "secret_threshold")
        )
    except (ValueError, AttributeError):
        return None
    if not isinstance(kind, str) or type(shares) is not int or type(threshold) is not int:
        return None
    # Old versions wrote no type, because there was only one.
    return Seal(kind[:_LONGEST] or "shamir", shares, threshold)
