"""What a hostile sender could think of ends as a verdict too, and costs little."""

from __future__ import annotations

import gzip
import random
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.core.archives import (
    STATE,
    archive,
    header,
    member,
    members,
    meta,
    packed,
    padded,
    pax_member,
    pax_record,
    refusal,
    tar,
    verified,
)

from raft_snapshot_agent.core.archive import ArchiveVerifier
from raft_snapshot_agent.core.snapshot import Snapshot
from raft_snapshot_agent.errors import VerificationError

MIB = 1 << 20
PLAIN = gzip.decompress(archive())
PARTS = members()
SEALED = "SHA256SUMS.sealed"


def with_state_records(records: bytes) -> bytes:
    plain = b"".join(
        pax_member(name, data, records) if name == "state.bin" else member(name, data)
        for name, data in PARTS.items()
    )
    return packed(plain + bytes(1024))


@pytest.mark.parametrize(
    ("records", "why"),
    [
        (b"nonsense", "its PAX header is damaged"),
        (b"0 size=1\n", "its PAX header is damaged"),
        (b"-9 size=1\n", "its PAX header is damaged"),
        (b"2 size=1\n", "its PAX header is damaged"),
        (b"99 size=1\n", "its PAX header is damaged"),
        (b"9" * 5000 + b" size=1\n", "its PAX header is damaged"),
        (pax_record("size", "-1"), "its PAX header is damaged"),
        (pax_record("size", "1e3"), "its PAX header is damaged"),
        (pax_record("size", ""), "its PAX header is damaged"),
        (pax_record("size", "9" * 5000), "its PAX header is damaged"),
        (pax_record("size", "9" * 18), "its tar ends inside state.bin"),
        (pax_record("size", "512"), "tar header is damaged"),
        (pax_record("path", "../evil") + pax_record("size", "768"), "PAX header sets path"),
    ],
)
def test_hostile_pax_records_are_refused(records: bytes, why: str) -> None:
    assert why in refusal(with_state_records(records))


def test_a_pax_header_speaks_of_the_next_member_only() -> None:
    sized = pax_member("meta.json", meta(), pax_record("size", str(len(meta()))))
    rest = b"".join(member(name, data) for name, data in PARTS.items() if name != "meta.json")
    assert verified(packed(sized + rest + bytes(1024))).meta.size == len(STATE)


@pytest.mark.parametrize("size", [b"-0000001\0\0\0\0", b"\xff" * 12, b"what?\0\0\0\0\0\0\0"])
def test_sizes_that_are_none_are_refused(size: bytes) -> None:
    block = bytearray(header("state.bin", 0))
    block[124:136] = size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    assert "its tar header is damaged" in refusal(packed(bytes(block) + bytes(4096)))


@pytest.mark.parametrize("name", ["meta.json", "SHA256SUMS", SEALED])
def test_a_huge_member_is_refused_before_it_is_read(name: str) -> None:
    verifier = ArchiveVerifier()
    with pytest.raises(VerificationError, match=f"{name} has 1048577 bytes"):
        verifier.feed(packed(header(name, MIB + 1)))


def test_a_huge_pax_header_is_refused_before_it_is_read() -> None:
    assert "its PAX header has 2097152 bytes" in refusal(
        packed(header("x", 2 * MIB, kind=tarfile.XHDTYPE))
    )


def test_many_pax_records_cost_no_more_than_their_length() -> None:
    records = b"4 a\n" * (MIB // 4)
    plain = header("x", len(records), kind=tarfile.XHDTYPE) + records
    assert "truncated archive: the end marker is missing" in refusal(packed(plain))


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (tar(PARTS), "bytes follow the end of its tar"),
        (header("state.bin", 1 << 30), "cut off"),
        (member("meta.json", meta()) + header("state.bin", 1 << 30), "cut off"),
    ],
    ids=["zeros behind the tar", "state", "meta and state"],
)
def test_a_gzip_bomb_takes_no_memory(head: bytes, why: str) -> None:
    bomb = _bomb(head, 192 * MIB)
    assert len(bomb) < MIB // 2
    assert why in _within(8 * MIB, lambda: refusal(bomb))


def _bomb(head: bytes, zeros: int) -> bytes:
    compress = zlib.compressobj(9, zlib.DEFLATED, 31)
    pieces = [compress.compress(head)]
    pieces += [compress.compress(bytes(MIB)) for _ in range(zeros // MIB)]
    return b"".join([*pieces, compress.flush(zlib.Z_SYNC_FLUSH)])


def _within(limit: int, work: Callable[[], str]) -> str:
    tracemalloc.start()
    try:
        line = work()
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()
    return line


@given(content=st.binary(max_size=2000), step=st.integers(1, 700))
def test_nothing_but_a_verdict_comes_of_any_bytes(content: bytes, step: int) -> None:
    refusal(content, step)
    refusal(packed(content), step)
    refusal(packed(padded(content)), step)


@given(seed=st.integers(0, 1 << 32))
def test_nothing_but_a_verdict_comes_of_any_damage(seed: int) -> None:
    source = random.Random(seed)
    damaged = bytearray(PLAIN)
    for _ in range(source.randrange(1, 6)):
        damaged[source.randrange(len(damaged))] = source.randrange(256)
    outcome: Any = None
    try:
        outcome = verified(packed(bytes(damaged)))
    except VerificationError as error:
        outcome = error
    assert isinstance(outcome, Snapshot | VerificationError)


def test_thousands_of_pax_headers_cost_nothing() -> None:
    one = header("pax", 0, kind=tarfile.XHDTYPE)
    with pytest.raises(VerificationError, match="more than 8 PAX headers"):
        verified(packed(one * 200_000))


def test_what_becomes_much_more_than_it_is_is_refused_before_it_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("raft_snapshot_agent.core.archive._FREE", 8 * MIB)
    fed: list[int] = []

    def bomb() -> Iterator[bytes]:
        squeezed = zlib.compressobj(9, zlib.DEFLATED, 31)
        yield squeezed.compress(member("meta.json", meta()) + header("state.bin", 1 << 33))
        while True:
            yield squeezed.compress(bytes(MIB)) + squeezed.flush(zlib.Z_SYNC_FLUSH)

    def feed() -> None:
        verifier = ArchiveVerifier()
        for piece in bomb():
            fed.append(len(piece))
            verifier.feed(piece)

    with pytest.raises(VerificationError, match="more than 200 times its size"):
        feed()
    assert sum(fed) < MIB
