"""What a monitoring system is told of each storage, and of all."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from tests.stores.memory import MemoryStorage
from tests.unit.doctor.test_doctor import Refusing, described, named

from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.notes import GUARD_NAME, Alarm
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Sidecar
from raft_snapshot_agent.core.state.holding import CheckState
from raft_snapshot_agent.core.state.verdict import Verdict, judge_holding, overall
from raft_snapshot_agent.destination import holdings
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.holdings import look_at, look_at_all
from raft_snapshot_agent.destination.remembered import Remembered
from raft_snapshot_agent.doctor.nagios import document, line
from raft_snapshot_agent.errors import (
    LoginRefused,
    StorageDenied,
    StorageError,
    StorageUnavailable,
)
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.storage.base import BytesSource, Entry

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOURLY = ScheduleSpec(Every(timedelta(hours=1)))
PERFORMANCE = re.compile(r"[^'= |]+=[0-9]+s;[0-9]*;[0-9]*;0")


def ago(**parts: float) -> datetime:
    return NOW - timedelta(**parts)


def holding(*taken: datetime, name: str = "s3", verified: bool = True, **more: Any) -> Destination:
    memory = MemoryStorage()
    for moment in taken:
        memory._objects[named(moment)] = b"snapshot"
        if verified:
            memory._objects[f"{named(moment)}.json"] = described(moment).to_json()
    return Destination(name, memory, **more)


async def result(
    destination: Destination, max_age: timedelta | None = None, cluster: str = ""
) -> Verdict:
    return judge_holding(
        await look_at(destination, destination.timing or HOURLY, NOW), NOW, max_age, cluster
    )


async def said(destination: Destination, max_age: timedelta | None = None) -> tuple[str, str]:
    found = await result(destination, max_age)
    return found.state.name, found.message


async def test_a_fresh_one_is_ok() -> None:
    assert await said(holding(ago(minutes=12), ago(days=3))) == ("OK", "12m old")


@pytest.mark.parametrize(
    ("taken", "max_age", "state"),
    [
        (ago(minutes=89), None, "OK"),
        (ago(minutes=91), None, "CRITICAL"),
        (ago(minutes=91), timedelta(hours=2), "OK"),
        (ago(minutes=12), timedelta(minutes=10), "CRITICAL"),
        (ago(days=390), None, "CRITICAL"),
        (ago(days=-1), None, "CRITICAL"),
        (ago(minutes=-2), None, "OK"),
    ],
)
async def test_age_is_held_against_the_schedule_or_what_is_given(
    taken: datetime, max_age: timedelta | None, state: str
) -> None:
    assert (await said(holding(taken), max_age))[0] == state
    relaxed = await said(holding(taken, required=False), max_age)
    assert relaxed[0] == ("OK" if state == "OK" else "WARNING")


async def test_a_storage_goes_by_its_own_schedule() -> None:
    own = ScheduleSpec(Every(timedelta(days=7)))
    assert (await said(holding(ago(days=3), timing=own)))[0] == "OK"


async def test_a_snapshot_that_takes_long_is_waited_for() -> None:
    destination = holding(ago(minutes=100))
    name = named(ago(minutes=100))
    manifest = replace(described(ago(minutes=100)), duration=1800.0)
    await destination.storage.put(f"{name}.json", BytesSource(manifest.to_json()))
    assert (await said(destination))[0] == "OK"
    for nonsense in ("1e999", "-5", "1e9"):
        text = manifest.to_json().replace(b"1800.0", nonsense.encode())
        await destination.storage.put(f"{name}.json", BytesSource(text))
        assert (await said(destination))[0] == "CRITICAL"


@pytest.mark.parametrize("damaged", ["", ".json"])
async def test_a_newest_that_its_manifest_does_not_describe_is_a_warning(damaged: str) -> None:
    destination = holding(ago(minutes=3), ago(minutes=9))
    name = named(ago(minutes=3))
    await destination.storage.put(f"{name}{damaged}", BytesSource(b"{cut"))
    told = "is not what its manifest describes"
    assert await said(destination) == ("WARNING", f"9m old, a later one {told}: {name}")

    await destination.storage.delete(named(ago(minutes=9)))
    assert await said(destination) == ("CRITICAL", f"no whole snapshot: {name} {told}")


async def test_no_snapshot_is_critical() -> None:
    assert await said(holding()) == ("CRITICAL", "no snapshot")


async def test_snapshots_that_are_signed_with_another_key_are_told_as_such() -> None:
    keys, others = SigningKeys(b"k" * 32), SigningKeys(b"o" * 32)
    destination = holding(ago(hours=5), ago(minutes=2), ago(minutes=1))
    for moment, by in ((ago(hours=5), keys), (ago(minutes=2), others), (ago(minutes=1), others)):
        name, at = named(moment), f"{moment:%Y-%m-%dT%H:%M:%SZ}"
        manifest = Manifest(name, at, 7, 1, 8, "", 1.0, "", "", "", "", "", "")
        await destination.storage.put(f"{name}.json", BytesSource(by.sign(manifest).to_json()))
    why = f"such as {named(ago(minutes=1))}: the signature of its manifest is wrong"

    rotated = replace(destination, signing=lambda: keys, told=Remembered())
    said_then = f"5h old, at most 1h30m; 2 stored do not count, {why}"
    assert await said(rotated) == ("CRITICAL", said_then)
    strange = replace(destination, signing=lambda: SigningKeys(b"s" * 32), told=Remembered())
    assert await said(strange) == ("CRITICAL", f"3 stored do not count, {why}")


async def test_nothing_but_broken_ones_is_critical() -> None:
    destination = holding(ago(minutes=1))
    await destination.mark(named(ago(minutes=1)), Sidecar.BROKEN, "a byte")
    assert await said(destination) == ("CRITICAL", "no whole snapshot, 1 known to be broken")


async def test_a_broken_one_after_the_newest_whole_is_a_warning() -> None:
    destination = holding(ago(minutes=1), ago(minutes=61))
    await destination.mark(named(ago(minutes=1)), Sidecar.BROKEN, "a byte")
    state, message = await said(destination)
    assert state == "WARNING"
    assert f"a later one is known to be broken: {named(ago(minutes=1))}" in message


async def test_one_that_verify_called_a_mismatch_is_not_the_newest() -> None:
    """It is no snapshot to restore: `fetch --latest` refuses it, too."""
    destination = holding(ago(minutes=1), ago(minutes=61))
    await destination.mark(named(ago(minutes=1)), Sidecar.MISMATCH, "another SHA-256")
    state, message = await said(destination)
    assert (state, message.partition(",")[0]) == ("WARNING", "1h1m old")
    assert f"a later one is not what its manifest describes: {named(ago(minutes=1))}" in message

    await destination.mark(named(ago(minutes=61)), Sidecar.MISMATCH, "another SHA-256")
    told = f"no whole snapshot: {named(ago(minutes=1))} is not what its manifest describes"
    assert await said(destination) == ("CRITICAL", told)


async def test_an_old_snapshot_and_a_newer_mismatch_are_told_together() -> None:
    destination = holding(ago(minutes=1), ago(hours=5))
    await destination.mark(named(ago(minutes=1)), Sidecar.MISMATCH, "another SHA-256")
    why = f"such as {named(ago(minutes=1))}: not what its manifest describes"
    told = f"5h old, at most 1h30m; 1 stored do not count, {why}"
    assert await said(destination) == ("CRITICAL", told)


async def test_an_alarm_is_a_warning() -> None:
    destination = holding(ago(minutes=1))
    alarm = Alarm("the cluster is another", "that.snap", "")
    await destination.storage.put(GUARD_NAME, BytesSource(alarm.to_json()))
    state, message = await said(destination)
    assert (state, "retention suspended: the cluster is another" in message) == ("WARNING", True)


async def test_what_nobody_proved_is_a_warning() -> None:
    assert (await said(holding(ago(minutes=6), verified=False)))[0] == "WARNING"


async def test_a_date_in_the_future_hides_nothing() -> None:
    state, message = await said(holding(ago(days=-2), ago(minutes=5)))
    assert (state, message.endswith("is dated in the future")) == ("WARNING", True)
    assert (await said(holding(ago(days=-2), ago(days=5))))[0] == "CRITICAL"


async def test_a_static_name_goes_by_its_manifest() -> None:
    memory = MemoryStorage()
    destination = Destination("s3", memory, static_name="latest.snap")
    memory._objects["latest.snap"] = b"snapshot"
    assert (await said(destination))[0] == "UNKNOWN"
    taken = "2026-11-26T11:30:00Z"
    manifest = Manifest("latest.snap", taken, 7, 1, 8, "", 1.0, "", "", "", "", "", "")
    memory._objects["latest.snap.json"] = manifest.to_json()
    assert await said(destination) == ("OK", "30m old")


@pytest.mark.parametrize(
    "error",
    [
        StorageDenied("no rights"),
        LoginRefused("no such key"),
        StorageUnavailable("away"),
        RuntimeError("boom"),
    ],
)
async def test_what_cannot_be_listed_is_unknown(error: Exception) -> None:
    state, message = await said(Destination("s3", Refusing(error)))
    assert (state, message == str(as_failure(error))) == ("UNKNOWN", True)
    assert (await said(Destination("s3", Refusing(error), required=False)))[0] == "WARNING"


class Hanging(MemoryStorage):
    """A storage that never answers."""

    async def entries(self) -> list[Entry]:
        await anyio.sleep_forever()
        raise AssertionError


async def test_a_storage_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "LOOK_WITHIN", 0.05)
    state, message = await said(Destination("s3", Hanging()))
    assert (state, "no answer within 0.05 s" in message) == ("UNKNOWN", True)


def unreadable(storage: str, error: StorageError) -> Destination:
    """Open a storage of that type, of which nothing can be read."""

    class WriteAndList(MemoryStorage):
        kind = storage

        async def read(self, name: str) -> AsyncIterator[bytes]:
            raise error
            yield b""

    memory = WriteAndList()
    name = named(ago(minutes=3))
    memory._objects.update({name: b"snapshot", f"{name}.json": b"{}"})
    return Destination(storage, memory)


async def test_an_alarm_that_may_not_be_read_hides_no_freshness() -> None:
    assert await said(unreadable("s3", StorageDenied("no right to read"))) == ("OK", "3m old")


@pytest.mark.parametrize("kind", ["local", "sftp"])
async def test_a_file_of_another_user_is_told(kind: str) -> None:
    """Without the right to read it, the agent could restore nothing."""
    destination = unreadable(kind, StorageDenied("cannot read it: Permission denied"))
    told = "3m old, cannot read it: Permission denied"
    assert await said(destination) == ("WARNING", told)


async def test_the_worst_decides_and_comes_first() -> None:
    away = Destination("away", Refusing(StorageUnavailable("gone | a\nway")))
    results = [
        await result(holding(ago(minutes=12)), cluster="prod"),
        await result(holding(ago(minutes=6), name="plain", verified=False)),
        await result(away),
        await result(holding(ago(days=5), name="it's = odd", required=False)),
        await result(holding(ago(days=5), name="late")),
    ]
    assert overall(results) is CheckState.CRITICAL
    assert overall(results[:3]) is CheckState.UNKNOWN
    assert overall(results[:2]) is CheckState.WARNING
    assert overall(results[:1]) is CheckState.OK
    told, _, measured = line(results).partition(" | ")
    assert told.startswith("RAFT SNAPSHOTS CRITICAL - late: 5d old, at most 1h30m; away: gone")
    assert "prod/s3: 12m old" in told
    assert "\n" not in told
    values = measured.split(" ")
    assert all(PERFORMANCE.fullmatch(one) for one in values), values
    assert values[0] == "age_prod/s3=720s;;5400;0"
    assert values[2] == "age_it_s___odd=432000s;5400;;0"
    assert len(values) == 4


async def test_the_document_says_the_same() -> None:
    found = document([await result(holding(ago(minutes=12)))])
    assert found == {
        "status": "OK",
        "exit_code": 0,
        "storages": [
            {
                "cluster": None,
                "storage": "s3",
                "status": "OK",
                "message": "12m old",
                "newest": named(ago(minutes=12)),
                "taken_at": "2026-11-26T11:48:00+00:00",
                "age_seconds": 720,
                "limit_seconds": 5400,
                "due_at": "2026-11-26T12:48:00+00:00",
            }
        ],
    }


async def test_hundreds_are_looked_at_each_on_its_own() -> None:
    destinations = [
        (holding(ago(minutes=number), name=f"{number}"), HOURLY) for number in range(300)
    ]
    found = await look_at_all(destinations, NOW)
    assert [one.storage for one in found] == [f"{number}" for number in range(300)]
