"""What signals do before the daemon obeys them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from raft_snapshot_agent.__main__ import _command, _is_daemon
from raft_snapshot_agent.early_signals import OBEYED, catch_early_signals, take_early_signals
from raft_snapshot_agent.errors import AgentError


@pytest.fixture(autouse=True)
def caught() -> Iterator[None]:
    before = {one: signal.getsignal(one) for one in OBEYED}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)
    take_early_signals()


def test_two_end_it_and_the_others_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    catch_early_signals()
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    assert codes == [0, 0]
    assert take_early_signals()[0] == signal.SIGHUP


def test_after_the_daemon_none_does_anything() -> None:
    catch_early_signals()
    assert take_early_signals() == []
    for one in OBEYED:
        os.kill(os.getpid(), one)
    assert take_early_signals() == []


def test_they_are_caught_before_anything_is_read(tmp_path: Path) -> None:
    before = {one: signal.getsignal(one) for one in OBEYED}
    with pytest.raises(AgentError):
        _command(["list", "-c", str(tmp_path / "missing.yaml")])
    assert {one: signal.getsignal(one) for one in OBEYED} == before
    with pytest.raises(AgentError):
        _command(["run", "-c", str(tmp_path / "missing.yaml")])
    assert all(signal.getsignal(one) != before[one] for one in OBEYED)


@pytest.mark.parametrize(
    ("line", "is_daemon"),
    [
        ("run", True),
        ("run -c run.yaml", True),
        ("--debug -c save run --cluster save", True),
        ("--config=a.yaml --cluster b run", True),
        ("run --once", False),
        ("-c run", False),
        ("--cluster run list", False),
        ("verify run", False),
        ("--version", False),
        ("", False),
    ],
)
def test_only_those_of_the_daemon_are_caught(line: str, is_daemon: bool) -> None:
    assert _is_daemon(line.split()) is is_daemon
