"""The content of a storage at a moment, from its listing, and when its next snapshot is due."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TypeVar

import anyio

from raft_snapshot_agent.core.history.proof import Judge, is_contradicted
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Stored
from raft_snapshot_agent.core.state.freshness import is_ahead
from raft_snapshot_agent.core.state.holding import Holding, Survey
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.drill_notes import read_newest_drill
from raft_snapshot_agent.destination.scrubbing import read_scrub_note
from raft_snapshot_agent.errors import (
    LoginRefused,
    StorageDenied,
    StorageUnavailable,
)
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.threads import beside_loop

_T = TypeVar("_T")

LOOK_WITHIN = 30.0
"""Maximum seconds for a storage to answer."""
_AT_ONCE = 20
_JUDGED = 20
"""Most snapshots that are judged to find the newest usable one."""


def describe_unlisted(destination: Destination) -> Holding:
    """Return what is known of a storage before it is listed."""
    return Holding(
        destination.name,
        destination.storage.kind,
        required=destination.required,
        prunes=destination.prunes,
    )


async def look_at(destination: Destination, timing: ScheduleSpec, now: datetime) -> Holding:
    """List one storage. A failure is in the result. Raises nothing.

    Arguments:
        destination: The storage.
        timing: Its schedule.
        now: The present time.
    """
    try:
        with anyio.fail_after(LOOK_WITHIN):
            found = await survey(destination, await destination.current(), now)
    except Exception as error:  # noqa: BLE001 - one storage never hides another
        found = unlisted(error)
    return describe_unlisted(destination).with_survey(found, timing)


def unlisted(error: Exception) -> Survey:
    """Return the error of a failed listing."""
    if not isinstance(error, TimeoutError):
        return Survey(error=as_failure(error))
    why = f"cannot list snapshots: no answer within {LOOK_WITHIN:g} s"
    return Survey(error=StorageUnavailable(why, hint="check its address and the network"))


async def survey(destination: Destination, stored: Sequence[Stored], now: datetime) -> Survey:
    """Summarise the listing of a storage, and read its notes.

    Arguments:
        destination: The storage.
        stored: Its snapshots, newest first.
        now: The present time.

    Raises:
        StorageError: A note could not be read.
    """
    newest = await judge_newest(destination, stored, now)
    stored = newest.stored
    found = await beside_loop(partial(Survey.of, stored, now), len(stored))
    alarm = await _try_read(_find_alarm(destination))
    took = 0.0 if newest.manifest is None else newest.manifest.duration
    scrubbed = await _try_read(read_scrub_note(destination, now, stored))
    noted = found.noted(alarm, took)
    drill = await _try_read(read_newest_drill(destination, stored, now))
    noted = replace(noted, denied=newest.denied, contradicted=newest.contradicted)
    return replace(noted, scrubbed=scrubbed, drill=drill)


@dataclass(frozen=True, slots=True)
class NewestJudged:
    """A listing whose newest snapshots were compared with their manifests."""

    stored: Sequence[Stored]
    """Newest first."""
    contradicted: tuple[Stored, ...] = ()
    """Those before the newest usable one that are not what their manifests describe."""
    manifest: Manifest | None = None
    """The manifest of the newest usable one; `None`: it has none, or it may not be read."""
    denied: str = ""
    """Why it may not be read."""


async def judge_newest(
    destination: Destination, stored: Sequence[Stored], now: datetime
) -> NewestJudged:
    """Compare the newest snapshots with their manifests, back to the first that agrees.

    That is one manifest, as a rule: to read all of a large storage could take an hour. One with a
    static name is not compared, because it may just be being replaced.

    Arguments:
        destination: The storage.
        stored: Its snapshots, newest first.
        now: The present time.

    Raises:
        StorageError: A manifest could not be read.
    """
    judge = Judge(destination.naming)
    judged: dict[str, Stored] = {}
    manifest, denied = None, ""
    for one in islice((one for one in stored if not is_ahead(one.taken_at, now)), _JUDGED):
        judged[one.name] = one
        if not one.is_counted:
            continue
        if not one.verified:
            break
        try:
            told = await destination.manifest(one.name)
        except LoginRefused:
            raise
        except StorageDenied as error:
            denied = error.message
            break
        found = judge.judge_stored(one, told)
        if destination.static_name is not None or not found.doubt:
            manifest = told
            break
        judged[one.name] = found
    contradicted = tuple(one for one in judged.values() if is_contradicted(one))
    if contradicted:
        stored = [judged.get(one.name, one) for one in stored]
    return NewestJudged(stored, contradicted, manifest, denied)


async def look_at_all(
    destinations: Sequence[tuple[Destination, ScheduleSpec]], now: datetime
) -> tuple[Holding, ...]:
    """List every storage, with limited concurrency.

    Arguments:
        destinations: Each with the schedule that applies if it has none of its own.
        now: The present time.
    """
    found: dict[int, Holding] = {}
    limit = anyio.CapacityLimiter(_AT_ONCE)

    async def look_at_one(number: int, destination: Destination, timing: ScheduleSpec) -> None:
        async with limit:
            found[number] = await look_at(destination, timing.own(destination.timing), now)

    async with anyio.create_task_group() as tasks:
        for number, (destination, timing) in enumerate(destinations):
            tasks.start_soon(look_at_one, number, destination, timing)
    return tuple(found[number] for number in range(len(destinations)))


async def _find_alarm(destination: Destination) -> str | None:
    """Return why retention is suspended; empty if it is not, `None` if no note would tell."""
    if destination.notes.guard is None:
        return None
    alarm = await destination.alarm()
    return "" if alarm is None else str(alarm)


async def _try_read(reading: Awaitable[_T | None]) -> _T | None:
    """Return the content; `None` if only the permission to read is missing."""
    try:
        return await reading
    except LoginRefused:
        raise
    except StorageDenied:
        return None
