"""What is whole is accepted, in whatever pieces and whatever legal form it comes."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import random
from collections.abc import Iterable

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.core.archives import (
    INDEX,
    STATE,
    TERM,
    archive,
    header,
    member,
    members,
    meta,
    packed,
    padded,
    pax_member,
    pax_record,
    tar,
    unpacked,
)

from raft_snapshot_agent.core.archive import ArchiveVerifier
from raft_snapshot_agent.core.snapshot import ArchiveMeta, Snapshot
from raft_snapshot_agent.errors import VerificationError
from raft_snapshot_agent.servers.openbao import OpenBaoCluster

WHOLE = archive()


@pytest.fixture(scope="session")
def real(bao: OpenBaoCluster) -> bytes:
    """A snapshot as a real server sends it."""
    with urllib3.PoolManager() as pool:
        answer = pool.request(
            "GET",
            f"{bao.leader().address}/v1/sys/storage/raft/snapshot",
            headers={"X-Vault-Token": bao.root_token},
        )
    assert answer.status == 200
    return answer.data


def verified(pieces: Iterable[bytes | memoryview]) -> Snapshot:
    verifier = ArchiveVerifier()
    for piece in pieces:
        verifier.feed(piece)
    return verifier.finish()


def cut(content: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(content) + 1) for place in places), len(content)]
    return [content[start:end] for start, end in itertools.pairwise(edges)]


def test_a_real_snapshot_is_whole_and_tells_what_it_is(real: bytes) -> None:
    snapshot = verified([real])

    parts = unpacked(real)
    said = json.loads(parts["meta.json"])
    assert snapshot.size == len(real)
    assert snapshot.sha256 == hashlib.sha256(real).hexdigest()
    assert snapshot.meta == ArchiveMeta(
        index=said["Index"], term=said["Term"], size=len(parts["state.bin"]), servers=("bao0",)
    )
    assert snapshot.meta.index > 0


def test_what_it_is_is_known_within_the_first_kibibyte(real: bytes) -> None:
    verifier = ArchiveVerifier()
    assert verifier.meta is None
    for start in range(0, 1024, 64):
        verifier.feed(real[start : start + 64])
    assert verifier.meta == verified([real]).meta


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.soak)])
def test_a_real_snapshot_is_accepted_byte_by_byte_and_no_byte_earlier(
    real: bytes, stride: int
) -> None:
    verifier = ArchiveVerifier()
    for left, value in zip(range(len(real), 0, -1), real, strict=True):
        if left % stride == 0 or left < 1000:  # its end is what may be taken for one too early
            with pytest.raises(VerificationError):
                verifier.finish()
        verifier.feed(bytes([value]))
    assert verifier.finish() == verified([real])


@given(places=st.lists(st.integers(0, 1 << 20), max_size=40))
def test_the_verdict_does_not_depend_on_the_pieces(real: bytes, places: list[int]) -> None:
    assert verified(cut(real, places)) == verified([real])
    assert verified(memoryview(piece) for piece in cut(WHOLE, places)) == verified([WHOLE])


def test_pieces_may_lie_in_a_buffer_that_is_used_again(real: bytes) -> None:
    buffer = bytearray(777)

    def pieces() -> Iterable[memoryview]:
        for start in range(0, len(real), 777):
            piece = real[start : start + 777]
            buffer[: len(piece)] = piece
            yield memoryview(buffer)[: len(piece)]

    assert verified(pieces()) == verified([real])


@pytest.mark.parametrize("level", range(10))
def test_every_compression_is_accepted(real: bytes, level: int) -> None:
    again = packed(gzip.decompress(real), level)
    snapshot = verified(cut(again, range(0, len(again), 1000)))
    assert snapshot.meta == verified([real]).meta
    assert snapshot.sha256 == hashlib.sha256(again).hexdigest()


def test_gzip_headers_may_hold_a_name_and_a_time() -> None:
    plain = gzip.decompress(WHOLE)
    named = b"\x1f\x8b\x08\x08\x01\x02\x03\x04\x02\x03a name\0" + packed(plain)[10:]
    assert verified([named]).meta.index == INDEX


@pytest.mark.parametrize("order", list(itertools.permutations(members())))
def test_members_may_come_in_any_order(order: tuple[str, ...]) -> None:
    parts = members()
    snapshot = verified([archive({name: parts[name] for name in order})])
    assert (snapshot.meta.index, snapshot.meta.term, snapshot.meta.size) == (4711, TERM, len(STATE))


@pytest.mark.parametrize("blocks", [1, 18, 2000])
def test_a_tar_may_end_in_more_zeros_than_it_must(blocks: int) -> None:
    assert verified([packed(tar(members()) + bytes(512 * blocks))]).meta.index == INDEX


@pytest.mark.parametrize("state", [b"", b"x", bytes(512), random.Random(1).randbytes(3_000_001)])
def test_states_of_any_size_are_accepted(state: bytes) -> None:
    assert verified([archive(members(state=state), 1)]).meta.size == len(state)


def test_the_lines_of_sums_may_come_in_any_order_and_case() -> None:
    parts = members()
    first, second = parts["SHA256SUMS"].decode().splitlines()
    name = second[64:]
    parts["SHA256SUMS"] = f"{second[:64].upper()}{name}\n\n{first}".encode()
    assert verified([archive(parts)]).meta.index == INDEX


def test_a_snapshot_without_members_of_a_cluster_is_accepted() -> None:
    parts = members(meta(Configuration=None))
    assert verified([archive(parts)]).meta.servers == ()


def test_pax_records_tell_the_size_as_go_writes_it_for_large_states() -> None:
    parts = members()
    records = pax_record("mtime", "1764000000.5") + pax_record("size", str(len(STATE)))
    plain = b"".join(
        pax_member(name, data, records) if name == "state.bin" else member(name, data)
        for name, data in parts.items()
    )
    assert verified([packed(plain + bytes(1024))]).meta.size == len(STATE)


def test_a_state_over_8_gib_is_followed_to_where_it_is_cut_off() -> None:
    size = 9 << 30
    parts = members(meta(Size=size))
    plain = member("meta.json", parts["meta.json"])
    plain += pax_member("state.bin", bytes(4096), pax_record("size", str(size)))
    verifier = ArchiveVerifier()
    verifier.feed(packed(plain)[:-8])
    assert verifier.meta is not None
    assert verifier.meta.size == size
    with pytest.raises(VerificationError, match="cut off after"):
        verifier.finish()


def test_a_size_in_binary_is_understood() -> None:
    parts = members()
    plain = b"".join(_binary_header(name, len(data)) + padded(data) for name, data in parts.items())
    assert verified([packed(plain + bytes(1024))]).meta.index == INDEX


def _binary_header(name: str, size: int) -> bytes:
    """Write the size as GNU tar does for members over 8 GiB."""
    block = bytearray(header(name, 0))
    block[124:136] = b"\x80" + size.to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)
