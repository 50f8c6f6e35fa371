"""Orphans of ended programs are reaped where the agent is their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
from tests.unit.notify.notices import channel, notice
from tests.unit.processes import until

from raft_snapshot_agent.adopted import reap

_SET_CHILD_SUBREAPER = 36
"""Source: `prctl(2)`."""


@pytest.fixture
def as_process_1() -> Iterator[None]:
    """Let this process adopt orphans, as the first process of a container does."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    libc.prctl(_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.mark.usefixtures("as_process_1")
def test_a_notifiers_orphans_do_not_stay_as_zombies() -> None:
    said = channel("exec", command=("sh", "-c", "sleep 600 & sleep 600 & echo $$")).send(notice())
    group = int(said.rpartition(": ")[2])
    with pytest.raises(ChildProcessError):
        os.waitpid(-group, os.WNOHANG)


@pytest.mark.usefixtures("as_process_1")
def test_other_children_are_left_to_those_who_wait_for_them() -> None:
    others = subprocess.Popen(["sleep", "600"], start_new_session=True)
    left = subprocess.Popen(["sh", "-c", "sleep 600 & exit 3"], start_new_session=True)
    until(lambda: left.poll() is not None)
    for process in (others, left):
        os.killpg(process.pid, signal.SIGKILL)
    reap(left)
    assert others.wait() == -signal.SIGKILL
    with pytest.raises(ChildProcessError):
        os.waitpid(-left.pid, os.WNOHANG)
