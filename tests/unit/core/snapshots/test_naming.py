from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_snapshot_agent.core.snapshots.naming import (
    AGENT,
    SEED,
    Layout,
    Naming,
    ParsedName,
    RunId,
    catalogue,
    manifest_name,
    newest_first,
    parse,
)
from raft_snapshot_agent.core.snapshots.snapshot import Stored

NOON = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = st.timedeltas(timedelta(0), timedelta(days=84_000)).map(EPOCH.__add__)
ENTROPY = st.text("0123456789abcdef", min_size=6, max_size=32)
INDEXES = st.integers(0, 2**64 - 1)


def test_our_name_tells_time_index_and_run() -> None:
    run = AGENT.run(NOON + timedelta(microseconds=999_999), "0A1B2C3D4E")

    assert run == RunId("0a1b2c", NOON)
    assert AGENT.name(run, 4711) == "raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap"


def test_the_original_agents_name_is_nanoseconds() -> None:
    run = SEED.run(NOON, "0000ff")

    assert run == RunId("1795447800000000255", NOON)
    assert SEED.name(run, 4711) == "raft_snapshot-1795447800000000255.snap"


def test_what_a_clock_without_battery_dates_is_recognised() -> None:
    name = SEED.name(SEED.run(EPOCH + timedelta(seconds=9), "0000ff"), 7)

    assert name == "raft_snapshot-0000000009000000255.snap"
    parsed = parse(name)
    assert parsed is not None
    assert parsed.taken_at == EPOCH + timedelta(seconds=9)


@pytest.mark.parametrize("naming", [AGENT, SEED])
def test_two_agents_that_meet_do_not_collide(naming: Naming) -> None:
    one, other = naming.run(NOON, "0a1b2c"), naming.run(NOON, "0a1b2d")

    assert naming.name(one, 7) != naming.name(other, 7)


@pytest.mark.parametrize("naming", [AGENT, SEED])
@pytest.mark.parametrize("entropy", ["", "0a1b2", "0a1b2g", "0a1b2c\n", "0x1b2c"])
def test_entropy_that_is_not_six_hex_digits_is_refused(naming: Naming, entropy: str) -> None:
    with pytest.raises(ValueError, match="six hex digits"):
        naming.run(NOON, entropy)


@pytest.mark.parametrize("naming", [AGENT, SEED])
def test_the_hosts_time_zone_does_not_show(naming: Naming) -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=-9)))

    run = naming.run(elsewhere, "0a1b2c")

    assert run == naming.run(NOON, "0a1b2c")
    assert run.taken_at.tzinfo is UTC


@given(now=TIMES, entropy=ENTROPY, index=INDEXES)
def test_our_names_can_be_read_back(now: datetime, entropy: str, index: int) -> None:
    run = AGENT.run(now, entropy)

    assert parse(AGENT.name(run, index)) == ParsedName(run.taken_at, index, run.id)
    assert timedelta(0) <= now - run.taken_at < timedelta(seconds=1)


@given(now=TIMES, entropy=ENTROPY, index=INDEXES)
def test_the_originals_names_can_be_read_back(now: datetime, entropy: str, index: int) -> None:
    run = SEED.run(now, entropy)

    assert parse(SEED.name(run, index)) == ParsedName(now, None, run.id)


@given(first=TIMES, second=TIMES)
def test_our_names_sort_by_time(first: datetime, second: datetime) -> None:
    runs = [AGENT.run(moment, "0a1b2c") for moment in (first, second)]
    names = [AGENT.name(run, 7) for run in runs]

    assert (names[0] < names[1]) == (runs[0].taken_at < runs[1].taken_at)


def test_a_name_of_ours_needs_no_run() -> None:
    assert parse("raft-snapshot-20261123T153000Z-i0.snap") == ParsedName(NOON, 0, None)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "vault.snap",
        "raft-snapshot.snap",
        "raft-snapshot-20261399T153000Z-i1.snap",
        "raft-snapshot-20260229T153000Z-i1.snap",
        "raft-snapshot-20261123T240000Z-i1.snap",
        "raft-snapshot-20261123T153060Z-i1.snap",
        "raft-snapshot-00001123T153000Z-i1.snap",
        "raft-snapshot-99991231T235959Z-i1.snap",
        "raft-snapshot-20261123T153000-i1.snap",
        "raft-snapshot-20261123T153000Z.snap",
        "raft-snapshot-20261123T153000Z-i.snap",
        "raft-snapshot-20261123T153000Z-i-1.snap",
        "raft-snapshot-20261123T153000Z-i01.snap",
        "raft-snapshot-20261123T153000Z-i1-.snap",
        "raft-snapshot-20261123T153000Z-i1-0A1B2C.snap",
        "raft-snapshot-20261123T153000Z-i1-0a1b2.snap",
        "raft-snapshot-20261123T153000Z-i1-0a1b2c3.snap",
        "raft-snapshot-20261123T153000Z-i1-0a1b2g.snap",
        "raft-snapshot-20261123T153000Z-i1-0a1b2cxsnap",
        "raft-snapshot-20261123T153000Z-i1-0a1b2c.snap.json",
        "raft-snapshot-20261123T153000Z-i1-0a1b2c.snap.partial",
        "raft-snapshot-20261123T153000Z-i1-0a1b2c.snap.age",
        "raft-snapshot-20261123T153000Z-i1-0a1b2c.snap\n",
        "raft-snapshot-20261123T153000Z-i\u0661.snap",
        ".raft-snapshot-20261123T153000Z-i1-0a1b2c.snap",
        "prod/raft-snapshot-20261123T153000Z-i1-0a1b2c.snap",
        "raft-snapshot-20261123T153000Z-i1-0a1b2c.snap/",
        "raft_snapshot-.snap",
        "raft_snapshot--1.snap",
        "raft_snapshot-1795447800000000000.snap.json",
        "raft_snapshot-1795447800000000000.snap\n",
        "raft_snapshot-17954478000000000000.snap",
        "raft_snapshot-01795447800000000000.snap",
        "raft_snapshot-0.snap",
        "raft_snapshot-20261101.snap",
        "raft_snapshot-202611010300.snap",
        "raft_snapshot-20261101030000.snap",
        "raft_snapshot-1795447800.snap",
        "raft_snapshot-179544780000000000.snap",
        "raft_snapshot-20261123T153000Z-i1-0a1b2c.snap",
        "x/raft_snapshot-1795447800000000000.snap",
        "raft-snapshot-2026-11-23T15-30-00Z.snap",
    ],
)
def test_other_names_are_foreign(name: str) -> None:
    assert parse(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "raft-snapshot-10000101T000000Z-i0.snap",
        "raft-snapshot-29991231T235959Z-i99999999999999999999-ffffff.snap",
        "raft_snapshot-0000000000000000000.snap",
        "raft_snapshot-9999999999999999999.snap",
    ],
)
def test_whatever_is_read_can_be_placed_in_any_time_zone(name: str) -> None:
    parsed = parse(name)

    assert parsed is not None
    parsed.taken_at.astimezone(timezone(timedelta(hours=-14)))
    parsed.taken_at.astimezone(timezone(timedelta(hours=14)))


def test_the_catalogue_holds_snapshots_newest_first() -> None:
    old = "raft_snapshot-1795361400000000000.snap"
    new = "raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap"
    entries = [
        (old, 10),
        (manifest_name(new), 300),
        ("notes.txt", 5),
        (new, 20),
        ("raft-snapshot-20261123T153000Z-i9-0a1b2c.snap.partial", 7),
        ("raft-snapshot-20261123T163000Z-i9-0a1b2c.snap.json", 7),
    ]

    assert catalogue(iter(entries)) == (
        Stored(new, NOON, 20, index=4711, verified=True),
        Stored(old, NOON - timedelta(days=1), 10, index=None, verified=False),
    )


def test_an_empty_manifest_proves_nothing() -> None:
    name = "raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap"

    (stored,) = catalogue([(name, 20), (manifest_name(name), 0)])

    assert not stored.verified


def test_within_one_second_the_higher_index_is_newer() -> None:
    low, high, unknown = (
        Stored("z", NOON, 1, index=9),
        Stored("a", NOON, 1, index=10),
        Stored("y", NOON, 1),
    )
    later = Stored("b", NOON + timedelta(seconds=1), 1)

    assert newest_first([unknown, low, later, high]) == (later, high, low, unknown)


@given(
    name=st.one_of(
        st.text(),
        st.builds(
            "{}{}{}".format,
            st.sampled_from(["raft-snapshot-", "raft_snapshot-", "vault-", ""]),
            st.one_of(
                st.text("0123456789-+TZi_", max_size=40),
                st.builds(
                    "{:04}-{:02}-{:02}T{:02}-{:02}-{:02}{}".format,
                    st.integers(0, 9999),
                    *[st.integers(0, 99)] * 5,
                    st.sampled_from(["Z", "Z-2359", "Z+2359", "-2359", "Z-9999", "Z+0000"]),
                ),
                st.builds("{:04}1231T235959Z-i{}".format, st.integers(0, 9999), INDEXES),
            ),
            st.sampled_from([".snap", ".snap.json", ".s", ""]),
        ),
    )
)
def test_no_name_is_an_error_and_every_moment_can_be_told_everywhere(name: str) -> None:
    layouts = [AGENT, Layout("vault-", "2006-01-02T15-04-05Z-0700", ".s")]
    for parsed in (parse(name, naming) for naming in layouts):
        if parsed is not None:
            for hours in (-23, 23):
                parsed.taken_at.astimezone(timezone(timedelta(hours=hours)))
    catalogue([(name, 1)])


@pytest.mark.parametrize(
    "name",
    [
        "raft-snapshot-9999-12-31T23-59-59Z-2359.snap",
        "raft-snapshot-9999-12-31T23-59-59Z+0000.snap",
        "raft-snapshot-0001-01-01T00-00-00Z+2359.snap",
    ],
)
def test_a_name_that_cannot_be_dated_is_foreign(name: str) -> None:
    assert parse(name) is None
    assert catalogue([(name, 1)]) == ()
