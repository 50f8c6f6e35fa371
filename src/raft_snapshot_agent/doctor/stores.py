"""Check the storages: content, age of the newest snapshot, and suspended retention."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from shlex import quote
from typing import cast

import anyio

from raft_snapshot_agent.core.ages import format_age
from raft_snapshot_agent.core.enumeration import enumerate_names
from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.core.state.freshness import Census, DueTime, age
from raft_snapshot_agent.core.state.holding import Holding
from raft_snapshot_agent.core.state.storage_kinds import OF_FILES, OF_THIS_HOST
from raft_snapshot_agent.core.state.verdict import CONTRADICTED
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.holdings import LOOK_WITHIN, look_at_all
from raft_snapshot_agent.doctor.results import (
    CheckContext,
    CheckResult,
    Status,
    failure,
    skipped,
    success,
    warning,
)
from raft_snapshot_agent.errors import (
    AgentError,
    LoginRefused,
    NotThereYet,
    RetentionSuspended,
    SnapshotNotFound,
    StorageDenied,
    StorageError,
    StorageUnavailable,
    VerificationError,
)

_CHECK = "storages"
_CLOCKS = "set the clocks of the agents' hosts by NTP"
_RUNS = (
    "see that the agent beside the leader runs, and what its log says; to take one now:"
    " raft-snapshot-agent save"
)
_ALARM = (
    "check that this is the right cluster and that no data is missing; then prune --acknowledge"
    " --dry-run shows what would be deleted, and prune --acknowledge resumes retention"
)


async def storages(context: CheckContext) -> list[CheckResult]:
    """List every storage, and compare it with its schedule."""
    if not context.destinations:
        return [skipped(_CHECK, "none is configured")]
    timing = replace(context.config.schedule.open(), phase=context.phase)
    timed = [(destination, timing) for destination in context.destinations]
    context.holdings = await look_at_all(timed, context.now)
    results = []
    for destination, holding in zip(context.destinations, context.holdings, strict=True):
        results += judge(holding, context.now, stands_by=context.stands_by)
        results += await _try_newest(destination, holding)
    return results


async def _try_newest(destination: Destination, holding: Holding) -> list[CheckResult]:
    """Read the beginning of the newest snapshot; report only why it cannot be read."""
    newest = holding.newest
    if newest is None:
        return []
    pieces = cast("AsyncGenerator[bytes]", destination.storage.read(newest.name))
    try:
        with anyio.fail_after(LOOK_WITHIN):
            async with aclosing(pieces):
                await anext(pieces, b"")
    except SnapshotNotFound:  # pruned in the meantime
        return []
    except TimeoutError:
        error: AgentError = StorageUnavailable(f"no answer within {LOOK_WITHIN:g} s")
    except StorageError as failed:
        error = failed
    else:
        return []
    told = f"{holding.storage}: its newest snapshot is not readable: {error.message}"
    denied = isinstance(error, StorageDenied) and not isinstance(error, LoginRefused)
    if not denied or holding.kind in OF_FILES:
        return [failure(_CHECK, StorageError(told, hint=error.hint))]
    if not holding.prunes:
        return [skipped(_CHECK, f"{told}; with prune: false that may be intended")]
    return [
        warning(_CHECK, told, "grant the read permission: restore, verify and retention need it")
    ]


def judge(holding: Holding, now: datetime, *, stands_by: bool = False) -> list[CheckResult]:
    """Report on one storage.

    Arguments:
        holding: The content of the storage.
        now: The present time.
        stands_by: Another member's agent is responsible, so local folders get no snapshots.
    """
    if holding.census is None:
        return [_report_unlisted(holding)]
    own = stands_by and holding.kind in OF_THIS_HOST
    return [
        _idle(holding, now) if own else _freshness(holding, holding.census, now),
        *_report_alarms(holding),
        *_blemishes(holding, holding.census),
    ]


def _report_unlisted(holding: Holding) -> CheckResult:
    error = holding.error or StorageError("it was not listed")
    if isinstance(error, NotThereYet):
        return CheckResult(
            _CHECK, Status.SKIPPED, f"{holding.storage}: {error.message}", error.hint
        )
    told = f"no permission to list {holding.storage}: {error.message}"
    refused = isinstance(error, LoginRefused) or holding.kind in OF_THIS_HOST
    if refused or not isinstance(error, StorageDenied):
        named = StorageError(f"{holding.storage}: {error.message}", hint=error.hint)
        return failure(_CHECK, named)
    if not holding.prunes:
        why = "its credentials may only write (prune: false), so its snapshots were not checked"
        return skipped(_CHECK, f"{told}; {why}")
    advice = "grant the list permission: retention and list need it; uploads may still work"
    return warning(_CHECK, told, advice)


def _freshness(holding: Holding, found: Census, now: datetime) -> CheckResult:
    name, newest, due = holding.storage, found.newest, holding.deadline
    if newest is None or due is None:
        return _none(holding, found)
    old = format_age(age(newest.taken_at, now))
    if due.is_missed(now):
        return _report_overdue(holding, newest, due, now)
    number = "1 snapshot" if found.whole == 1 else f"{found.whole} snapshots"
    coming = f"the next is due at {due.due:%Y-%m-%d %H:%M:%S} UTC"
    return success(_CHECK, f"{name} holds {number}, the newest {old} old; {coming}")


def _idle(holding: Holding, now: datetime) -> CheckResult:
    """Report only the age for a local folder while another member's agent is responsible."""
    name, newest = holding.storage, holding.newest
    old = "not there" if newest is None else f"{format_age(age(newest.taken_at, now))} old"
    why = "another member leads, and this host's folder gets nothing meanwhile"
    return skipped(_CHECK, f"{name}: the newest is {old}; {why}, so it is not called late")


def _report_overdue(holding: Holding, newest: Stored, due: DueTime, now: datetime) -> CheckResult:
    name = holding.storage
    old, late = format_age(age(newest.taken_at, now)), format_age(age(due.due, now))
    message = f"{name} is overdue: its newest snapshot is {old} old, and another was due {late} ago"
    if holding.required:
        return failure(_CHECK, StorageError(message, hint=_RUNS))
    return warning(_CHECK, f"{message} (required: false)", _RUNS)


def _none(holding: Holding, found: Census) -> CheckResult:
    name = holding.storage
    if found.undated:
        message = f"{name} holds {found.undated[0].name}, and no manifest tells when it was taken"
        return warning(_CHECK, message, "take another: raft-snapshot-agent save")
    if found.ahead:
        message = f"{name} holds nothing but snapshots that are dated in the future"
        return failure(_CHECK, StorageError(message, hint=_CLOCKS))
    if later := holding.contradicted:
        message = f"{name} holds no whole snapshot: {later[0].name} {CONTRADICTED}"
        return failure(_CHECK, VerificationError(message, hint=_RUNS))
    if found.broken:
        message = f"{name} holds no whole snapshot: all {len(found.broken)} are known to be broken"
        return failure(_CHECK, VerificationError(message, hint=_RUNS))
    advice = "start the daemon, or take the first one: raft-snapshot-agent save"
    return warning(_CHECK, f"{name} holds no snapshot yet", advice)


def _report_alarms(holding: Holding) -> list[CheckResult]:
    if not holding.alarm:
        return []
    message = f"retention suspended for {holding.storage}: {holding.alarm}"
    return [failure(_CHECK, RetentionSuspended(message, hint=_ALARM))]


def _blemishes(holding: Holding, found: Census) -> list[CheckResult]:
    name, said = holding.storage, []
    if found.newest is not None and holding.is_unproved:
        message = (
            f"{name}: the newest, {found.newest.name}, has no manifest, so it was never verified"
        )
        advice = (
            f"verify {found.newest.name} shows whether it is whole; a new one ends this warning"
        )
        said.append(warning(_CHECK, message, advice))
    if found.whole and (later := holding.contradicted):
        message = f"{name}: {later[0].name} {CONTRADICTED}"
        advice = f"look at it: verify {later[0].name}; do not restore from it"
        said.append(warning(_CHECK, message, advice))
    if found.broken and found.whole:
        message = f"{name}: known to be broken: {_describe(found.broken)}"
        advice = f"look once more: verify {found.broken[0].name}; do not restore from it"
        said.append(warning(_CHECK, message, advice))
    for doubt in [] if holding.survey.scrubbed is None else holding.survey.scrubbed.doubts:
        look = f"look at it: verify --all --storage {quote(name)}"
        advice = f"{look}; copy it again from another storage; delete an exchanged one there first"
        said.append(warning(_CHECK, f"{name}: {doubt}", advice))
    if found.ahead and found.whole:
        message = f"{name}: dated in the future: {_describe(found.ahead)}"
        said.append(warning(_CHECK, message, _CLOCKS))
    return said


def _describe(stored: Iterable[Stored]) -> str:
    return enumerate_names([one.name for one in stored], 1)
