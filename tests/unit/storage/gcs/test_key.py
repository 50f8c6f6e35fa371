"""The signatures that a service account's key makes, held against a library's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from raft_snapshot_agent.storage.gcs.key import PrivateKey

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def pem_of(key: Key, form: PrivateFormat) -> str:
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


@pytest.mark.parametrize("size", [2048, 3072, pytest.param(4096, marks=pytest.mark.soak)])
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_signatures_are_those_of_the_key(size: int, form: PrivateFormat) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=size)
    ours = PrivateKey.from_pem(pem_of(key, form))
    for message in (b"", b"a message", bytes(5000)):
        assert ours.sign(message) == key.sign(message, PKCS1v15(), SHA256())
    assert str(ours.private) not in repr(ours)


def test_what_is_no_rsa_key_is_told() -> None:
    for key in (ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()):
        pem = pem_of(key, PrivateFormat.PKCS8)
        with pytest.raises(ValueError, match="its private key"):
            PrivateKey.from_pem(pem)
    with pytest.raises(ValueError, match="no private key in PEM"):
        PrivateKey.from_pem("")


def lines_changed(pem: str) -> Iterator[str]:
    """Damage each line of a key in turn."""
    lines = pem.splitlines()
    for number in range(1, len(lines) - 1):
        changed = lines[number].translate(str.maketrans("ABCDabcd", "DCBAdcba"))
        if changed != lines[number]:
            yield "\n".join([*lines[:number], changed, *lines[number + 1 :]])


def test_a_damaged_key_signs_nothing() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = pem_of(key, PrivateFormat.PKCS8)
    refused = 0
    for damaged in lines_changed(pem):
        try:
            signed = PrivateKey.from_pem(damaged).sign(b"message")
        except ValueError:
            refused += 1
        else:  # what was changed are the primes, which are not used
            key.public_key().verify(signed, b"message", PKCS1v15(), SHA256())
    assert refused > 8  # of 26: version, modulus and both exponents
    for cut in range(30, len(pem) - 40, 97):
        with pytest.raises(ValueError, match="private key"):
            PrivateKey.from_pem(f"{pem[:cut]}\n-----END PRIVATE KEY-----\n").sign(b"message")
