"""A running daemon: what a snapshot costs that it is asked for, and what it takes while idle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Cost, peak_mib, ticks
from bench.servers import Bench

_LOOK = 0.005
_WITHIN = 300.0
_STORED = "Successfully created"
_STORAGES = 2


@dataclass(frozen=True, slots=True)
class Daemon:
    """An agent that runs, and has stored its first snapshot in both storages."""

    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    @contextmanager
    def start(cls, bench: Bench) -> Iterator[Daemon]:
        log = bench.folder / "daemon.log"
        command = [sys.executable, "-m", "raft_snapshot_agent", "run", "-c", "agent.json"]
        with log.open("w") as file:
            process = subprocess.Popen(
                command, env=bench.environment, cwd=bench.folder, stdout=file, stderr=file
            )
        daemon = cls(process, log)
        try:
            daemon._wait(0)
            yield daemon
        finally:
            process.terminate()
            process.wait()

    def ask(self) -> Cost:
        """Ask for a snapshot, and wait until both storages have it."""
        before, used, began = self._stored(), ticks(self.process.pid), time.perf_counter()
        self.process.send_signal(signal.SIGUSR1)
        self._wait(before)
        wall = time.perf_counter() - began
        return Cost(wall, self._seconds(used), peak_mib(self.process.pid))

    def idle(self, seconds: float) -> float:
        """Return which part of a core it takes while it waits."""
        used = ticks(self.process.pid)
        time.sleep(seconds)
        return self._seconds(used) / seconds

    def resident(self) -> float:
        """Return its memory in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def _seconds(self, since: int) -> float:
        return (ticks(self.process.pid) - since) / os.sysconf("SC_CLK_TCK")

    def _stored(self) -> int:
        return self.log.read_text().count(_STORED)

    def _wait(self, before: int) -> None:
        until = time.monotonic() + _WITHIN
        while self._stored() < before + _STORAGES:
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(self.log.read_text())
            time.sleep(_LOOK)
