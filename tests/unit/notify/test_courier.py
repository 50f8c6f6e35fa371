"""Delivery: retried, kept over a restart, and never in anybody's way."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import anyio
import pytest
import structlog
from tests.raw_server import RawServer
from tests.receiver import Receiver
from tests.unit.core.statuses import HOUR, NOW, agent, cluster, minutes, run, storage
from tests.unit.notify.notices import notifier, record, run_notice

from raft_snapshot_agent.core.alarms.alert_events import AlertEvent
from raft_snapshot_agent.core.alarms.notices import Notice, NoticeMemory
from raft_snapshot_agent.core.state.report import Outcome
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus
from raft_snapshot_agent.errors import NotificationError
from raft_snapshot_agent.notify.courier import Courier
from raft_snapshot_agent.notify.memory_file import MemoryFile
from raft_snapshot_agent.notify.notifications import Notifications
from raft_snapshot_agent.notify.settings import NotifierSettings
from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.logs import Log, configure

FAILS = cluster(storage(), failing="no leader")
WELL = cluster(storage())


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def open_log() -> Log:
    """Write to the present standard error, which is another in each test."""
    return configure("text", "info")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def until(holds: Callable[[], object]) -> None:
    with anyio.fail_after(60):
        while not holds():  # noqa: ASYNC110 - threads and other tasks change it
            await anyio.sleep(0.01)


def titles(receiver: Receiver) -> list[str]:
    return [one.document["title"] for one in receiver.messages]


async def test_what_did_not_arrive_is_sent_again_after_a_pause_that_grows(
    receiver: Receiver,
) -> None:
    clock = Clock()
    courier = Courier(notifier("webhook", url=receiver.url), NoticeMemory(), clock)
    receiver.status = 500
    for number in range(1, 6):
        (attempt,) = await courier.look(agent(FAILS))
        assert "500" in attempt.error
        assert await courier.look(agent(FAILS)) == []
        clock.now += 5 * 2**number
    receiver.status = 200
    clock.now += 3600
    (attempt,) = await courier.look(agent(FAILS))
    assert attempt.said == "200 OK"
    assert len({one.document["id"] for one in receiver.messages}) == 1
    assert len(receiver.messages) == 6


async def test_the_pause_is_never_longer_than_minutes(receiver: Receiver) -> None:
    clock = Clock()
    courier = Courier(notifier("webhook", url=receiver.url), NoticeMemory(), clock)
    receiver.status = 500
    for _ in range(20):
        await courier.look(agent(FAILS))
        clock.now += 301
    assert len(receiver.messages) == 20


async def test_a_secret_that_is_missing_is_a_failure_like_any_other() -> None:
    courier = Courier(notifier("webhook", url="env://NO_SUCH_VARIABLE"), NoticeMemory(), Clock())
    (attempt,) = await courier.look(agent(FAILS))
    assert "NO_SUCH_VARIABLE" in attempt.error


class Endless(NotifierSettings):
    """A library that cannot be interrupted."""

    def open(self) -> Endless:
        return self

    def send(self, notice: Notice) -> str:
        STARTED.append(notice)
        GO_ON.wait(60)
        return "at last"


STARTED: list[Notice] = []
GO_ON = Event()


async def test_a_library_that_hangs_is_left_alone_and_not_called_twice() -> None:
    STARTED.clear()
    GO_ON.clear()
    clock = Clock()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("raft_snapshot_agent.notify.courier._GRACE", 0.0)
            settings = Endless.model_validate({"type": "endless", "timeout": "200ms"})
            courier = Courier(settings, NoticeMemory(), clock)
            errors = ""
            with anyio.fail_after(60):
                while "still being sent" not in errors:
                    (attempt,) = await courier.look(agent(FAILS))
                    errors += attempt.error
                    clock.now += 3600
    finally:
        GO_ON.set()
    assert "no answer" in errors
    assert len(STARTED) == 1


async def test_a_restart_between_failure_and_delivery_loses_nothing(
    receiver: Receiver, tmp_path: Path
) -> None:
    file = MemoryFile(tmp_path, "a.yaml")

    async def one_life(status: AgentStatus) -> None:
        told = Notifications(lambda: [notifier("webhook", url=receiver.url)], open_log(), file)
        await told.tell_once(status, 60)

    receiver.status = 503
    await one_life(agent(FAILS))
    receiver.status = 200
    del receiver.messages[:]
    await one_life(agent(ClusterStatus("", (storage(uploads={}),)), at=NOW + minutes(1)))
    assert titles(receiver) == ["Raft snapshots: snapshots fail"]
    await one_life(agent(ClusterStatus("", (storage(uploads={}),)), at=NOW + minutes(10)))
    assert len(receiver.messages) == 1
    await one_life(agent(WELL, at=NOW + minutes(20)))
    assert titles(receiver)[1:] == ["Resolved: Raft snapshots: snapshots fail"]


async def test_a_run_that_could_not_be_told_is_told_after_a_restart(
    receiver: Receiver, tmp_path: Path
) -> None:
    file = MemoryFile(tmp_path, "a.yaml")
    settings = [notifier("healthchecks", url=f"{receiver.url}/u")]
    receiver.status = 503
    failed = agent(cluster(runs=(run(Outcome.FAILED),), failing="no leader"))
    await Notifications(lambda: settings, open_log(), file).tell_once(failed, 60)
    receiver.status = 200
    await Notifications(lambda: settings, open_log(), file).tell_once(agent(cluster()), 60)
    assert [one.path.partition("?")[0] for one in receiver.messages] == ["/u/fail"] * 2


def test_the_file_is_ours_alone_and_says_all_that_there_is(tmp_path: Path) -> None:
    file = MemoryFile(tmp_path, "a.yaml")
    run_note = run_notice(AlertEvent.FAILED, text="x").run
    assert run_note is not None
    one = record(storage="s3", told=NOW, ended=NOW + HOUR)
    memory = NoticeMemory(
        {one.alert.key: one}, {AlertEvent.FAILED: NOW}, (run_note,), {"prod": "r2"}, {"prod": "r1"}
    )
    file.merge({}, {"a": memory, "b": NoticeMemory()})
    (path,) = tmp_path.glob("*.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert file.read() == {"a": memory, "b": NoticeMemory()}
    assert MemoryFile(tmp_path, "b.yaml").read() == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 2}',
        '{"version": 1, "notifiers": 1}',
        '{"version": 1, "notifiers": {"a": {}}}',
        '{"version": 1, "notifiers": {"a": {"records": [1], "sent": {}, "runs": [], "begun": {}, "ended": {}}}}',
        '{"version": 1, "notifiers": {"a": {"records": {}, "sent": 3, "runs": [], "begun": {}, "ended": {}}}}',
        "[" * 100_000,
        "\0" * 1000,
    ],
)
def test_a_damaged_file_is_none(tmp_path: Path, text: str) -> None:
    file = MemoryFile(tmp_path, "a.yaml")
    file.merge({}, {})
    (path,) = tmp_path.glob("*.json")
    path.write_text(text)
    assert file.read() == {}


def test_neither_a_link_nor_a_folder_is_followed(tmp_path: Path) -> None:
    file = MemoryFile(tmp_path, "a.yaml")
    file.merge({}, {"a": NoticeMemory()})
    (path,) = tmp_path.glob("*.json")
    other = tmp_path / "other"
    path.rename(other)
    path.symlink_to(other)
    assert file.read() == {}
    file.merge({}, {"b": NoticeMemory()})
    assert not path.is_symlink()
    assert '"b": ' not in other.read_text()


async def test_a_folder_that_is_full_or_gone_is_told_once(
    receiver: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = Notifications(
        lambda: [notifier("webhook", url=receiver.url)],
        open_log(),
        MemoryFile(tmp_path / "gone", "a"),
    )
    await told.tell_once(agent(FAILS), 60)
    await told.tell_once(agent(FAILS, at=NOW + minutes(1)), 60)
    assert len(receiver.messages) == 1
    assert capsys.readouterr().err.count("cannot keep") == 1


async def test_a_memory_that_cannot_be_kept_costs_no_message(
    receiver: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Exhausted(MemoryFile):
        def merge(self, *_: object) -> None:
            raise MemoryError

    file = Exhausted(tmp_path, "a")
    told = Notifications(lambda: [notifier("webhook", url=receiver.url)], open_log(), file)
    await told.tell_once(agent(FAILS), 60)
    await told.tell_once(agent(WELL, at=NOW + minutes(10)), 60)
    assert len(receiver.messages) == 2
    assert capsys.readouterr().err.count("no memory is left") == 1


def board(*clusters: ClusterStatus) -> StatusBoard:
    return StatusBoard(agent(*clusters), clock=lambda: NOW)


async def test_beside_the_loops_all_are_told_and_counted_though_one_hangs(
    receiver: Receiver, tmp_path: Path
) -> None:
    def hang(_: bytes) -> Iterator[bytes | float]:
        yield 60.0

    with RawServer(hang) as stuck:
        notifiers = [
            notifier("webhook", url=stuck.address, timeout="5m"),
            notifier("alertmanager", url=receiver.url),
        ]
        told, here = (
            Notifications(lambda: notifiers, open_log(), MemoryFile(tmp_path, "a")),
            board(FAILS),
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(told.run, here)
            await until(lambda: here.read().notifications.get(("alertmanager", "ok")) == 1)
            tasks.cancel_scope.cancel()
    # Those of which nothing is known are there, too: a counter that begins at 1 is not seen to grow.
    assert here.read().notifications == {
        ("webhook", "ok"): 0,
        ("webhook", "failed"): 0,
        ("alertmanager", "ok"): 1,
        ("alertmanager", "failed"): 0,
    }


async def test_a_failing_notifier_is_one_condition_and_a_count(
    receiver: Receiver, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr("raft_snapshot_agent.notify.notifications._LOOK_EVERY", 0.01)
    monkeypatch.setattr("raft_snapshot_agent.notify.courier.backoff", lambda *_: minutes(0))
    receiver.status = 500
    here = board(FAILS)
    told = Notifications(
        lambda: [notifier("webhook", url=f"{receiver.url}/0123456789abcdef")], open_log()
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(told.run, here)
        await until(lambda: here.read().notifications.get(("webhook", "failed"), 0) >= 3)
        receiver.status = 200
        await until(lambda: here.read().notifications.get(("webhook", "ok")) == 1)
        tasks.cancel_scope.cancel()
    written = capsys.readouterr().err
    assert written.count("Could not notify webhook") == 2
    assert written.count("Resolved: Could not notify webhook") == 1
    assert "0123456789abcdef" not in written


async def test_a_new_configuration_is_taken_up_and_nothing_told_twice(receiver: Receiver) -> None:
    here, old = board(FAILS), notifier("webhook", url=receiver.url)
    wanted = [old]
    told = Notifications(lambda: wanted, open_log())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(told.run, here)
        await until(lambda: here.read().notifications.get(("webhook", "ok")) == 1)
        wanted.append(notifier("alertmanager", url=receiver.url))
        here.update(lambda status: replace(status, config_loaded_at=NOW))
        await until(lambda: len(receiver.messages) == 2)
        tasks.cancel_scope.cancel()
    assert [one.path for one in receiver.messages] == ["/", "/api/v2/alerts"]


@pytest.mark.parametrize("repeat", ["6h", "1h"], ids=["unchanged", "changed"])
async def test_a_new_configuration_breaks_off_no_message_and_sends_none_twice(
    receiver: Receiver, repeat: str
) -> None:
    STARTED.clear()
    GO_ON.clear()
    here = board(FAILS)
    wanted: list[NotifierSettings] = [Endless.model_validate({"type": "endless"})]
    told = Notifications(lambda: wanted, open_log())
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(told.run, here)
            await until(lambda: STARTED)
            wanted[:] = [
                Endless.model_validate({"type": "endless", "repeat": repeat}),
                notifier("webhook", url=receiver.url),
            ]
            here.update(lambda status: replace(status, config_loaded_at=NOW))
            await until(lambda: here.read().notifications.get(("webhook", "ok")) == 1)
            GO_ON.set()
            await until(lambda: here.read().notifications[("endless", "ok")] == 1)
            tasks.cancel_scope.cancel()
    finally:
        GO_ON.set()
    assert len(STARTED) == 1


async def test_what_a_reload_removes_ends_in_the_log_and_the_metrics(
    receiver: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr("raft_snapshot_agent.notify.notifications._GATHER", 0.01)
    receiver.status = 500
    here, file = board(FAILS), MemoryFile(tmp_path, "a")
    wanted = [notifier("webhook", url=receiver.url), notifier("alertmanager", url=receiver.url)]
    told = Notifications(lambda: wanted, open_log(), file)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(told.run, here)
        await until(lambda: file.read().keys() == {"webhook", "alertmanager"})
        del wanted[0]
        here.update(lambda status: replace(status, config_loaded_at=NOW))
        await until(lambda: file.read().keys() == {"alertmanager"})
        wanted.append(notifier("webhook", url=receiver.url))
        here.update(lambda status: replace(status, config_loaded_at=NOW))
        await until(lambda: here.read().notifications.get(("webhook", "failed")) == 1)
        tasks.cancel_scope.cancel()
    written = capsys.readouterr().err
    assert written.count("Could not notify webhook") == 3  # the second time anew
    (end,) = [line for line in written.splitlines() if "Resolved: " in line]
    assert "Could not notify webhook" in end
    assert "no longer configured" in end


async def test_once_has_a_limit_and_what_did_not_arrive_is_told_the_next_time(
    receiver: Receiver, tmp_path: Path
) -> None:
    def hang(_: bytes) -> Iterator[bytes | float]:
        yield 600.0

    file = MemoryFile(tmp_path, "a")
    with RawServer(hang) as stuck, anyio.fail_after(120):
        hangs = notifier("webhook", url=stuck.address, timeout="5m")
        await Notifications(lambda: [hangs], open_log(), file).tell_once(agent(FAILS), 0.3)
    well = notifier("webhook", url=receiver.url)
    await Notifications(lambda: [well], open_log(), file).tell_once(
        agent(WELL, at=NOW + minutes(1)), 60
    )
    assert titles(receiver) == ["Resolved: Raft snapshots: snapshots fail"]


async def test_a_defect_in_a_channel_is_a_failure_of_that_one() -> None:
    class Broken(NotifierSettings):
        def open(self) -> Any:
            raise ZeroDivisionError

    courier = Courier(Broken.model_validate({"type": "b"}), NoticeMemory(), Clock())
    (attempt,) = await courier.look(agent(FAILS))
    assert "ZeroDivisionError" in attempt.error


def test_an_error_of_a_notifier_is_remote() -> None:
    assert NotificationError("x").exit_code == 2
