"""Signs and verifies manifests and notes with a key shared by the agents of a cluster."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from raft_snapshot_agent.core.snapshots.snapshot import Manifest

LEAST_BYTES = 32
"""Least length of a key; `openssl rand -base64 32` makes one."""
_SCHEME = "hmac-sha256:"
_PURPOSE = b"raft-snapshot-manifest-1\n"
_COUNTS = b"raft-snapshot-counts-1\n"
_SAFETY = b"raft-snapshot-purpose-1\n"
_SIGNED = (
    "format", "snapshot", "taken_at", "index", "term", "size", "sha256", "duration",
    "cluster_id", "cluster_name", "product", "version", "node", "agent_version", "encryption",
    "clock", "began", "ended", "leading_since", "history", "known",
)  # fmt: skip
"""Signed fields, listed explicitly, so that fields added by later versions do not matter."""


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The present signing key, and previous keys that are still accepted."""

    current: bytes = field(repr=False)
    old: tuple[bytes, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Refuse a key that is too short.

        Raises:
            ValueError: A key is too short.
        """
        if any(len(key) < LEAST_BYTES for key in (self.current, *self.old)):
            raise ValueError(f"a signing key has at least {LEAST_BYTES} characters")

    def sign(self, manifest: Manifest) -> Manifest:
        """Return the manifest with its signatures."""
        counts = self.sign_note(_COUNTS, _counted(manifest)) if manifest.counts else ""
        purpose = self.sign_note(_SAFETY, _marked(manifest)) if manifest.purpose else ""
        signature = self.sign_note(_PURPOSE, _list_signed_fields(manifest))
        return replace(
            manifest, signature=signature, counts_signature=counts, purpose_signature=purpose
        )

    def has_signed_counts(self, manifest: Manifest) -> bool:
        """Return whether the signature of a manifest's counts is by one of the keys."""
        return self.has_signed_note(_COUNTS, _counted(manifest), manifest.counts_signature)

    def has_signed_purpose(self, manifest: Manifest) -> bool:
        """Return whether the signature of a manifest's purpose is by one of the keys."""
        return self.has_signed_note(_SAFETY, _marked(manifest), manifest.purpose_signature)

    def has_signed(self, manifest: Manifest) -> bool:
        """Return whether the signature of a manifest is by one of the keys."""
        return self.has_signed_note(_PURPOSE, _list_signed_fields(manifest), manifest.signature)

    def sign_note(self, purpose: bytes, told: Mapping[str, object]) -> str:
        """Return the signature of a note; the purpose prevents its use for another type of note."""
        return _signature(purpose, told, self.current)

    def has_signed_note(self, purpose: bytes, told: Mapping[str, object], signature: str) -> bool:
        """Return whether the signature of a note is by one of the keys."""
        found = signature.encode(errors="surrogatepass")
        made = [_signature(purpose, told, key).encode() for key in (self.current, *self.old)]
        return any([hmac.compare_digest(found, one) for one in made])  # noqa: C419 - constant time


def _list_signed_fields(manifest: Manifest) -> dict[str, object]:
    return {name: getattr(manifest, name) for name in _SIGNED}


def _counted(manifest: Manifest) -> dict[str, object]:
    return {name: getattr(manifest, name) for name in ("snapshot", "sha256", "counts")}


def _marked(manifest: Manifest) -> dict[str, object]:
    return {name: getattr(manifest, name) for name in ("snapshot", "sha256", "purpose")}


def _signature(purpose: bytes, told: Mapping[str, object], key: bytes) -> str:
    text = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return _SCHEME + hmac.new(key, purpose + text.encode(), hashlib.sha256).hexdigest()
