"""Signatures of manifests: only who has the key can describe a snapshot that fills a rule."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field, replace

from raft_snapshot_agent.core.snapshot import Manifest

LEAST_BYTES = 32
"""Fewer could be guessed; `openssl rand -base64 32` makes a key."""
_SCHEME = "hmac-sha256:"
_PURPOSE = b"raft-snapshot-manifest-1\n"
_SIGNED = (
    "format", "snapshot", "taken_at", "index", "term", "size", "sha256", "duration",
    "cluster_id", "cluster_name", "product", "version", "node", "agent_version", "encryption",
    "clock", "began", "ended", "leading_since", "history", "known",
)  # fmt: skip
"""Named one by one: a later version that adds a field is still understood by this one."""


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The key that manifests are signed with, and those they were signed with before."""

    current: bytes = field(repr=False)
    old: tuple[bytes, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Refuse a key that could be guessed.

        Raises:
            ValueError: One is too short.
        """
        if any(len(key) < LEAST_BYTES for key in (self.current, *self.old)):
            raise ValueError(f"a signing key has at least {LEAST_BYTES} characters")

    def sign(self, manifest: Manifest) -> Manifest:
        """Return the manifest with its signature."""
        return replace(manifest, signature=_signature(manifest, self.current))

    def has_signed(self, manifest: Manifest) -> bool:
        """Return whether one of the keys made the signature of a manifest."""
        told = manifest.signature.encode(errors="surrogatepass")
        made = [_signature(manifest, key).encode() for key in (self.current, *self.old)]
        return any([hmac.compare_digest(told, one) for one in made])  # noqa: C419 - in equal time


def _signature(manifest: Manifest, key: bytes) -> str:
    fields = {name: getattr(manifest, name) for name in _SIGNED}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return _SCHEME + hmac.new(key, _PURPOSE + text.encode(), hashlib.sha256).hexdigest()
