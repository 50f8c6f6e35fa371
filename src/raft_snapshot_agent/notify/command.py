"""Runs a program of the operator, with the message as JSON on its standard input."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import IO, Annotated, Literal

from pydantic import Field

from raft_snapshot_agent.adopted import reap
from raft_snapshot_agent.core.alarms.notices import Notice
from raft_snapshot_agent.errors import ConfigError, NotificationError, reason_of
from raft_snapshot_agent.host_limits import starting_program
from raft_snapshot_agent.notify.message import encode, event_name, state
from raft_snapshot_agent.notify.settings import NotifierSettings
from raft_snapshot_agent.redaction import one_line

_PASSED_ON = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SAID = 4096
"""Bytes of the program's output that are read; the rest is discarded."""
_SHOWN = 200


class ExecSettings(NotifierSettings):
    """A program, run without a shell."""

    type: Literal["exec"]
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """The program and its arguments."""

    def open(self) -> Command:
        return Command(self)

    def check(self, clusters: Collection[str]) -> None:  # noqa: ARG002 - any will do
        program = self.command[0]
        path = os.environ.get("PATH", _PATH)
        folders = [""] if "/" in program else path.split(os.pathsep)
        if not any(os.access(os.path.join(one, program), os.X_OK) for one in folders):  # noqa: PTH118
            raise ConfigError(
                f"cannot run {program}", hint="give the path of a program that the agent may run"
            )


class Command:
    """Runs the program once per message."""

    def __init__(self, settings: ExecSettings) -> None:
        self._argv = settings.command
        self._seconds = settings.timeout.total_seconds()

    def send(self, notice: Notice) -> str:
        # A file, because a program that does not read its input would block a pipe; in memory,
        # because the message may be that a disk is full.
        with os.fdopen(os.memfd_create("notice"), "w+b") as document:
            document.write(encode(notice))
            document.seek(0)
            return self._run(document, _environment(notice))

    def _run(self, document: IO[bytes], environ: Mapping[str, str]) -> str:
        program = self._argv[0]
        try:
            with starting_program():
                process = subprocess.Popen(
                    self._argv,
                    stdin=document,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=environ,
                    start_new_session=True,
                )
        except OSError as error:
            what = f"cannot run {program}: {reason_of(error)}"
            raise NotificationError(what, hint="check command") from error
        try:
            said = _listen(process, time.monotonic() + self._seconds)
        finally:
            _end(process)
        told = f": {said}" if said else ""
        if said is None:
            what = f"{program} did not end within {self._seconds:g} s and was killed"
            raise NotificationError(what, hint="or raise timeout, at most 5m")
        if process.returncode != 0:
            what = f"{program} ended with {process.returncode}{told}"
            raise NotificationError(what, hint="run it by hand, with the document on its input")
        return f"exit code 0{told}"


def _environment(notice: Notice) -> dict[str, str]:
    """Return the program's environment, without secrets."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    locale = {name: value for name, value in os.environ.items() if name.startswith("LC_")}
    told = {"RAFT_SNAPSHOT_EVENT": event_name(notice), "RAFT_SNAPSHOT_STATE": state(notice)}
    return {"PATH": _PATH, **passed, **locale, **told}


def _listen(process: subprocess.Popen[bytes], until: float) -> str | None:
    """Read the output until the program ends; return `None` if it does not end in time."""
    said = b""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := until - time.monotonic()) > 0:
            if not selector.select(min(left, 0.2)):
                if process.poll() is not None:
                    break  # a child process may keep the pipe open
                continue
            piece = os.read(process.stdout.fileno(), _SAID)
            if not piece:
                break
            said = (said + piece)[:_SAID]
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(until - time.monotonic(), 0.0))
        return one_line(said.decode(errors="replace"), _SHOWN)
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and all its child processes."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    reap(process)
    if process.stdout is not None:
        process.stdout.close()
