"""What the doctor says of storages, connections and rights, without a server."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.stores.memory import MemoryStorage

from raft_snapshot_agent import doctor
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.notes import GUARD_NAME, SCRUB_NAME, Alarm
from raft_snapshot_agent.core.snapshots.scrub_note import LastReading, ScrubNote
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Sidecar
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.doctor import host, lease, members, server, stores
from raft_snapshot_agent.doctor.results import CheckContext, CheckResult, Status
from raft_snapshot_agent.errors import (
    ConfigError,
    LoginRefused,
    StorageDenied,
    StorageError,
    StorageUnavailable,
)
from raft_snapshot_agent.service import assembly
from raft_snapshot_agent.storage.base import BytesSource, Entry
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.answers import SNAPSHOT_PATH, Identity, LeaderStatus
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.leader import Cluster


class Refusing(MemoryStorage):
    """A storage that does not let itself be listed."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    async def entries(self) -> list[Entry]:
        raise self._error


NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
NODES = ["http://127.0.0.1:1", "http://127.0.0.1:2"]
LOCAL = {"type": "local", "path": "/var/backups/vault"}
NOBODY = {"method": "token", "token": "t"}


def context(*destinations: Destination, **config: Any) -> CheckContext:
    vault = {"address": "http://127.0.0.1:1", **config.pop("vault", {})}
    told = {key: value for key, value in vault.items() if value is not None}
    parsed = Config.model_validate({"vault": told, **config})
    return CheckContext(parsed, {}, destinations, Cluster(parsed.vault, "leader"), NOW)


async def test_a_node_that_fails_to_tell_its_seal_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leads = LeaderStatus(is_self=True, leader_address="http://127.0.0.1:1", applied_index=1)
    trouble = '500: barrier seal type of "shamir" does not match loaded type of "static"'
    monkeypatch.setattr(Node, "leader_status", lambda _: leads)
    monkeypatch.setattr(Node, "identity", lambda _: Identity(trouble=trouble))
    asked = context()
    (told,) = await server.nodes(asked)
    assert (told.status, told.exit_code) == (Status.FAILURE, 2)
    assert told.message == f"http://127.0.0.1:1 answers sys/seal-status with {trouble}"
    assert "do not restart it" in told.advice
    assert asked.node is not None


async def test_storages_are_listed_each_on_its_own() -> None:
    denied = Refusing(StorageDenied("no s3:ListBucket", hint="grant it"))
    away = Refusing(StorageUnavailable("cannot reach it", hint="check the address"))
    wrong = Refusing(LoginRefused("the key is unknown", hint="check the keys"))
    found = await stores.storages(
        context(
            await holding("whole", ago(minutes=12)),
            Destination("closed", denied),
            Destination("away", away),
            Destination("wrong", wrong),
        )
    )
    assert [one.status for one in found] == ["success", "warning", "failure", "failure"]
    assert found[1].message == "no permission to list closed: no s3:ListBucket"
    assert (found[2].message, found[2].advice) == ("away: cannot reach it", "check the address")
    assert (found[3].message, found[3].advice) == ("wrong: the key is unknown", "check the keys")
    assert [one.exit_code for one in found] == [0, 0, 2, 2]


async def holding(
    storage: str, *taken: datetime, verified: bool = True, **more: Any
) -> Destination:
    """Open a storage that holds snapshots of these times."""
    memory = MemoryStorage()
    for moment in taken:
        name = named(moment)
        memory._objects[name] = b"snapshot"
        if verified:
            memory._objects[f"{name}.json"] = described(moment).to_json()
    return Destination(storage, memory, **more)


def ago(**parts: float) -> datetime:
    return NOW - timedelta(**parts)


def described(moment: datetime) -> Manifest:
    """Return the manifest of the snapshot of a time."""
    made = Manifest(named(moment), "", 7, 1, len(b"snapshot"), "", 0.0, "", "", "", "", "", "")
    return replace(made, taken_at=f"{moment:%Y-%m-%dT%H:%M:%SZ}")


def named(moment: datetime) -> str:
    return f"raft-snapshot-{moment:%Y%m%dT%H%M%SZ}-i7-0a1b2c.snap"


async def said(destination: Destination, **config: Any) -> list[tuple[str, str, int]]:
    found = await stores.storages(context(destination, **config))
    return [(one.status.value, one.message, one.exit_code) for one in found]


async def test_a_fresh_storage_says_when_the_next_is_due() -> None:
    destination = await holding("s3", ago(minutes=12), ago(hours=1, minutes=12))
    due = f"{NOW + timedelta(minutes=48):%Y-%m-%d %H:%M:%S} UTC"
    message = f"s3 holds 2 snapshots, the newest 12m old; the next is due at {due}"
    assert await said(destination) == [("success", message, 0)]


@pytest.mark.parametrize(
    ("kind", "error", "prunes", "status"),
    [
        ("local", StorageDenied("it is root's"), True, "failure"),
        ("sftp", StorageDenied("it is root's"), False, "failure"),
        ("s3", StorageDenied("no right to read"), True, "warning"),
        ("s3", StorageDenied("no right to read"), False, "skipped"),
        ("s3", StorageUnavailable("the connection broke"), False, "failure"),
    ],
)
async def test_a_newest_snapshot_that_cannot_be_read_is_told(
    kind: str, error: StorageError, prunes: bool, status: str
) -> None:
    """It was listed, and its manifest can be read."""
    destination = await holding("here", ago(minutes=12), prunes=prunes)
    memory = destination.storage
    read = memory.read

    async def refuse(name: str) -> AsyncIterator[bytes]:
        if name.endswith(".snap"):
            raise error
        async for piece in read(name):
            yield piece

    memory.kind, memory.read = kind, refuse  # type: ignore[method-assign, misc]
    (fresh, (how, what, _)) = await said(destination)
    assert fresh[0] == "success"
    assert how == status
    assert what.startswith(f"here: its newest snapshot is not readable: {error.message}")


@pytest.mark.parametrize(
    ("age", "schedule"),
    [
        (timedelta(days=390), {"every": "1h"}),
        (timedelta(minutes=3), {"every": "10s"}),
        (timedelta(hours=1, minutes=31), {"every": "1h"}),
    ],
)
async def test_an_overdue_storage_fails(age: timedelta, schedule: dict[str, str]) -> None:
    destination = await holding("s3", NOW - age)
    ((how, what, code),) = await said(destination, schedule=schedule)
    assert (how, code) == ("failure", 2)
    assert what.startswith("s3 is overdue: its newest snapshot is ")
    ((how, _, code),) = await said(replace(destination, required=False), schedule=schedule)
    assert (how, code) == ("warning", 0)


async def test_a_folder_of_this_host_is_not_late_while_another_leads(tmp_path: Path) -> None:
    storages = [{"type": "local", "path": str(tmp_path)}]
    shared = await holding("s3", ago(days=3))
    one = context(storages=storages)
    (tmp_path / named(ago(days=3))).write_text("snapshot")
    one.destinations = [*assembly.destinations(one.config), shared]
    one.stands_by = True
    own, *_, late = await stores.storages(one)
    assert (own.status, late.status) == ("skipped", "failure")
    assert own.message.startswith("local: the newest is 3d old; another member leads")
    one.stands_by = False
    assert next(result.status for result in await stores.storages(one)) == "failure"


async def test_a_storage_goes_by_its_own_schedule() -> None:
    own = ScheduleSpec(Every(timedelta(days=7)))
    ((how, *_),) = await said(await holding("s3", ago(days=3), timing=own))
    assert how == "success"


async def test_an_empty_storage_is_no_failure_yet() -> None:
    assert await said(await holding("s3")) == [("warning", "s3 holds no snapshot yet", 0)]


async def test_an_alarm_fails_with_its_own_code() -> None:
    destination = await holding("s3", ago(minutes=1))
    alarm = Alarm("the cluster is another", named(ago(minutes=1)), "")
    await destination.storage.put(GUARD_NAME, BytesSource(alarm.to_json()))
    _, (how, what, code) = await said(destination)
    assert (how, code) == ("failure", 6)
    assert "retention suspended for s3: the cluster is another" in what


async def test_what_is_broken_or_misdated_is_named_and_counts_for_nothing() -> None:
    old, bad, ahead = ago(hours=3), ago(minutes=1), ago(days=-2)
    destination = await holding("s3", old, bad, ahead)
    await destination.mark(named(bad), Sidecar.BROKEN, "a byte")
    overdue, broken, future = await said(destination)
    assert overdue[0] == "failure"
    assert broken[:2] == ("warning", f"s3: known to be broken: {named(bad)}")
    assert future[:2] == ("warning", f"s3: dated in the future: {named(ahead)}")


async def test_a_newest_that_its_manifest_does_not_describe_is_named() -> None:
    destination = await holding("s3", ago(minutes=3), ago(minutes=20))
    await destination.storage.put(named(ago(minutes=3)), BytesSource(b"snap"))
    (status, message, _), blemish = await said(destination)
    assert (status, message.partition(";")[0]) == (
        "success",
        "s3 holds 1 snapshot, the newest 20m old",
    )
    told = f"s3: {named(ago(minutes=3))} is not what its manifest describes"
    assert blemish[:2] == ("warning", told)
    await destination.storage.delete(named(ago(minutes=20)))
    ((status, message, code),) = await said(destination)
    assert (status, code) == ("failure", 4)
    assert message.startswith(f"s3 holds no whole snapshot: {named(ago(minutes=3))} is not what")


async def test_what_was_damaged_when_it_was_read_back_is_named() -> None:
    old, new = ago(hours=1), ago(minutes=1)
    destination = await holding("s3", old, new)
    note = ScrubNote({named(old): LastReading(NOW, "broken")}, ("gone.snap",), NOW)
    await destination.storage.put(SCRUB_NAME, BytesSource(note.to_json(None)))
    fresh, rotten, gone = await said(destination)
    assert fresh[0] == "success"
    assert rotten[:2] == ("warning", f"s3: {named(old)} is corrupted when it was read back")
    assert gone[:2] == ("warning", "s3: gone.snap is missing, but not deleted by retention")


async def test_nothing_but_broken_ones_fails() -> None:
    destination = await holding("s3", ago(minutes=1))
    await destination.mark(named(ago(minutes=1)), Sidecar.BROKEN, "a byte")
    ((how, what, code),) = await said(destination)
    assert (how, code) == ("failure", 4)
    assert what == "s3 holds no whole snapshot: all 1 are known to be broken"


async def test_a_newest_one_that_nobody_proved_is_warned_of() -> None:
    fresh, unproved = await said(await holding("s3", ago(minutes=6), verified=False))
    assert (fresh[0], unproved[0]) == ("success", "warning")
    assert "has no manifest" in unproved[1]


async def test_a_defect_of_a_storage_hides_no_other() -> None:
    found = await stores.storages(
        context(
            Destination("bad", Refusing(RuntimeError("boom"))), await holding("s3", ago(minutes=1))
        )
    )
    assert [one.status for one in found] == ["failure", "success"]


@pytest.mark.parametrize(
    ("config", "leaders", "warned"),
    [
        ({}, {"https://other:8200"}, True),
        ({}, set(), False),
        ({"run_on": "anywhere"}, {"https://other:8200"}, False),
        ({"vault": {"address": None, "nodes": NODES}}, set(), True),
        ({"storages": [LOCAL, {"type": "s3", "bucket": "b"}]}, {"https://other:8200"}, False),
    ],
)
async def test_local_folders_alone_are_warned_of_in_a_cluster(
    config: dict[str, Any], leaders: set[str], warned: bool
) -> None:
    one = context(**{"storages": [LOCAL], **config})
    one.leaders |= leaders
    found = await members.members(one)
    assert [result.status for result in found] == (["warning"] if warned else [])


# A folder that root may not enter does not exist, and an ordinary user cannot become another.
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else for a while")
async def test_a_folder_that_may_not_be_entered_is_a_failure(tmp_path: Path) -> None:
    closed, spool = tmp_path / "closed", tmp_path / "spool"
    closed.mkdir(mode=0o700)
    spool.mkdir()
    spool.chmod(0o777)
    for folder in (tmp_path, *tmp_path.parents[:3]):  # one more where tests run in parallel
        folder.chmod(folder.stat().st_mode | 0o011)
    storages = [{"type": "local", "path": str(closed)}]
    one = context(storages=storages, spool=str(spool), vault={"auth": NOBODY})
    one.destinations = assembly.destinations(one.config)
    await in_thread(lambda: None)  # what is loaded late is loaded now
    os.seteuid(65534)
    try:
        wrong, denied = [*await host.configuration(one), *await stores.storages(one)]
    finally:
        os.seteuid(0)
    assert (wrong.status, wrong.exit_code) == ("failure", 1)
    assert f"storage folder {closed} cannot be written: Permission denied" in wrong.message
    assert (denied.status, denied.exit_code) == ("failure", 2)


async def test_the_spool_needs_room_for_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = context(await holding("s3", ago(minutes=1)), spool=str(tmp_path))
    assert [result.status for result in await host.spool(one)] == ["skipped"]
    await stores.storages(one)
    assert [result.status for result in await host.spool(one)] == ["success"]
    for free, status, code in ((8, "warning", 0), (7, "failure", 1)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: Usage(free))
        (result,) = await host.spool(one)
        assert (result.status, result.exit_code) == (status, code)


async def test_a_spool_that_cannot_be_written_has_no_room() -> None:
    one = context(await holding("s3", ago(minutes=1)), spool="/dev/null/spool")
    await stores.storages(one)
    (result,) = await host.spool(one)
    assert (result.status, result.message) == (
        "skipped",
        "its room was not checked: /dev/null/spool cannot be written",
    )


@dataclass(frozen=True)
class Usage:
    free: int


async def test_a_storage_that_this_host_cannot_serve_is_no_sound_configuration(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    wrong = {"type": "local", "path": str(tmp_path / "file")}
    one = context(storages=[wrong], spool=str(tmp_path), vault={"auth": NOBODY})
    (result,) = await host.configuration(one)
    assert (result.status, result.exit_code) == ("failure", 1)
    assert result.message.startswith("local: ")


async def test_a_folder_that_cannot_be_made_is_no_sound_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    wrong = {"type": "local", "path": str(tmp_path / "file" / "missing")}
    one = context(storages=[wrong], spool=str(tmp_path), vault={"auth": NOBODY})
    (result,) = await host.configuration(one)
    assert (result.status, result.exit_code) == ("failure", 1)
    to_be_made = {"type": "local", "path": str(tmp_path / "missing")}
    one = context(storages=[to_be_made], spool=str(tmp_path), vault={"auth": NOBODY})
    (result,) = await host.configuration(one)
    assert result.status == "success"
    assert not (tmp_path / "missing").exists()


async def test_what_config_check_warns_of_is_warned_of_here(tmp_path: Path) -> None:
    optional = {"type": "local", "path": str(tmp_path), "required": False}
    one = context(storages=[optional], spool=str(tmp_path), vault={"auth": NOBODY})
    one.cautions = Loaded(one.config).warnings
    _, result = await host.configuration(one)
    assert result.status == "warning"
    assert result.message.startswith("storages: no storage is required")


async def test_a_local_storage_needs_room_for_another_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "raft-snapshot-20261126T115900Z-i5-0a1b2c.snap"
    (tmp_path / name).write_bytes(b"12345678")
    one = context(storages=[{"type": "local", "path": str(tmp_path)}])
    one.destinations = assembly.destinations(one.config)
    assert await host.room(one) == []  # nothing was listed
    await stores.storages(one)
    for free, status, code in ((16, [], 0), (15, ["warning"], 0), (7, ["failure"], 2)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: Usage(free))
        found = await host.room(one)
        assert [result.status for result in found] == status
        assert sum(result.exit_code for result in found) == code


async def test_a_disk_without_inodes_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / named(ago(minutes=1))).write_bytes(b"12345678")
    one = context(storages=[{"type": "local", "path": str(tmp_path)}], spool=str(tmp_path))
    one.destinations = assembly.destinations(one.config)
    await stores.storages(one)
    found = [*os.statvfs(tmp_path)]
    for files, statuses in ((0, ["success"]), (9, ["failure", "failure"])):  # 0: no fixed number
        found[5:8] = files, 0, 0
        monkeypatch.setattr(os, "statvfs", lambda _, found=found: os.statvfs_result(found))
        results = [*await host.spool(one), *await host.room(one)]
        assert [result.status for result in results] == statuses
    assert all("no inode for another file" in result.message for result in results)


async def test_a_lease_is_shown(tmp_path: Path) -> None:
    config = {
        "storages": [{"type": "local", "path": str(tmp_path)}],
        "lease": {"type": "storage", "storage": "local"},
    }
    one = context(**config)
    (result,) = await lease.lease(one)
    assert result.message.startswith("no agent holds the lease in ")
    lease_store = one.config.storages[0].lease_store("raft-snapshot-lease")
    await lease_store.write(Record("host-1-abcd", 3, 0, 15.0), None)
    (result,) = await lease.lease(one)
    assert result.message.startswith("host-1-abcd holds the lease in ")
    assert await lease.lease(context()) == []


async def test_without_storages_there_is_nothing_to_list() -> None:
    (found,) = await stores.storages(context())
    assert found.status is Status.SKIPPED


@pytest.mark.parametrize(
    ("vault", "status", "message"),
    [
        ({"address": "http://127.0.0.1:8200"}, "success", "stays on this host"),
        ({"address": "unix:///run/bao.sock"}, "success", "stays on this host"),
        ({"address": "http://192.0.2.1:8200"}, "warning", "is not encrypted"),
        ({"address": "https://192.0.2.1:8200"}, "success", "is verified"),
        (
            {"address": "https://192.0.2.1:8200", "tls": {"skip_verify": True}},
            "warning",
            "is not verified",
        ),
    ],
)
async def test_it_says_which_connections_are_protected(
    vault: dict[str, Any], status: str, message: str
) -> None:
    one = context(vault=vault)
    one.answered.add(vault["address"])
    (found,) = await server.tls(one)
    assert (found.status, found.message) == (status, f"{vault['address']} {message}")


async def test_a_certificate_that_nobody_saw_is_not_called_good() -> None:
    (found,) = await server.tls(context(vault={"address": "https://127.0.0.1:1"}))
    assert found.status is Status.SKIPPED
    assert "did not answer" in found.message


@pytest.mark.parametrize(
    ("capabilities", "status"),
    [
        (["read"], "success"),
        (["deny"], "failure"),
        (["update"], "failure"),
        (["read", "sudo"], "warning"),
        (["create", "read"], "warning"),
        (["root"], "warning"),
    ],
)
def test_rights_are_held_against_what_is_needed(capabilities: list[str], status: str) -> None:
    found = server._judge_capabilities(set(capabilities), {SNAPSHOT_PATH: capabilities})
    assert found.status == status
    assert bool(found.exit_code) is (status == "failure")


async def test_one_failing_check_does_not_end_the_others() -> None:
    async def broken(_: CheckContext) -> list[CheckResult]:
        raise ConfigError("it is wrong", hint="mend it")

    checks = {"first": broken, "storages": stores.storages}
    first, second = await doctor.examine(context(), checks)
    assert (first.check, first.status, first.exit_code) == ("first", Status.FAILURE, 1)
    assert (first.message, first.advice) == ("it is wrong", "mend it")
    assert second.check == "storages"
