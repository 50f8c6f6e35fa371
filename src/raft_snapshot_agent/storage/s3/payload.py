"""The body of a request, with its checksum."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Buffer = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes that can be sent more than once.

    They are hashed once: the signature covers the SHA-256, so the store verifies the body; the same
    SHA-256 is the checksum that it can keep.
    """

    pieces: Sequence[Buffer]
    size: int
    digest: bytes
    """SHA-256."""

    @classmethod
    def of(cls, pieces: Iterable[Buffer]) -> Payload:
        kept = tuple(pieces)
        digest = hashlib.sha256()
        for piece in kept:
            digest.update(piece)
        return cls(kept, sum(map(len, kept)), digest.digest())

    @property
    def base64(self) -> str:
        return b64encode(self.digest).decode()

    @property
    def checksum(self) -> Mapping[str, str]:
        """The headers that make the store keep it, which Object Lock requires."""
        return {"x-amz-checksum-sha256": self.base64, "x-amz-sdk-checksum-algorithm": "SHA256"}


NOTHING = Payload.of(())
