"""The agent's commands, each in a process of its own that need not load it first."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Self

from tests.processes import forks

AGENT = "raft_snapshot_agent.__main__:command"
SEED = "raft_snapshot_agent.__main__:seed_command"


class Forks:
    """The process that all commands of this process come from."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", forks.__file__],
                stdin=theirs.fileno(),
                env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **_SEARCHED},
            )
        atexit.register(self.close)

    def order(self, order: Mapping[str, object], files: Sequence[int]) -> None:
        socket.send_fds(self._orders, [json.dumps(order).encode()], files)

    def close(self) -> None:
        self._orders.close()
        self._process.wait()


@cache
def _forks() -> Forks:
    return Forks()


_SEARCHED = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
"""Where the sources are that are tested, if not where the package was installed from."""


class Command:
    """One command that runs, with what tests use of `subprocess.Popen`."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        folder: Path | str = "/",
        entry: str = AGENT,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        closed: Sequence[int] = (),
        impatient: bool = False,
    ) -> None:
        """Start it; a standard file that is not given leads to a pipe, standard input to nothing.

        `entry` is `MODULE:FUNCTION` or the path of a script; `stdin` may be `subprocess.PIPE`, too.
        Those whose number is in `closed` are closed from the start. An `impatient` one tries again at once what a storage failed at.
        """
        self.stdin: IO[bytes] | None = None
        self.stdout: IO[bytes] | None = None
        self.stderr: IO[bytes] | None = None
        self.returncode: int | None = None
        passed: list[int] = []
        if stdin == subprocess.PIPE:
            ours, write = os.pipe()
            passed.append(ours)
            self.stdin = os.fdopen(write, "wb")
        else:
            passed.append(os.open(os.devnull, os.O_RDONLY) if stdin is None else os.dup(stdin))
        for name, given in (("stdout", stdout), ("stderr", stderr)):
            if given is None:
                read, write = os.pipe()
                passed.append(write)
                setattr(self, name, os.fdopen(read, "rb"))
            else:
                passed.append(os.dup(given))
        status, write = os.pipe()
        passed.append(write)
        self._status = os.fdopen(status, "rb", buffering=0)
        order = {
            "arguments": ["raft-snapshot-agent", *map(str, arguments)],
            "environment": dict(env),
            "folder": str(folder),
            "entry": entry,
            "closed": list(closed),
            "impatient": impatient,
        }
        _forks().order(order, passed)
        for file in passed:
            os.close(file)
        self.pid = int(self._status.readline())

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal; nothing while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: It did not end in so many seconds.
        """
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return code

    def communicate(
        self, data: bytes | None = None, timeout: float | None = None
    ) -> tuple[bytes, bytes]:
        """Write `data`, read what it writes, and wait for its end.

        Raises:
            subprocess.TimeoutExpired: It did not end in so many seconds.
        """
        said: dict[str, bytes] = {}

        def read(name: str, stream: IO[bytes]) -> None:
            said[name] = stream.read()

        threads = [
            threading.Thread(target=read, args=(name, stream), daemon=True)
            for name, stream in (("stdout", self.stdout), ("stderr", self.stderr))
            if stream
        ]
        if self.stdin:
            threads.append(threading.Thread(target=self._write, args=(data or b"",), daemon=True))
        for thread in threads:
            thread.start()
        self.wait(timeout)
        for thread in threads:
            thread.join(timeout)
        return said.get("stdout", b""), said.get("stderr", b"")

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:  # a daemon would be waited for until the test's own limit
            self.kill()
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream:
                stream.close()
        self.wait()

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            awaited = select.poll()
            awaited.register(self._status, select.POLLIN)
            if awaited.poll(None if timeout is None else timeout * 1000):
                self.returncode = int(self._status.readline())
                self._status.close()
        return self.returncode

    def _write(self, data: bytes) -> None:
        assert self.stdin
        with suppress(BrokenPipeError):  # it does not want to read more
            self.stdin.write(data)
        with suppress(BrokenPipeError):
            self.stdin.close()
