"""What a run does with a long history: counted, not timed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bench.history import NEWEST, Kept, history
from tests.stores.memory import MemoryStorage

from raft_snapshot_agent import threads
from raft_snapshot_agent.backup.finish import finish
from raft_snapshot_agent.backup.lookup import read_history
from raft_snapshot_agent.backup.run_context import Unsettled
from raft_snapshot_agent.core.history import flood, guard, retention
from raft_snapshot_agent.core.history.flood import Pace, explain_flood, fingerprinted
from raft_snapshot_agent.core.history.proof import read_known, write_known
from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.snapshots import naming
from raft_snapshot_agent.core.snapshots.naming import catalogue, manifest_name, newest_first
from raft_snapshot_agent.core.snapshots.snapshot import Instant, Manifest, Stored
from raft_snapshot_agent.core.state.report import Delivery
from raft_snapshot_agent.destination import destination as places
from raft_snapshot_agent.destination import listing, proofs
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.remembered import Remembered
from raft_snapshot_agent.storage.base import BytesSource, Entry

HOUR = timedelta(hours=1)
POLICY = Retention(last=24, daily=7, weekly=5, monthly=12)


class Counting(MemoryStorage):
    """A storage of a long history that counts what it is asked for."""

    def __init__(self, kept: Iterable[Kept], *, telling: bool = True) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()
        self._made = {manifest_name(one.name): one for one in kept}
        names = [one.name for one in self._made.values()]
        self._known = write_known(names) if telling else ""

    async def entries(self) -> list[Entry]:
        self.asked["list"] += 1
        made = [
            entry
            for name, one in self._made.items()
            for entry in (Entry(one.name, one.size), Entry(name, len(one.manifest)))
        ]
        return [*made, *await super().entries()]

    async def read(self, name: str) -> AsyncIterator[bytes]:
        self.asked["read"] += 1
        if name in self._made:
            told = Manifest.from_json(self._made[name].manifest)
            yield replace(told, known=self._known).to_json()
            return
        async for piece in super().read(name):
            yield piece

    async def delete(self, name: str) -> None:
        self._made.pop(manifest_name(name), None)
        await super().delete(name)


def place(storage: MemoryStorage, policy: Retention = POLICY) -> Destination:
    return Destination("memory", storage, policy, pace=Pace(Every(HOUR)), with_manifest=True)


async def run(destination: Destination, after: int = 1) -> Delivery:
    """Take a snapshot so many hours after the newest, as an agent does."""
    (new,) = history(1, NEWEST + after * HOUR)
    told = replace(Manifest.from_json(new.manifest), index=20_000_000 + after, clock="")
    name = naming.AGENT.name(naming.AGENT.run(NEWEST + after * HOUR, "abcdef"), told.index)
    content = name.encode()
    told = replace(told, snapshot=name, size=len(content), sha256=f"{after:064}")
    await destination.storage.put(name, BytesSource(content))
    now = NEWEST + after * HOUR
    before = await read_history(destination, Instant(), now)
    delivery = Delivery("memory", "memory")
    done = await finish(destination, told, before, delivery, Unsettled(), lambda: now)
    assert done.error is None
    return done


async def test_a_run_lists_a_storage_once_and_reads_what_it_relies_on_only() -> None:
    asked = {}
    for count in (1000, 2000):
        storage = Counting(history(count))
        destination = place(storage)
        done = await run(destination)
        assert len(done.deleted) >= 24
        assert storage.asked["list"] == 1
        asked[count] = storage.asked["read"]
        await run(destination, 2)
        assert storage.asked["list"] == 2
        assert storage.asked["read"] - asked[count] <= 60, "each is read once in a process"
    assert asked[2000] <= 1.2 * asked[1000] <= 400


async def test_manifests_that_say_what_the_names_say_change_no_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plans: list[retention.Plan] = []

    def counted(*given: Any, **more: Any) -> retention.Plan:
        plans.append(retention.plan(*given, **more))
        return plans[-1]

    monkeypatch.setattr(places, "plan", counted)
    pruned = await place(Counting(history(1000))).prune(NEWEST, dry_run=True)
    assert len(pruned.plan.delete) > 0
    assert len(plans) == 1


async def test_manifests_that_say_nothing_of_others_are_not_all_read() -> None:
    storage = Counting(history(1200), telling=False)

    assert await place(storage)._flood(await place(storage).stored(), NEWEST) == ""

    assert storage.asked["read"] <= 600


async def test_more_silent_manifests_than_the_schedule_explains_hide_nobody() -> None:
    dense = [
        replace_time(one, NEWEST - timedelta(minutes=number % 50, seconds=number % 60), number)
        for number, one in enumerate(history(900))
    ]
    storage = Counting(dense, telling=False)
    (honest,) = history(1, NEWEST - 2 * HOUR)
    told = replace(Manifest.from_json(honest.manifest), known=".")
    await storage.put(honest.name, BytesSource(bytes(honest.size)))
    await storage.put(manifest_name(honest.name), BytesSource(told.to_json()))

    said = await place(storage)._flood(await place(storage).stored(), NEWEST)

    assert f"were added since {honest.name}" in said


def replace_time(one: Kept, taken_at: datetime, number: int) -> Kept:
    told = Manifest.from_json(one.manifest)
    name = naming.AGENT.name(naming.AGENT.run(taken_at, f"{number:06x}"), told.index)
    told = replace(told, snapshot=name, taken_at=f"{taken_at:%Y-%m-%dT%H:%M:%SZ}")
    return Kept(name, one.size, told.to_json())


async def test_a_copy_of_one_that_goes_later_is_found() -> None:
    """It fills a rule, and what it is a copy of is read for that."""
    kept = [*history(400)]
    original = kept[300]
    told = Manifest.from_json(original.manifest)
    copy = replace_time(original, NEWEST - timedelta(minutes=30), 7)
    storage = Counting([*kept, copy])
    destination = place(storage, Retention(last=3))

    plan = (await destination.prune(NEWEST, dry_run=True)).plan

    by_name = {one.name: one for one in plan.keep}
    assert told.sha256 == Manifest.from_json(copy.manifest).sha256
    assert "a copy of" in by_name[copy.name].doubt
    assert by_name[original.name].is_duplicated
    assert original.name not in {one.name for one in (*plan.delete, *plan.postponed)}
    assert storage.asked["read"] < 200


async def test_what_takes_long_is_done_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many rows are never gone through in the thread of the loop."""
    loop, seen = threading.get_ident(), Counter[str]()

    def watched(module: Any, name: str) -> None:
        original = getattr(module, name)

        def watching(*args: Any, **more: Any) -> Any:
            seen[name] += 1
            assert threading.get_ident() != loop, name
            return original(*args, **more)

        monkeypatch.setattr(module, name, watching)

    destination_module = __import__(Destination.__module__, fromlist=["_"])
    guard_module = __import__("raft_snapshot_agent.destination.guard", fromlist=["_"])
    for module, name in (
        (listing, "catalogue"),
        (destination_module, "plan"),
        (destination_module, "explain_flood"),
        (proofs, "list_needed"),
        (proofs, "write_known"),
        (guard_module, "_suspects"),
        (guard_module, "_list_warnings"),
    ):
        watched(module, name)

    await run(place(Counting(history(threads.MANY_ROWS + 1))))

    assert len(seen) == 7, seen


def rows(count: int) -> list[Stored]:
    """List snapshots an hour apart, newest first, each with a manifest."""
    times = [NEWEST - number * HOUR for number in range(count)]
    return [
        Stored(
            naming.AGENT.name(naming.AGENT.run(at, f"{number:06x}"), 10**6 - number),
            at,
            1000 + number,
            10**6 - number,
            verified=True,
            manifest_size=1,
        )
        for number, at in enumerate(times)
    ]


def steps(work: Any) -> int:
    """Count the lines of the agent's code that are run."""
    import sys

    count = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal count
        if "raft_snapshot_agent" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return count


BROKEN = {"condemned": True, "condemned_at": NEWEST}
POLICIES = {
    "usual": POLICY,
    "many last": Retention(last=10**6),
    "half": Retention(within=timedelta(days=20)),
    "space": Retention(max_space=10**8),
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("state", [{}, BROKEN, {"verified": False}, {"held": True}])
def test_a_plan_grows_linearly(policy: Retention, state: dict[str, Any]) -> None:
    taken = []
    for count in (100, 200, 400):
        listed = rows(count)
        some = [replace(one, **state) if at % 2 else one for at, one in enumerate(listed)]
        taken.append(steps(lambda some=some: retention.plan(some, policy, NEWEST, most=24)))
    assert taken[2] - taken[1] <= 2.2 * (taken[1] - taken[0]), taken


def test_catalogue_guard_and_flood_grow_linearly() -> None:
    point = guard.Point.of(Manifest.from_json(next(history(1)).manifest))
    told = replace(Manifest.from_json(next(history(1)).manifest), known=".")
    for work in (
        lambda listed: catalogue([(one.name, one.size) for one in listed]),
        lambda listed: newest_first(reversed(listed)),
        lambda listed: guard.suspects(listed, replace(point, index=0)),
        lambda listed: explain_flood(
            listed, [flood.Witness(listed[0], told)] * 8, Pace(Every(HOUR), 10**6), NEWEST
        ),
    ):
        taken = [steps(lambda n=n, work=work: work(rows(n))) for n in (100, 200, 400)]
        assert taken[2] - taken[1] <= 2.2 * (taken[1] - taken[0]), taken


# What a manifest tells of others, where these are very many.


def test_a_long_history_is_no_flood() -> None:
    """A manifest names the newest 20,000, and tells how many more there were."""
    listed = rows(20_200)
    (own,) = history(1)
    told = replace(Manifest.from_json(own.manifest), known=write_known([r.name for r in listed]))
    assert len(told.to_json()) < 1 << 20, "it can be read back"
    witness = flood.Witness(listed[0], told)

    assert witness.never_saw(fingerprinted(listed)) == 0
    assert witness.never_saw(fingerprinted(listed[:-100])) == 0, "those that are gone"
    new = replace(listed[0], name="raft-snapshot-20261126T123000Z-i5-abcdef.snap")
    assert witness.never_saw(fingerprinted([new, *listed])) == 1
    old = [replace(listed[-1], name=f"{number}") for number in range(30)]
    assert witness.never_saw(fingerprinted([*listed, *old])) == 30, "older than all it names"


@pytest.mark.parametrize("tail", ["+", "+-1", "+x", "+1+1", "+" + "9" * 40, "+\u0661"])
def test_a_number_that_is_none_counts_for_nothing(tail: str) -> None:
    (own,) = history(1)
    known = read_known(replace(Manifest.from_json(own.manifest), known=f".{'a' * 11}{tail}"))
    assert known is not None
    assert (known.fingerprints, known.more) == (frozenset({"a" * 11}), 0)


# What is remembered of manifests that were read.


def remembered(count: int, known: str = "") -> tuple[Remembered, list[Stored]]:
    memory, listed = Remembered(), rows(count)
    told = replace(Manifest.from_json(next(history(1)).manifest), known=known)
    for one in listed:
        memory.note(one, replace(told, snapshot=one.name))
    return memory, listed


def test_what_manifests_tell_of_others_is_remembered_within_bounds() -> None:
    memory, listed = remembered(100, "." + "a" * 220_000)

    assert all(memory.recall(one, whole=False) for one in listed)
    whole = [one for one in listed if memory.recall(one, whole=True)]
    assert 32 <= len(whole) <= 40
    assert sum(len("".join(one)) for one in memory._long.values()) == memory._letters <= 8 << 20


def test_what_lies_there_no_longer_is_forgotten() -> None:
    memory, listed = remembered(500)
    left = listed[:100]

    memory.keep_only({one.name for one in left}, len(left))

    assert [one for one in listed if memory.recall(one, whole=False)] == left


def test_another_size_is_another_snapshot() -> None:
    memory, (one,) = remembered(1)
    assert memory.recall(one, whole=True)
    assert memory.recall(replace(one, size=1), whole=True) is None
    assert memory.recall(replace(one, manifest_size=2), whole=True) is None


def test_order_by_time_index_and_name_whatever_the_length() -> None:
    listed = rows(6000)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    alike = [Stored(f"{n:05}", at, 1, n % 3 or None) for n in range(3000)]
    mixed = sorted([*listed, *alike], key=lambda one: hash(one.name) % 9973)

    found = newest_first(mixed)

    assert newest_first(found) == found
    key = lambda one: (one.taken_at, -1 if one.index is None else one.index, one.name)  # noqa: E731
    assert list(found) == sorted(mixed, key=key, reverse=True)


def test_what_is_in_order_is_not_sorted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = newest_first(rows(6000))
    monkeypatch.delattr(naming, "merge")
    assert newest_first(listed) is listed
    with pytest.raises(NameError):
        newest_first(reversed(listed))
