"""A host that permits few open files, threads or bytes in a file: nothing is lost silently."""

from __future__ import annotations

import resource
import sys
from contextlib import ExitStack

import pytest
from tests.cluster.fleet import Fleet
from tests.crowd import WELL, Crowd
from tests.faults.site import AGENT, Running

from raft_snapshot_agent.host_limits import FILE_SIZE_HINT, OPEN_FILES
from raft_snapshot_agent.servers.process import program, until


@pytest.mark.soak
def test_more_clusters_than_files_that_may_be_open(
    fleet: Fleet, archive: bytes, opened: ExitStack
) -> None:
    fleet.common["schedule"] = {"every": "15s"}
    crowd = opened.enter_context(Crowd(archive, WELL * 150))
    fleet.add_all(crowd.addresses)
    daemon = opened.enter_context(fleet.command("run", agent=program(AGENT)))
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (60, 60))
    until(lambda: all(map(fleet.taken, fleet.clusters)), "each has its snapshot", within=120)
    assert "oo many open" not in daemon.said


def test_as_many_files_may_be_open_as_the_host_permits(fleet: Fleet, opened: ExitStack) -> None:
    fleet.add("c1", "http://127.0.0.1:1")
    script = 'ulimit -Sn 64; exec "$0" "$@"'
    command = ["sh", "-c", script, program(AGENT), "run", "-c", str(fleet.configuration())]
    daemon = opened.enter_context(Running(fleet.root, command))
    daemon.says("event=snapshot_failed")
    soft, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    assert soft == hard > 64


@pytest.mark.parametrize("most", [5, 6, 7, 8, 9, 10, 12])
def test_too_few_files_that_may_be_open_are_told(
    fleet: Fleet, archive: bytes, opened: ExitStack, most: int
) -> None:
    crowd = opened.enter_context(Crowd(archive, WELL))
    fleet.add_all(crowd.addresses)
    configuration = str(fleet.configuration())
    for arguments in (["run", "--once"], ["save"], ["list"], ["verify", "--all"]):
        script = f'ulimit -n {most}; exec "$0" "$@"'
        command = ["sh", "-c", script, program(AGENT), *arguments, "-c", configuration]
        ending = opened.enter_context(Running(fleet.root, command)).ended()
        assert "bug" not in ending.said
        assert "Traceback" not in ending.said
        assert ending.code == 0 or OPEN_FILES.hint in ending.said or "no snapshot" in ending.said


# Without byte code: the limit would cut it off, and who imports it later would fail.
_SMALL_FILES = 'ulimit -f 4; PYTHONDONTWRITEBYTECODE=1 exec "$0" "$@"'


def test_a_limit_of_file_sizes_is_told(fleet: Fleet, archive: bytes, opened: ExitStack) -> None:
    crowd = opened.enter_context(Crowd(archive, WELL))
    fleet.add_all(crowd.addresses)
    command = ["sh", "-c", _SMALL_FILES, program(AGENT), "run", "--once", "-c"]
    single = Running(fleet.root, [*command, str(fleet.configuration())])
    ending = opened.enter_context(single).ended()
    assert ending.code == 1
    assert f"File too large ({FILE_SIZE_HINT})" in ending.only_error
    assert fleet.taken("c00") == []


_FEW_THREADS = """
import sys, threading
most, start = int(sys.argv.pop(1)), threading._start_new_thread
def refuse(*work):
    if threading.active_count() > most:
        raise RuntimeError("can't start new thread")  # as the kernel's answer becomes
    return start(*work)
threading._start_new_thread = refuse
from raft_snapshot_agent.__main__ import command
command()
"""


@pytest.mark.parametrize("most", range(6))
def test_too_few_threads_are_told(
    fleet: Fleet, archive: bytes, opened: ExitStack, most: int
) -> None:
    crowd = opened.enter_context(Crowd(archive, WELL))
    fleet.add_all(crowd.addresses)
    command = [sys.executable, "-c", _FEW_THREADS, str(most), "run", "--once", "-c"]
    single = Running(fleet.root, [*command, str(fleet.configuration())])
    ending = opened.enter_context(single).ended()
    assert "bug" not in ending.said
    assert "Traceback" not in ending.said
    assert (ending.code == 0) == bool(fleet.taken("c00"))
    assert ending.code == 0 or "raise the limit of processes" in ending.said
