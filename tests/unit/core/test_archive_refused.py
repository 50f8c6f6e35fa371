"""What is not one whole snapshot is refused, in one line, whatever is wrong with it."""

from __future__ import annotations

import gzip
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.core.archives import (
    STATE,
    archive,
    header,
    members,
    meta,
    packed,
    refusal,
    sums,
    tar,
    unpacked,
    verified,
)

from raft_snapshot_agent.errors import VerificationError

WHOLE = archive()
PACKED = archive(level=9)
PLAIN = gzip.decompress(WHOLE)
PARTS = members()
SEALED = "SHA256SUMS.sealed"


def without(name: str) -> dict[str, bytes]:
    return {key: data for key, data in PARTS.items() if key != name}


def flipped(content: bytes, place: int, bit: int) -> bytes:
    return content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :]


def test_the_unbroken_one_is_accepted() -> None:
    assert verified(WHOLE).meta == verified(PACKED, 1).meta


@pytest.mark.parametrize("content", [WHOLE, PACKED], ids=["stored", "deflated"])
def test_truncation_at_any_byte_is_refused(content: bytes) -> None:
    for length in range(len(content)):
        line = refusal(content[:length])
        assert "it is empty" in line if length == 0 else f"cut off after {length} bytes" in line


@pytest.mark.parametrize("content", [WHOLE, PACKED], ids=["stored", "deflated"])
def test_a_flipped_bit_is_refused_unless_it_changes_nothing_of_the_content(content: bytes) -> None:
    refused = 0
    for place in range(len(content)):
        bit = place % 8
        try:
            verified(flipped(content, place, bit))
        except VerificationError:
            refused += 1
        else:  # time and system in gzip's header, filling bits between its blocks
            assert gzip.decompress(flipped(content, place, bit)) == PLAIN
    assert refused >= len(content) - 12


@given(place=st.integers(0, len(PLAIN) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_inside_is_refused_though_gzips_checksum_is_right(
    place: int, bit: int
) -> None:
    changed = flipped(PLAIN, place, bit)
    try:
        verified(packed(changed))
    except VerificationError:
        return
    # The rest is what nothing speaks of: filling, owners and times, the sealed sums' content.
    parts = unpacked(packed(changed))
    assert {name: parts[name] for name in ("meta.json", "state.bin")} == {
        name: PARTS[name] for name in ("meta.json", "state.bin")
    }


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b'{"errors":["Vault is sealed"]}', "it is not a gzip archive", id="json"),
        pytest.param(b"<html>502</html>", "it is not a gzip archive", id="html"),
        pytest.param(b"\x1f", "cut off after 1 bytes", id="one byte"),
        pytest.param(b"\x1f\x8b\x09" + bytes(50), "gzip: ", id="another method"),
        pytest.param(PLAIN, "it is not a gzip archive", id="bare tar"),
        pytest.param(
            packed(b""), "truncated archive: the end marker is missing", id="nothing in gzip"
        ),
        pytest.param(packed(b"a" * 512), "its tar header is damaged", id="no tar in gzip"),
        pytest.param(
            packed(PLAIN[:-512]),
            "truncated archive: the end marker is missing",
            id="one block at the end",
        ),
        pytest.param(
            packed(PLAIN[:-1000]),
            "truncated archive: the end marker is missing",
            id="part of the end",
        ),
        pytest.param(packed(PLAIN[:700]), "its tar ends inside meta.json", id="cut in meta"),
        pytest.param(packed(PLAIN[:1600]), "its tar ends inside state.bin", id="cut in state"),
        pytest.param(packed(bytes(10240)), "meta.json is missing", id="no member"),
        pytest.param(WHOLE + b"\0", "bytes follow its end", id="one zero behind"),
        pytest.param(WHOLE + b"\n", "bytes follow its end", id="newline behind"),
        pytest.param(WHOLE + WHOLE, "bytes follow its end", id="a second gzip member"),
        pytest.param(WHOLE + packed(b""), "bytes follow its end", id="an empty gzip member"),
        pytest.param(
            packed(PLAIN + b"x"),
            "truncated archive: the end marker is missing",
            id="a byte behind the tar",
        ),
        pytest.param(packed(PLAIN + b"x" * 512), "bytes follow the end of its tar", id="tar tail"),
        pytest.param(packed(PLAIN + PLAIN), "bytes follow the end of its tar", id="second tar"),
    ],
)
def test_what_is_no_archive_is_named(content: bytes, why: str) -> None:
    assert why in refusal(content)
    assert why in refusal(content, step=1)


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        (without("meta.json"), "meta.json is missing"),
        (without("state.bin"), "state.bin is missing"),
        (without("SHA256SUMS"), "SHA256SUMS is missing"),
        (without(SEALED), "SHA256SUMS.sealed is missing or empty"),
        (PARTS | {SEALED: b""}, "SHA256SUMS.sealed is missing or empty"),
        (PARTS | {"x\n\x1b[2J": b"?"}, "unexpected member 'x\\n\\x1b[2J'"),
        (PARTS | {"its PAX header": b""}, "unexpected member 'its PAX header'"),
        (PARTS | {"pax": b""}, "unexpected member 'pax'"),
        (PARTS | {"./meta.json": b"{}"}, "unexpected member './meta.json'"),
        (PARTS | {"state.bin": STATE + b"x"}, "state.bin has 769 bytes, meta.json says 768"),
        (PARTS | {"state.bin": STATE[::-1]}, "the hash of state.bin does not match SHA256SUMS"),
        (PARTS | {"meta.json": meta(Term=4)}, "the hash of meta.json does not match SHA256SUMS"),
        (members(meta(Size=769)), "state.bin has 768 bytes, meta.json says 769"),
        (PARTS | {"SHA256SUMS": b""}, "SHA256SUMS does not list meta.json"),
        (PARTS | {"SHA256SUMS": sums({"meta.json": meta()})}, "does not list state.bin"),
        (PARTS | {"SHA256SUMS": sums(PARTS)}, "SHA256SUMS lists 'SHA256SUMS'"),
        (PARTS | {"SHA256SUMS": b"abc"}, "SHA256SUMS cannot be read"),
        (PARTS | {"SHA256SUMS": b"\xff \xfe"}, "SHA256SUMS lists"),
        (
            PARTS | {"SHA256SUMS": sums({"state.bin": b"another"}) + PARTS["SHA256SUMS"]},
            "the hash of state.bin does not match SHA256SUMS",
        ),
    ],
)
def test_what_is_wrong_with_the_members_is_named(parts: dict[str, bytes], why: str) -> None:
    assert why in refusal(archive(parts))


def test_a_missing_seal_sends_the_operator_to_the_kms() -> None:
    assert "(the server could not use its seal" in refusal(archive(without(SEALED)))


@pytest.mark.parametrize("name", list(PARTS))
def test_no_member_may_come_twice(name: str) -> None:
    assert f"it holds {name} twice" in refusal(packed(tar([*PARTS.items(), (name, PARTS[name])])))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE, b"g", b"L"]
)
def test_members_must_be_plain_files(kind: bytes) -> None:
    assert "unexpected member" in refusal(packed(header("state.bin", 0, kind=kind) + bytes(1024)))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff\xfe{",
        b"[" * 500_000,
        b'{"Index":' * 100_000,
        b"9" * 10_000,
        meta(Index="seven"),
        meta(Index=None),
        meta(Index=float("inf")),
        meta(Term=float("nan")),
        meta(Size=[1]),
        meta(Configuration=[1]),
        meta(Configuration={"Servers": 5}),
        meta(Configuration={"Servers": [5]}),
    ],
    ids=lambda text: text[:24].decode("latin-1"),
)
def test_nonsense_in_the_place_of_the_meta_is_refused(text: bytes) -> None:
    parts = PARTS | {"meta.json": text}
    assert "meta.json cannot be read" in refusal(archive(parts))
