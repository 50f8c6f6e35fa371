"""The real command in a process of its own, on pipes and on a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.leaks import WATCH
from tests.processes import command as processes
from tests.processes.command import Command

from raft_snapshot_agent.servers.process import LOOPBACK, until

AGENT = (sys.executable, "-m", "raft_snapshot_agent")
SEED = (
    sys.executable,
    "-c",
    "from raft_snapshot_agent.__main__ import seed_command as main; main()",
)
_ENTRIES: dict[tuple[str, ...], str] = {AGENT: processes.AGENT, SEED: processes.SEED}
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended, and what it wrote."""

    code: int
    data: bytes
    talk: str

    def __post_init__(self) -> None:
        WATCH.read(self.talk)
        WATCH.read(self.data.decode(errors="replace"))

    @property
    def text(self) -> str:
        return self.data.decode()

    @property
    def document(self) -> Any:
        return json.loads(self.data)

    @property
    def error(self) -> str:
        """The one line on standard error that says why it failed."""
        assert self.talk.startswith("error: "), self.talk
        assert self.talk.endswith("\n"), self.talk
        assert self.talk.count("\n") == 1, self.talk
        return self.talk


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Nobody's own settings, and nothing that changes how Python writes."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **(more or {})}


def call(
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    cwd: Path | None = None,
    program: tuple[str, ...] = AGENT,
) -> Ending:
    """Run the command to its end; without `stdin` there is none."""
    command = Command(
        arguments,
        env=environment(env),
        folder=cwd or "/",
        entry=_ENTRIES[program],
        stdin=None if stdin is None else subprocess.PIPE,
        impatient=True,
    )
    with command:
        try:
            data, talk = command.communicate(stdin, _PATIENCE)
        except subprocess.TimeoutExpired:
            command.kill()
            raise
    return Ending(command.wait(), data, talk.decode())


class Terminal:
    """The command on a terminal, with somebody who reads and types; it is killed in the end."""

    def __init__(
        self,
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        stderr: int | None = None,
    ) -> None:
        self._ours, theirs = pty.openpty()
        self.process = Command(
            arguments,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs if stderr is None else stderr,
            env=environment({"TERM": "xterm-256color", **(env or {})}),
        )
        os.close(theirs)
        self._shown = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def shown(self) -> str:
        """Everything so far, as bytes came, escape sequences included."""
        return self._shown.decode(errors="replace").replace("\r\n", "\n")

    def shows(self, words: str) -> None:
        """Wait for words on the screen."""
        until(lambda: words in self.shown, f"the terminal shows {words!r}", within=_PATIENCE)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def ended(self) -> int:
        """Wait for the end, and return the exit code."""
        code = self.process.wait(_PATIENCE)
        self._reader.join(_PATIENCE)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(_PATIENCE)
        os.close(self._ours)
        WATCH.read(self.shown)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # a terminal's end is an error
            while piece := os.read(self._ours, 4096):
                self._shown += piece


@contextlib.contextmanager
def untouched() -> Iterator[str]:
    """Something that listens and that nobody must have spoken to; yields HOST:PORT."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield f"{LOOPBACK}:{listener.getsockname()[1]}"
        listener.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            listener.accept()[0].close()
            raise AssertionError("somebody connected")
