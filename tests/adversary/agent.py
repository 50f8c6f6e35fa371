"""The agent under attack: what it is told, how it ended, and what must hold whatever came."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from tests.leaks import WATCH

MEMORY = 150 << 20
"""Bytes that the agent may have at the most, whatever it is sent."""
_CLIENT = 8 << 20
"""Bytes for each storage or cluster beyond the usual few: its connections, and what it was sent."""
_USUAL = 4
"""Storages or clusters that `MEMORY` is enough for."""
_RUNS = 40
"""Commands of one process: enough to see what each leaves behind, too few for what the allocator
keeps of all the different lies to add up."""
_ROOT = Path(__file__).parents[2]
_LONGEST = 2000
"""Characters of a line."""


class HungError(AssertionError):
    """The agent did not end in time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    code: int
    said: str
    seconds: float
    peak: int
    """Bytes of memory at the most."""
    threads: int
    files: int

    @property
    def complaints(self) -> list[str]:
        """What an operator is told of: warnings and errors."""
        return [line for line in self.said.splitlines() if re.search(r"Z (warning|error) ", line)]

    def holds(self, storages: int = 0) -> Self:
        """Make sure of what holds for every command, whatever came from outside."""
        assert "Traceback" not in self.said, self.said
        assert "a bug" not in self.said, self.said
        assert self.peak < MEMORY + storages * _CLIENT, f"{self.peak >> 20} MiB"
        for line in self.said.splitlines():
            assert line.isprintable(), ascii(line)
            assert len(line) < _LONGEST + storages * 300, f"{len(line)} characters: {line[:200]}"
        return self


class Worker:
    """A process that runs commands; one that hangs is ended, and another takes its place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._runs = 0

    def run(self, *arguments: str, within: float = 60.0, folder: Path | None = None) -> Outcome:
        """Run a command, in its own folder or another.

        Raises:
            HungError: It did not end within so many seconds.
        """
        process = self._running()
        assert process.stdin
        assert process.stdout
        order = [str(folder or self._folder), arguments]
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
        if not select.select([process.stdout], (), (), within)[0]:
            self.stop()
            raise HungError(f"{' '.join(arguments)} did not end within {within:g} s")
        if not (line := process.stdout.readline()):
            self.stop()
            raise AssertionError("the agent's process died")
        outcome = Outcome(**json.loads(line))
        WATCH.read(outcome.said)
        return outcome

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._runs == _RUNS:
            self.stop()
        if self._process is None:
            self._runs = 0
            path = os.pathsep.join([str(_ROOT), str(_ROOT / "src")])
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.adversary.worker"],
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={"PATH": os.environ["PATH"], "HOME": str(self._folder), "PYTHONPATH": path},
            )
        self._runs += 1
        return self._process


@dataclass(slots=True)
class Bench:
    """One agent's configuration: an honest storage, and those that are to be doubted."""

    root: Path
    worker: Worker
    vault: dict[str, Any]
    storages: list[dict[str, Any]] = field(default_factory=list)
    retention: dict[str, Any] = field(default_factory=lambda: {"last": 2, "daily": 12})
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def honest(self) -> Path:
        return self.root / "honest"

    def configuration(self) -> Path:
        document = {
            "vault": self.vault,
            "spool": str(self.root / "spool"),
            "retention": self.retention,
            **self.more,
        }
        if "clusters" not in document:
            honest = {"type": "local", "name": "honest", "path": str(self.honest)}
            document["storages"] = [honest, *self.storages]
        path = self.root / "agent.yaml"
        path.write_text(json.dumps(document, indent=2))
        path.chmod(0o600)
        return path

    def run(self, *arguments: str, within: float = 60.0) -> Outcome:
        """Run a command with this configuration."""
        words = arguments or ("run", "--once")
        outcome = self.worker.run(*words, "-c", str(self.configuration()), within=within)
        try:
            doubted = self.storages or self.more.get("clusters", ())
            return outcome.holds(max(0, len(doubted) - _USUAL))
        except AssertionError:
            self.worker.stop()  # what it leaves behind is no fault of the next
            raise


class Told(Protocol):
    """A lie of a store or of a node."""

    @property
    def gregarious(self) -> bool: ...


def in_fours(lies: Mapping[str, Told]) -> list[list[str]]:
    """List the lies as many at once as `MEMORY` is enough for, and each heavy one alone."""
    light = [name for name, lie in lies.items() if lie.gregarious]
    heavy = [[name] for name, lie in lies.items() if not lie.gregarious]
    return [*heavy, *(light[begin : begin + _USUAL] for begin in range(0, len(light), _USUAL))]
