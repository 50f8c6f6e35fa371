"""`list` and `verify`: what the storages hold, and whether it is whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.choosing import choose_reader, open_storages, parse_wanted
from raft_snapshot_agent.cli.exit_code import worst
from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.core.sizes import format_size
from raft_snapshot_agent.core.snapshots.scrub_note import LastReading, ScrubNote
from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.drill_notes import describe_drill
from raft_snapshot_agent.destination.holdings import judge_newest
from raft_snapshot_agent.destination.scrubbing import (
    describe_missing,
    find_missing,
    read_scrub_note,
)
from raft_snapshot_agent.destination.verification import Reading, SnapshotState
from raft_snapshot_agent.errors import (
    AgentError,
    NotThereYet,
    StorageError,
    VerificationError,
)
from raft_snapshot_agent.restore.examine import judge_origin, judge_reader
from raft_snapshot_agent.restore.reader import SnapshotReader, StoredReader
from raft_snapshot_agent.service import assembly


def list_stored(loaded: Loaded, only: str | None, layout: Format) -> int:
    """Print the snapshots of every storage; return the exit code."""
    rows: list[_Listed] = []
    failures: list[AgentError] = []

    async def work() -> None:
        for destination in destinations:
            try:
                rows.extend(await _list_with_results(destination))
            except NotThereYet as error:
                output.talk(f"{destination.name}: {error}")
            except AgentError as error:
                failures.append(error)
                output.talk(f"error: {destination.name}: {error}")

    destinations = assembly.destinations(loaded.config, only, cluster=loaded.name)
    wait_for(work)
    now = datetime.now(UTC)
    shown, documents = (output.Rows(rows, partial(one, now=now)) for one in (_row, _document))
    output.table(shown, layout, documents)
    if not rows and not failures:
        output.talk("no snapshot is stored yet")
    return worst([error.exit_code for error in failures], len(destinations))


async def _list_destination(destination: Destination) -> tuple[Stored, ...]:
    """List the snapshots of a storage, with their signatures if a key is configured.

    Without a key only the newest are compared with their manifests, as by `check`.
    """
    stored: Sequence[Stored] = await destination.stored()
    if destination.signing is not None:
        stored = await destination.proofs.worth(await destination.proofs.judge(stored), stored)
    else:
        with suppress(StorageError):  # whoever may only list sees the list
            stored = (await judge_newest(destination, stored, datetime.now(UTC))).stored
    return await destination.verdicts.dated(stored)


@dataclass(frozen=True, slots=True)
class _Listed:
    """One snapshot, with its results of drills and scrubs."""

    destination: Destination
    stored: Stored
    drill: str
    read: LastReading | None


async def _list_with_results(destination: Destination) -> list[_Listed]:
    listed = await _list_destination(destination)
    note = await _scrub_note(destination, listed)
    for name in note.vanished:
        output.warn(f"{destination.name}: {name} is missing, but its manifest is there")
    return [
        _Listed(destination, one, await describe_drill(destination, one), note.of(one))
        for one in listed
    ]


async def _scrub_note(destination: Destination, stored: Sequence[Stored]) -> ScrubNote:
    """Return the scrub results of a storage; empty if they may not be read."""
    try:
        return await read_scrub_note(destination, datetime.now(UTC), stored)
    except StorageError:
        return ScrubNote()


def _row(listed: _Listed, now: datetime) -> dict[str, str]:
    stored, dated = listed.stored, listed.stored.dated
    return {
        "storage": listed.destination.name,
        "name": stored.name,
        "taken": output.moment(stored.taken_at) if dated else "-",
        "age": output.age(stored.taken_at, now) if dated else "-",
        "size": format_size(stored.size),
        "index": "-" if stored.index is None else str(stored.index),
        "state": _state(listed.destination, stored, now),
        "read": "-" if listed.read is None else str(listed.read),
        "drill": listed.drill.partition(":")[0] or "-",
    }


def _document(listed: _Listed, now: datetime) -> dict[str, Any]:
    destination, stored, read = listed.destination, listed.stored, listed.read
    return {
        "storage": destination.name,
        "name": stored.name,
        "location": destination.storage.location(stored.name),
        "taken_at": output.moment(stored.taken_at) if stored.dated else None,
        "size": stored.size,
        "index": stored.index,
        "state": _state(destination, stored, now),
        "read_at": None if read is None else output.moment(read.at),
        "read_state": None if read is None else read.state,
        "drill": listed.drill or None,
    }


def _state(destination: Destination, stored: Stored, now: datetime) -> str:
    state = "verified" if stored.verified else "unverified"
    if destination.signing is not None:
        state = "signed" if stored.signed else "unsigned"
    if stored.doubt:
        state = stored.why_doubted
    if stored.mismatched:
        state = "mismatch"
    if stored.broken:
        state = stored.describe_condemned(now, "broken" if stored.size else "empty")
    return f"{state}, held" if stored.held else state


def verify(
    load: Callable[[], Loaded],
    wanted: str | None,
    *,
    every: bool,
    layout: Format,
    only: str | None = None,
) -> int:
    """Read snapshots completely and print whether they are intact; return the exit code."""
    which = parse_wanted(wanted, load, stored=only is not None)
    destinations = open_storages(load, only, which)
    rows: list[dict[str, str]] = []
    codes: list[int] = []

    async def verify_one(reader: SnapshotReader) -> None:
        verdict = await judge_reader(reader)
        shown = await judge_origin(reader, verdict)
        if shown.error is not None:
            codes.append(shown.error.exit_code)
        rows.append(_verdict(shown.state, reader.label, await _describe_verdict(reader, shown)))
        try:
            await reader.remember(verdict)
        except StorageError as error:
            output.warn(f"the result could not be stored for retention: {error}")

    async def work() -> None:
        if not every:
            await verify_one(await choose_reader(destinations, which))
            return
        for destination in destinations:
            try:
                stored = await destination.stored()
                missing = await _list_missing(destination)
            except AgentError as error:
                codes.append(error.exit_code)
                rows.append(_verdict(SnapshotState.UNREADABLE, destination.name, str(error)))
                continue
            for one in stored:
                await verify_one(StoredReader(destination, one))
            codes.extend([VerificationError.exit_code] * len(missing))
            rows.extend(missing)

    wait_for(work)
    output.table(rows, layout)
    if every and not rows:
        output.talk("no snapshot is stored yet")
    return worst(codes, len(rows))


def _detail(verdict: Reading) -> str:
    if verdict.snapshot is None:
        return str(verdict.error)
    index = f"index {verdict.snapshot.meta.index}"
    if verdict.error is not None:
        return f"{index}; {verdict.error}"
    return (
        f"{index}; only at the second read; the first: {verdict.before}"
        if verdict.before
        else index
    )


async def _describe_verdict(reader: SnapshotReader, verdict: Reading) -> str:
    """Describe the verdict, and its signature if a key is configured."""
    detail = _detail(verdict)
    if verdict.state is SnapshotState.MISMATCH:
        return detail
    if isinstance(reader, StoredReader) and reader.destination.signing is not None:
        return f"{detail}; {await reader.describe_proof()}"
    return detail


async def _list_missing(destination: Destination) -> list[dict[str, str]]:
    """List the snapshots of which only the manifest is left."""
    location = destination.storage.location
    names = await find_missing(destination)
    return [_verdict("missing", location(one), describe_missing(destination, one)) for one in names]


def _verdict(state: str, label: str, detail: str) -> dict[str, str]:
    return {"state": str(state), "snapshot": label, "detail": detail}
