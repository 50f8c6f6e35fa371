"""The body of a request, and what proves that it arrived unchanged."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Buffer = bytes | memoryview
CRC32 = "CRC32"


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes that can be sent more than once.

    They are summed once. As a rule with SHA-256: the signature covers it, so the store checks what
    arrives, and the same is the checksum that it keeps where it is asked to. Over TLS, which lets
    nobody else write, a CRC-32 that the store checks does the same for a tenth of the time.
    """

    pieces: Sequence[Buffer]
    size: int
    digest: bytes
    algorithm: str = "SHA256"
    """Of the digest, as S3 spells it."""

    @classmethod
    def of(cls, pieces: Iterable[Buffer]) -> Payload:
        kept = tuple(pieces)
        digest = hashlib.sha256()
        for piece in kept:
            digest.update(piece)
        return cls(kept, sum(map(len, kept)), digest.digest())

    @classmethod
    def unsigned(cls, pieces: Iterable[Buffer]) -> Payload:
        """Make a body that its signature does not cover."""
        from zlib_ng import zlib_ng

        kept, crc = tuple(pieces), 0
        for piece in kept:
            crc = zlib_ng.crc32(piece, crc)
        return cls(kept, sum(map(len, kept)), crc.to_bytes(4, "big"), CRC32)

    @property
    def is_signed(self) -> bool:
        return self.algorithm != CRC32

    @property
    def signed(self) -> str:
        """What the signature says of the body."""
        return self.digest.hex() if self.is_signed else "UNSIGNED-PAYLOAD"

    @property
    def base64(self) -> str:
        return b64encode(self.digest).decode()

    @property
    def checksum(self) -> Mapping[str, str]:
        """The headers that have the store keep it; by these alone Object Lock takes an object."""
        return {self.header: self.base64, "x-amz-sdk-checksum-algorithm": self.algorithm}

    @property
    def header(self) -> str:
        """The name of the header with the checksum, also in answers."""
        return f"x-amz-checksum-{self.algorithm.lower()}"


NOTHING = Payload.of(())
