from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from tests.unit.core.snapshots.test_snapshot import MANIFEST

from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.core.snapshots.snapshot import SAFETY, Manifest

KEYS = SigningKeys(b"k" * 32)
SIGNED = KEYS.sign(replace(MANIFEST, counts="logical/a/ 120 5324", purpose=SAFETY))
COUNTS, PURPOSE = ["counts", "counts_signature"], ["purpose", "purpose_signature"]
"""Signed on their own: versions that do not know them have a signature without."""


def test_a_signature_is_known_again_after_a_round_trip() -> None:
    read = Manifest.from_json(SIGNED.to_json())

    assert read.signature.startswith("hmac-sha256:")
    assert KEYS.has_signed(read)
    assert not KEYS.has_signed(MANIFEST)


def test_a_field_of_a_later_version_does_not_break_it() -> None:
    later = json.loads(SIGNED.to_json()) | {"colour": "green"}

    assert KEYS.has_signed(Manifest.from_json(json.dumps(later).encode()))


def changed(name: str) -> Manifest:
    value: Any = getattr(SIGNED, name)
    other: Any = value + "x" if isinstance(value, str) else value + 1
    return replace(SIGNED, **{name: other})


@pytest.mark.parametrize(
    "name", [field.name for field in fields(Manifest) if field.name not in [*COUNTS, *PURPOSE]]
)
def test_it_covers_every_field(name: str) -> None:
    assert not KEYS.has_signed(changed(name))


@pytest.mark.parametrize("name", [*COUNTS, "snapshot", "sha256"])
def test_counts_are_signed_for_this_snapshot(name: str) -> None:
    assert KEYS.has_signed_counts(SIGNED)
    assert not KEYS.has_signed_counts(changed(name))


@pytest.mark.parametrize("name", [*PURPOSE, "snapshot", "sha256"])
def test_the_purpose_is_signed_for_this_snapshot(name: str) -> None:
    assert KEYS.has_signed_purpose(SIGNED)
    assert not KEYS.has_signed_purpose(changed(name))
    assert KEYS.sign(MANIFEST).purpose_signature == ""


def test_versions_that_know_no_counts_and_this_one_read_each_others_manifests() -> None:
    assert KEYS.has_signed(replace(SIGNED, counts="", counts_signature=""))
    assert KEYS.has_signed(replace(SIGNED, purpose="", purpose_signature=""))
    without = KEYS.sign(MANIFEST)
    assert KEYS.has_signed(without)
    assert (without.signature, without.counts_signature) == (SIGNED.signature, "")


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
