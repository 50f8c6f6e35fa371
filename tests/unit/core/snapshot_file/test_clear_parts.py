"""Version and seal of the cluster are read from a snapshot without any key."""

from __future__ import annotations

import json

import pytest
from tests.unit.core.entries import state

from raft_snapshot_agent.core.snapshot_file.clear_parts import ClearParts, ClearReader, Seal

SEAL = {"type": "shamir", "secret_shares": 5, "secret_threshold": 3}


def read(content: bytes, step: int = 1 << 20) -> ClearParts:
    reader, view = ClearReader(), memoryview(content)
    for start in range(0, len(view), step):
        reader.feed(view[start : start + step])
    reader.finish()
    return reader.parts


def told(**more: bytes) -> bytes:
    entries = {
        b"audit/1": b"x" * 9000,
        b"core/versions/2.5.3": b"{}",
        b"core/versions/2.10.0": b"{}",
        b"core/versions/2.7.2": b"{}",
        b"core/seal-config": json.dumps(SEAL).encode(),
        b"logical/1/core/versions/9.9.9": b"{}",
        b"sys/x": b"y" * 9000,
    }
    return state(entries | {key.replace("_", "/").encode(): one for key, one in more.items()})


@pytest.mark.parametrize("step", [1, 100, 1 << 20])
def test_the_newest_version_and_the_seal_are_told(step: int) -> None:
    assert read(told(), step) == ClearParts("2.10.0", Seal("shamir", 5, 3))


def test_what_lies_behind_is_not_looked_at() -> None:
    assert read(told() + b"no entry at all").version == "2.10.0"


@pytest.mark.parametrize(
    "content", [b"", b"no entries", state({b"a": b"b"}), state({b"core/versions/new": b""})]
)
def test_a_state_that_tells_nothing_is_taken_all_the_same(content: bytes) -> None:
    assert read(content) == ClearParts()


@pytest.mark.parametrize(
    ("text", "seal"),
    [
        (b'{"type": "awskms", "secret_shares": 1, "secret_threshold": 1}', Seal("awskms", 1, 1)),
        (b'{"type": "", "secret_shares": 1, "secret_threshold": 1}', Seal("shamir", 1, 1)),
        (b"[]", None),
        (b"{", None),
        (b'{"type": "shamir", "secret_shares": "5", "secret_threshold": 3}', None),
    ],
)
def test_a_seal_is_read_as_it_is_written(text: bytes, seal: Seal | None) -> None:
    assert read(state({b"core/seal-config": text})).seal == seal
