"""Keys by mount: what is counted, how it is written down, and what is a loss."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import pytest
from tests.unit.core import archives
from tests.unit.core.entries import state

from raft_snapshot_agent.core.snapshot_file import mount_counts
from raft_snapshot_agent.core.snapshot_file.archive import ArchiveVerifier
from raft_snapshot_agent.core.snapshot_file.entries import CountedEntries
from raft_snapshot_agent.core.snapshot_file.mount_counts import (
    MountCounter,
    MountCounts,
    Tally,
    explain_loss,
)

ONE, TWO = (f"logical/{uuid.UUID(int=number)}/" for number in (1, 2))


def counted(content: bytes) -> MountCounts | None:
    """Count a state on its way past the verifier, in pieces of any size."""
    archive = archives.archive(archives.members(state=content))
    found = []
    for step in (7, 1 << 20):
        counter = MountCounter()
        verifier = ArchiveVerifier(entries=CountedEntries(counter))
        for start in range(0, len(archive), step):
            verifier.feed(archive[start : start + step])
        assert verifier.finish().size == len(archive), "whole, whatever it holds"
        found.append(counter.counts)
    assert found[0] == found[1]
    return found[0]


def keys(mounts: Mapping[str, int], value: bytes = b"x" * 10) -> bytes:
    return state(
        {f"{path}{at:05}".encode(): value for path, n in mounts.items() for at in range(n)}
    )


def told(**mounts: int) -> MountCounts:
    return MountCounts({path: Tally(count, 9 * count) for path, count in mounts.items()})


def test_secrets_and_policies_are_counted_by_mount_and_leases_are_not() -> None:
    found = counted(
        keys(
            {
                ONE: 30,
                f"namespaces/a1/{TWO}": 7,
                "sys/policy/": 4,
                "sys/expire/id/auth/": 90,
                "sys/token/id/": 80,
                f"auth/{uuid.UUID(int=3)}/": 70,
                "core/": 5,
            }
        )
    )

    assert found == MountCounts(
        {ONE: Tally(30, 300), f"namespaces/a1/{TWO}": Tally(7, 70), "sys/policy/": Tally(4, 40)}
    )


def test_wrapped_answers_in_a_cubbyhole_come_and_go() -> None:
    wrapped = {f"{ONE}{at:05}/{what}": 1 for at in range(50) for what in ("response", "wrapinfo")}
    content = state({key.encode(): b"x" for key in wrapped} | {f"{ONE}z".encode(): b"x"})

    assert counted(content) == MountCounts({ONE: Tally(1, 1)})


def test_the_largest_are_told_of_one_by_one_and_the_others_together() -> None:
    mounts = {f"logical/{uuid.UUID(int=number)}/": 1 + number % 2 for number in range(300)}

    found = counted(keys(mounts))

    assert found is not None
    assert len(found.mounts) == 200
    assert found.rest.keys == sum(mounts.values()) - sum(one.keys for one in found.mounts.values())
    assert {one.keys for one in found.mounts.values()} == {1, 2}
    assert len(found.to_text()) < 40_000
    assert MountCounts.from_text(found.to_text()) == found


@pytest.mark.parametrize("content", [b"no entries at all", keys({ONE: 3})[:-4], b""])
def test_a_state_of_another_form_has_no_counts(content: bytes) -> None:
    assert counted(content) in (None, MountCounts())


def test_what_would_take_long_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    content = keys({ONE: 30})
    assert counted(content) is not None
    for limit, value in (("MOST_BYTES", 100), ("MOST_ENTRIES", 29), ("_MOST_SEEN", 0)):
        with monkeypatch.context() as patched:
            patched.setattr(mount_counts, limit, value)
            assert counted(content) is None


@pytest.mark.parametrize(
    "path", ["logical/a b/", "logical/a;/", "logical/ä/", f"logical/{'x' * 200}/", "logical/\n/"]
)
def test_a_path_that_does_not_fit_is_counted_with_the_rest(path: str) -> None:
    found = counted(keys({path: 3, ONE: 2}))

    assert found == MountCounts({ONE: Tally(2, 20)}, Tally(3, 30))
    assert MountCounts.from_text(found.to_text()) == found


@pytest.mark.parametrize(
    "text", ["", "x", "a b c", "a 1", "a 1 2;b 3 4", "a -1 2", "a 1 2; ", "a 9999999999999999 1"]
)
def test_what_is_no_count_tells_nothing(text: str) -> None:
    assert MountCounts.from_text(text) is None


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ({"a": 30}, {}, "the mount a has vanished with its 30 keys"),
        ({"a": 30, "b": 1}, {"a": 14, "b": 1}, "the mount a has 14 of its 30 keys"),
        ({"a": 30}, {"a": 15}, ""),
        ({"a": 30}, {"a": 900}, ""),
        ({"a": 19}, {}, ""),
        ({"a": 12, "b": 9, "c": 50}, {"b": 9, "c": 50}, "2 mounts with few keys each have 9 of"),
        ({"a": 9, "b": 12, "c": 50}, {"b": 12, "c": 50}, ""),
        ({}, {"a": 7}, ""),
    ],
)
def test_a_mount_that_lost_most_of_its_keys(
    before: dict[str, int], now: dict[str, int], words: str
) -> None:
    found = explain_loss(told(**before), told(**now), 0.5)

    assert found.startswith(words)
    assert bool(found) == bool(words)
    assert explain_loss(told(**before), told(**now), 1.0) == "", "all may go: it is switched off"


def test_who_is_not_among_the_largest_any_more_may_be_among_the_rest() -> None:
    before = told(a=30, b=40)
    overtaken = MountCounts({"b": Tally(40, 1), "c": Tally(31, 1)}, Tally(30, 1))
    lost = MountCounts({"b": Tally(40, 1), "c": Tally(31, 1)}, Tally(3, 1))

    assert explain_loss(before, overtaken, 0.5) == ""
    assert "the mount a has" in explain_loss(before, lost, 0.5)
