"""A log that cannot be written stops no snapshot, and changes no exit code."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.cluster.command import environment
from tests.faults.disks import small_disk
from tests.faults.site import Site
from tests.processes.command import Command

from raft_snapshot_agent.servers.process import until

pytestmark = pytest.mark.usefixtures("server")
SOON = 60.0


def full_device() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def pipe_without_reader() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def terminal_that_is_gone() -> int:
    ours, theirs = pty.openpty()
    os.close(ours)
    return theirs


def pipe_that_nobody_reads() -> int:
    """Its reader stays open for as long as this process lives."""
    _, writer = os.pipe()
    os.write(writer, bytes(fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)))
    return writer


def fill(file: Path) -> None:
    """Leave no room on the disk of this file."""
    with file.open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(4096))


@contextmanager
def logged_to(site: Site, file: int, *arguments: str) -> Iterator[Command]:
    command = Command(
        [*arguments, "-c", site.configuration()], env=environment(), stdout=file, stderr=file
    )
    with command:
        try:
            yield command
        finally:
            command.kill()


every_log = pytest.mark.parametrize(
    "opened", [full_device, pipe_without_reader, terminal_that_is_gone, pipe_that_nobody_reads]
)


@every_log
@pytest.mark.parametrize("option", [(), ("--debug",)], ids=["", "debug"])
def test_a_single_run(site: Site, opened: Callable[[], int], option: tuple[str, ...]) -> None:
    with logged_to(site, opened(), "run", "--once", *option) as command:
        assert command.wait(SOON) == 0
    assert [len(names) for names in site.names()] == [1, 1]


@every_log
def test_a_failure_keeps_its_exit_code(site: Site, opened: Callable[[], int]) -> None:
    site.vault["address"] = "http://127.0.0.1:1"
    with logged_to(site, opened(), "save", "--debug") as command:
        assert command.wait(SOON) == 2


@every_log
def test_a_daemon(site: Site, opened: Callable[[], int]) -> None:
    site.more["schedule"] = {"every": "1s"}
    with logged_to(site, opened(), "run") as command:
        until(lambda: len(site.files()) >= 6, "it takes three snapshots", within=SOON)
        command.send_signal(signal.SIGTERM)
        assert command.wait(SOON) == 0


def test_a_full_disk_is_told_in_the_log_once_there_is_room(site: Site, tmp_path: Path) -> None:
    site.more["schedule"] = {"every": "1s"}
    (disk := tmp_path / "var").mkdir()
    with small_disk(disk, "64k"):
        log, filler = disk / "log", disk / "filler"
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with logged_to(site, file, "run", "--debug") as command:
            until(log.read_text, "it writes its log", within=SOON)
            fill(filler)
            until(lambda: log.stat().st_size % 4096 == 0, "its last page is full", within=SOON)
            taken = len(site.files())
            until(lambda: len(site.files()) >= taken + 4, "it goes on", within=SOON)
            filler.unlink()
            until(lambda: "event=lines_missing" in log.read_text(), "it tells", within=SOON)
            command.send_signal(signal.SIGTERM)
            assert command.wait(SOON) == 0
        os.close(file)
        said = log.read_text()
    (told,) = (line for line in said.splitlines() if line.endswith("event=lines_missing"))
    assert "lines missing here: " in told
    assert "(cannot write: No space left on device)" in told
    assert said.splitlines()[-1].endswith("event=stopped")
