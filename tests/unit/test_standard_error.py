"""Messages that cannot be written are dropped and counted; nobody is stopped by them."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from raft_snapshot_agent import standard_error
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.standard_error import StandardError

FULL = "No space left on device"


class Pipe:
    """A pipe with room for one page, as standard error."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 4096)
        self.stream = opened(self.writer)

    def say(self, *lines: str) -> None:
        for line in lines:
            print(line, file=self.stream, flush=True)

    def fill(self) -> None:
        """Leave no room for another byte."""
        self.say("x" * 4095)

    def read_until(self, last: str) -> list[str]:
        """Read up to the line `last`; return all lines."""
        read = b""
        while not read.endswith(f"{last}\n".encode()):
            read += os.read(self.reader, 65536)
        return read.decode().splitlines()


def opened(file: int) -> StandardError:
    with os.fdopen(file, "w", closefd=False) as stream:
        return StandardError(stream)


@pytest.fixture
def pipe() -> Pipe:
    """One that stays open: a thread may still write into it."""
    return Pipe()


def test_a_line_is_written_when_print_returns(pipe: Pipe) -> None:
    for number in range(50):
        pipe.say(f"line {number} é")
        assert os.read(pipe.reader, 65536).decode() == f"line {number} é\n"


def test_a_question_is_written_when_it_is_flushed(pipe: Pipe) -> None:
    pipe.stream.write("Type yes: ")
    pipe.stream.flush()
    assert os.read(pipe.reader, 65536) == b"Type yes: "


def test_nobody_waits_for_a_reader_who_does_not_read(pipe: Pipe) -> None:
    pipe.fill()
    lines = [f"line {number}" for number in range(2000)]
    pipe.say(*lines)
    assert pipe.read_until(lines[-1])[1:] == lines
    # From now on lines are waited for again.
    pipe.say("as before")
    assert os.read(pipe.reader, 65536) == b"as before\n"


def test_the_oldest_lines_are_dropped_and_counted(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standard_error, "_ROOM", 100)
    pipe.fill()
    lines = [f"line {number}" for number in range(40)]
    pipe.say(*lines)
    told = pipe.read_until(lines[-1])[1:]
    (place,) = (at for at, line in enumerate(told) if line.startswith("warning: "))
    found = re.fullmatch(
        r"warning: lines missing here: (\d+) \(cannot write: they are not read fast enough\)",
        told[place],
    )
    assert found
    assert told[:place] + lines[place : place + int(found[1])] + told[place + 1 :] == lines
    assert len(told) < 20


@pytest.mark.parametrize("why", [errno.ENOSPC, errno.EPIPE, errno.EIO, errno.EFBIG])
def test_what_cannot_be_written_is_told_once_it_can(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch, why: int
) -> None:
    def refuse(_file: int, _data: bytes) -> int:
        raise OSError(why, os.strerror(why))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        pipe.say("one", "two", "three")
    pipe.say("four", "five")
    missing = f"warning: lines missing here: 3 (cannot write: {os.strerror(why)})"
    assert pipe.read_until("five") == [missing, "four", "five"]


def test_a_line_that_was_cut_does_not_run_into_the_next(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, room = os.write, [3]

    def write_little(file: int, data: bytes) -> int:
        if not room:
            raise OSError(errno.ENOSPC, FULL)
        return write(file, data[: room.pop()])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_little)
        pipe.say("one", "two")
    pipe.say("three")
    missing = f"warning: lines missing here: 2 (cannot write: {FULL})"
    assert pipe.read_until("three") == ["one", missing, "three"]


def test_a_reader_who_is_gone_stops_nobody(pipe: Pipe) -> None:
    os.close(pipe.reader)
    pipe.say("one", "two")
    pipe.stream.finish()


def test_a_full_device_stops_nobody() -> None:
    stream = opened(os.open("/dev/full", os.O_WRONLY))
    print("to nobody", file=stream, flush=True)
    stream.finish()


def test_a_file_without_waiting_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer, False)  # by another process that has it, such as a shell
    pipe.fill()
    pipe.say("later")
    assert pipe.read_until("later")[1:] == ["later"]


def test_the_file_is_left_as_it_was(pipe: Pipe) -> None:
    pipe.fill()
    pipe.say("later")
    assert os.get_blocking(pipe.writer)
    assert (pipe.stream.fileno(), pipe.stream.isatty()) == (pipe.writer, False)
    assert pipe.read_until("later")


def test_without_a_further_thread_lines_are_written_nevertheless(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    pipe.say("one", "two")
    assert os.read(pipe.reader, 65536) == b"one\ntwo\n"


def test_the_last_lines_are_written_at_the_end(pipe: Pipe) -> None:
    pipe.fill()
    pipe.say("the last")
    reader = threading.Thread(target=pipe.read_until, args=("the last",))
    reader.start()
    pipe.stream.finish()
    reader.join()


def test_lines_of_many_threads_stay_whole(pipe: Pipe) -> None:
    def write(name: str) -> None:
        pipe.say(*[name * 80] * 100)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    read: list[str] = []
    while len(read) < 400:
        read += os.read(pipe.reader, 81).decode().splitlines()
    for thread in threads:
        thread.join()
    assert sorted(read) == sorted(name * 80 for name in "abcd" for _ in range(100))


@pytest.fixture
def _unconfigured() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_unconfigured")
def test_the_log_tells_of_missing_lines_in_its_own_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    full = os.open("/dev/full", os.O_WRONLY)
    place = os.dup(file)
    monkeypatch.setattr("sys.stderr", opened(place))
    log = configure("json", "info").bind(cluster="prod")
    os.dup2(full, place)
    log.info("lost", fact=LogEvent.OTHER)
    os.dup2(file, place)
    log.info("kept", fact=LogEvent.OTHER)
    missing, kept = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert missing.pop("timestamp")
    assert missing == {
        "level": "warning",
        "message": f"lines missing here: 1 (cannot write: {FULL})",
        "event": "lines_missing",
    }
    assert kept["message"] == "kept"
