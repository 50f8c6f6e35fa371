"""Signs tokens with the private key of a service account: RSA with SHA-256.

Google issues such keys as PKCS #8 in PEM. See docs/decisions/0027-google-json-api.md for why no
library is used.

Source: RFC 8017 (PKCS #1, sections 8.2.1 and 9.2, appendix A.1.2), RFC 5958 (PKCS #8).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from dataclasses import dataclass, field

_PEM = re.compile(
    r"-----BEGIN (RSA )?PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END (?:RSA )?PRIVATE KEY-----"
)
_SEQUENCE = 0x30
_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
"""DigestInfo in DER up to the digest. Source: RFC 8017, section 9.2, note 1."""
_LEAST_BITS = 2048


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """An RSA key."""

    modulus: int
    public: int
    private: int = field(repr=False)

    @classmethod
    def from_pem(cls, text: str) -> PrivateKey:
        """Parse a key.

        Raises:
            ValueError: It is invalid or too short.
        """
        found = _PEM.search(text)
        if found is None:
            raise ValueError("it holds no private key in PEM")
        try:
            der = base64.b64decode("".join(found[2].split()), validate=True)
            document = der if found[1] else _fields(der, _SEQUENCE)[2][1]
            numbers = [int.from_bytes(value) for _, value in _fields(document, _SEQUENCE)]
            key = cls(*numbers[1:4])
        except (binascii.Error, IndexError, TypeError, ValueError):
            raise ValueError("its private key is damaged") from None
        if key.modulus.bit_length() < _LEAST_BITS or not key.modulus % 2:
            raise ValueError("its private key is no RSA key of 2048 bits or more")
        return key

    def sign(self, message: bytes) -> bytes:
        """Sign a message; the duration does not depend on the key.

        Raises:
            ValueError: The parts of the key are inconsistent.
        """
        size = (self.modulus.bit_length() + 7) // 8
        digest = _SHA256 + hashlib.sha256(message).digest()
        padded = int.from_bytes(b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest)
        # Blinded: the private exponent is applied to a random number.
        blind = secrets.randbelow(self.modulus - 2) + 2
        hidden = padded * pow(blind, self.public, self.modulus) % self.modulus
        signed = pow(hidden, self.private, self.modulus) * pow(blind, -1, self.modulus)
        signed %= self.modulus
        if pow(signed, self.public, self.modulus) != padded:
            raise ValueError("its private key is damaged")
        return signed.to_bytes(size)


def _fields(der: bytes, outer: int) -> list[tuple[int, bytes]]:
    """Split a constructed value into its fields, each with its tag."""
    tag, content, _ = _field(der, 0)
    if tag != outer:
        raise ValueError("another type was expected")
    found, at = [], 0
    while at < len(content):
        tag, value, at = _field(content, at)
        found.append((tag, value))
    return found


def _field(der: bytes, at: int) -> tuple[int, bytes, int]:
    """Return tag and content of the field at `at`, and the position of the next."""
    tag, length, start = der[at], der[at + 1], at + 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[at + 2 : start])
    if start + length > len(der):
        raise ValueError("it is cut off")
    return tag, der[start : start + length], start + length
