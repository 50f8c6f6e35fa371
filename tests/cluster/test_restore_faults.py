"""A restore that is killed, or loses the network, at any of its requests.

What is said afterwards is so, and a safety snapshot is there whenever one was sent.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.cluster.command import AGENT, Ending, call, environment
from tests.cluster.field import Field, at_once, marked
from tests.http_proxy import Behaviour, Exchange, Request, hang
from tests.lying import SNAPSHOT_PATH, LyingProxy
from tests.processes.command import Command

from raft_snapshot_agent.core.snapshots.notes import RESTORED_NAME
from raft_snapshot_agent.core.snapshots.snapshot import Sidecar
from raft_snapshot_agent.errors import ServerError
from raft_snapshot_agent.servers.openbao import OpenBaoCluster, fill, prepare_agent
from raft_snapshot_agent.servers.process import until

_LARGE = 24 << 20
"""More than what lies in the buffers of a connection, however large these are."""
_LARGEST, _BUFFERS = 128 << 20, 32 << 20
_APPLIED = "restored user snapshot"
"""A server logs it when it has replaced its data."""
_MOST = 60
"""More requests than a restore makes until it is done."""


class FailingProxy(LyingProxy):
    """A proxy that fails from some request on."""

    def __init__(self, upstream_address: str) -> None:
        super().__init__(upstream_address)
        self._lock = threading.Lock()
        self._left: int | None = None
        self._failing: Behaviour = cut
        self.failed = False

    def fail(self, after: int | None, behaviour: Behaviour) -> None:
        """Fail after so many requests; nothing: not any more."""
        with self._lock:
            self._left, self._failing, self.failed = after, behaviour, False

    def _choose(self, request: Request) -> Behaviour:
        with self._lock:
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    self.failed = True
                    return self._failing
        return super()._choose(request)


def cut(exchange: Exchange) -> None:
    exchange.cut()


def swallow(exchange: Exchange) -> None:
    """Take the request whole, and let the server have nothing of it."""
    exchange.body()
    exchange.cut()


def take_and_cut(exchange: Exchange) -> None:
    """Let the server have the request, and nobody its answer."""
    exchange.forward().read()
    exchange.cut()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """One node behind a proxy that fails."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("one")
        cluster = stack.enter_context(OpenBaoCluster.start(folder / "bao"))
        there = Field(cluster, prepare_agent(cluster), folder / "agent")
        there.hide(stack, FailingProxy)
        yield there


@pytest.fixture
def marker(one: Field) -> Iterator[str]:
    """A secret that was `before` in the snapshot `wanted`, and is `after` now."""
    path = marked(one.cluster, "before")
    yield path
    line(one).fail(None, cut)
    forget(one)


def line(there: Field) -> FailingProxy:
    proxy = there.before(there.cluster.nodes[0])
    assert isinstance(proxy, FailingProxy)
    return proxy


def wanted(there: Field, marker: str, folder: Path) -> Path:
    """A snapshot in a file, after which the secret changed."""
    file = folder / f"{marker}.snap"
    assert call("save", file, "-c", there.configuration()).code == 0
    there.cluster.write_secret(marker, {"value": "after"})
    return file


def value(there: Field, marker: str) -> str:
    """What the secret is, as soon as the cluster answers."""
    found = [""]

    def answers() -> bool:
        try:
            found[0] = at_once(there.cluster.nodes[0], marker, there.cluster.root_token)
        except (ServerError, AssertionError):
            return False
        return True

    until(answers, "the cluster answers", within=90)
    return found[0]


def notes(there: Field) -> list[Path]:
    """What a restore leaves beside the snapshots."""
    folder = there.folder / "snapshots"
    return [*folder.glob(f"*{Sidecar.HOLD}"), *folder.glob(RESTORED_NAME)]


def forget(there: Field) -> None:
    for note in notes(there):
        note.unlink()


def test_a_lost_answer_is_looked_for(one: Field, marker: str, tmp_path: Path) -> None:
    snapshot = wanted(one, marker, tmp_path)
    line(one).behave(SNAPSHOT_PATH, take_and_cut, times=1)

    ended = one.restore(snapshot, "--yes")

    assert ended.code == 0, ended.talk
    assert value(one, marker) == "before"


def test_where_nothing_shows_it_that_is_said(one: Field, marker: str, tmp_path: Path) -> None:
    snapshot = wanted(one, marker, tmp_path)
    line(one).behave(SNAPSHOT_PATH, swallow, times=1)

    ended = one.restore(snapshot, "--yes", "--wait", "2s")

    assert ended.code == 2
    assert (
        "it is still unknown whether the server restored it (check" in ended.talk.splitlines()[-1]
    )
    assert len(notes(one)) == 2  # the way back is held, in case
    assert "To undo: raft-snapshot-agent restore " in ended.talk
    assert value(one, marker) == "after"


def test_a_server_that_dies_when_it_has_it_is_not_said_to_have_nothing(
    one: Field, marker: str, tmp_path: Path
) -> None:
    snapshot = wanted(one, marker, tmp_path)
    (node,) = one.cluster.nodes
    log = node.process.log_path
    before = log.read_text().count(_APPLIED)

    def die(exchange: Exchange) -> None:
        exchange.forward().read()
        until(lambda: log.read_text().count(_APPLIED) > before, "it is applied", within=90)
        node.kill()
        node.start()
        exchange.cut()

    line(one).behave(SNAPSHOT_PATH, die, times=1)

    ended = one.restore(snapshot, "--yes")
    one.cluster.restart(node)

    assert ended.code == 2
    last = ended.talk.splitlines()[-1]
    assert f"{line(one).address} received the snapshot and is sealed now" in last
    assert "it is unknown whether the cluster was restored (unseal it, then check" in last
    assert value(one, marker) == "before"


def interrupted(there: Field, snapshot: Path, when: Callable[[], object]) -> list[str]:
    """Restore, and press Ctrl-C at a moment; return the lines that are said."""
    arguments: list[str | Path] = ["restore", snapshot, "--yes", "-c", there.configuration()]
    with Command(arguments, env=environment(there.operator)) as command:
        until(when, "the moment to interrupt it", within=90)
        command.send_signal(signal.SIGINT)
        _, talk = command.communicate(timeout=90)
    assert command.returncode == 130
    return talk.decode().splitlines()


def test_an_interruption_before_the_answer_says_what_may_be(
    one: Field, marker: str, tmp_path: Path
) -> None:
    snapshot, has_all = wanted(one, marker, tmp_path), threading.Event()

    def take(exchange: Exchange) -> None:
        exchange.body()
        has_all.set()
        hang(exchange)

    line(one).behave(SNAPSHOT_PATH, take, times=1)

    *_, way_back, last = interrupted(one, snapshot, has_all.is_set)

    assert way_back.startswith("To undo: raft-snapshot-agent restore ")
    assert last.startswith("interrupted: the snapshot was sent, so the cluster may be restored: ")
    assert len(notes(one)) == 2


def test_an_interruption_after_the_answer_says_what_is(
    one: Field, marker: str, tmp_path: Path
) -> None:
    snapshot, looked = wanted(one, marker, tmp_path), threading.Event()

    def keep_waiting(exchange: Exchange) -> None:
        looked.set()
        hang(exchange)

    def take(exchange: Exchange) -> None:
        for path in one.as_seen:
            line(one).behave(path, keep_waiting)
        exchange.relay(exchange.forward())

    line(one).behave(SNAPSHOT_PATH, take, times=1)

    *_, way_back, last = interrupted(one, snapshot, looked.is_set)

    assert way_back.startswith("To undo: raft-snapshot-agent restore ")
    assert last.startswith("interrupted: the cluster is restored, but not every node was waited")
    for path, behaviour in one.as_seen.items():
        line(one).behave(path, behaviour)
    assert value(one, marker) == "before"


def restore_with_failure(there: Field, snapshot: Path, after: int) -> Ending:
    line(there).fail(after, cut)
    ended = there.restore(snapshot, "--yes", "--no-safety", "--wait", "5s")
    line(there).fail(None, cut)
    return ended


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_the_network_is_lost_at_any_request(one: Field, marker: str, tmp_path: Path) -> None:
    snapshot = wanted(one, marker, tmp_path)
    ends = set()
    for after in range(_MOST):
        sent = len(one.sent())
        ended = restore_with_failure(one, snapshot, after)
        if ended.code == 0:
            break
        last = ended.talk.splitlines()[-1]
        assert last.startswith("error: ")
        assert ended.talk.count("error: ") == 1
        known = "nothing was changed" in last or len(one.sent()) == sent
        ends.add(known)
        if known:
            assert value(one, marker) == "after", ended.talk
        elif "the snapshot is restored, but not every node is back" in last:
            assert value(one, marker) == "before", ended.talk
        else:
            assert "whether" in last or "is not back" in last
        forget(one)
        assert value(one, marker) in {"before", "after"}  # it answers again
        one.cluster.write_secret(marker, {"value": "after"})
    else:
        raise AssertionError("it never came to an end")
    assert ends == {True, False}


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_the_network_is_lost_on_the_way(one: Field, marker: str, tmp_path: Path) -> None:
    fill(one.cluster, _LARGE)
    snapshot = wanted(one, marker, tmp_path)
    line(one).behave(SNAPSHOT_PATH, cut, times=1)

    ended = one.restore(snapshot, "--yes")

    assert ended.code == 2
    last = ended.talk.splitlines()[-1]
    assert "nothing was changed" in last
    assert "raise http_read_timeout" in last
    assert value(one, marker) == "after"
    assert notes(one) == []


@pytest.mark.soak
def test_an_interruption_while_it_is_sent_changes_nothing(
    one: Field, marker: str, tmp_path: Path
) -> None:
    fill(one.cluster, _LARGE)
    snapshot, sent = wanted(one, marker, tmp_path), len(one.sent())
    line(one).behave(SNAPSHOT_PATH, hang, times=1)

    talk = interrupted(one, snapshot, lambda: len(one.sent()) > sent)

    assert talk[-1] == "interrupted: nothing was changed"
    assert value(one, marker) == "after"
    assert notes(one) == []


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_it_is_killed_at_any_request(one: Field, marker: str, tmp_path: Path) -> None:
    snapshot = wanted(one, marker, tmp_path)
    values = set()
    for after in range(_MOST):
        sent = len(one.sent())
        code = killed(one, snapshot, after)
        found = value(one, marker)
        values.add(found)
        if len(one.sent()) > sent:
            ways_back = [one for one in notes(one) if one.suffix == Sidecar.HOLD]
            assert ways_back
            assert call("verify", ways_back[0].with_suffix("")).code == 0
        else:
            assert found == "after"
        one.save()  # the next run needs nobody's help, and raises no alarm
        assert [*(one.folder / "spool").iterdir()] == []
        if code == 0:
            break
        forget(one)
        one.cluster.write_secret(marker, {"value": "after"})
    else:
        raise AssertionError("it never came to an end")
    assert values == {"before", "after"}


def killed(there: Field, snapshot: Path, after: int) -> int:
    """Restore, and kill -9 the command at a request; return how it ended."""
    arguments: list[str | Path] = ["restore", snapshot, "--yes", "-c", there.configuration()]
    with Command(arguments, env=environment(there.operator)) as command:

        def kill(exchange: Exchange) -> None:
            command.kill()
            exchange.cut()

        line(there).fail(after, kill)
        code = command.wait(120)
    line(there).fail(None, cut)
    return code


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_memory_does_not_grow_with_the_snapshot(one: Field, tmp_path: Path) -> None:
    small = tmp_path / "small.snap"
    assert call("save", small, "-c", one.configuration()).code == 0
    fill(one.cluster, _LARGEST)
    large = tmp_path / "large.snap"
    assert call("save", large, "-c", one.configuration()).code == 0
    assert large.stat().st_size > small.stat().st_size + _LARGEST // 2

    # The large one is read, taken as a safety snapshot, and sent; the small one only sent.
    assert peak_of(one, large) < peak_of(one, small) + _BUFFERS


def peak_of(there: Field, snapshot: Path) -> int:
    """Restore in a process of its own, and return the most memory that it took, in bytes."""
    arguments: list[str | Path] = [
        *AGENT,
        "restore",
        snapshot,
        "--yes",
        "-c",
        there.configuration(),
    ]
    if snapshot.name == "small.snap":
        arguments.append("--no-safety")
    with subprocess.Popen(arguments, env=environment(there.operator)) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_maxrss << 10
