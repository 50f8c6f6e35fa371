from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from tests.unit.core.test_snapshot import MANIFEST

from raft_snapshot_agent.core.signing import SigningKeys
from raft_snapshot_agent.core.snapshot import Manifest

KEYS = SigningKeys(b"k" * 32)
SIGNED = KEYS.sign(MANIFEST)


def test_a_signature_is_known_again_after_a_round_trip() -> None:
    read = Manifest.from_json(SIGNED.to_json())

    assert read.signature.startswith("hmac-sha256:")
    assert KEYS.has_signed(read)
    assert not KEYS.has_signed(MANIFEST)


def test_a_field_of_a_later_version_does_not_break_it() -> None:
    later = json.loads(SIGNED.to_json()) | {"colour": "green"}

    assert KEYS.has_signed(Manifest.from_json(json.dumps(later).encode()))


@pytest.mark.parametrize("name", [field.name for field in fields(Manifest)])
def test_it_covers_every_field(name: str) -> None:
    value: Any = getattr(SIGNED, name)
    changed: Any = value + "x" if isinstance(value, str) else value + 1

    assert not KEYS.has_signed(replace(SIGNED, **{name: changed}))


@pytest.mark.parametrize(
    "signature", ["", "hmac-sha256:", "hmac-sha256:" + "0" * 64, "none", "\ud800", "ü" * 76]
)
def test_what_is_no_signature_is_none(signature: str) -> None:
    assert not KEYS.has_signed(replace(SIGNED, signature=signature))


def test_another_key_is_another_and_an_old_one_is_known() -> None:
    other = SigningKeys(b"o" * 32)

    assert not other.has_signed(SIGNED)
    assert SigningKeys(b"o" * 32, (b"x" * 32, KEYS.current)).has_signed(SIGNED)


def test_a_key_that_could_be_guessed_is_refused_and_none_is_shown() -> None:
    for short in ((b"k" * 31, ()), (b"k" * 32, (b"old",))):
        with pytest.raises(ValueError, match="at least 32"):
            SigningKeys(*short)
    assert "kkk" not in repr(KEYS)
