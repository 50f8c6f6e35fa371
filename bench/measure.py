"""Run whole commands in turn and compare what they took."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a command took, its children included."""

    wall: float
    cpu: float
    peak: float
    """Largest resident size of any one process, in MiB."""


@dataclass(frozen=True, slots=True)
class Series:
    """Every run of one command, in order."""

    name: str
    costs: tuple[Cost, ...]

    def median(self, figure: str) -> float:
        return statistics.median(float(getattr(cost, figure)) for cost in self.costs)


def run(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Cost:
    """Run a command to its end and ask the kernel what it took.

    Raises:
        RuntimeError: It failed.
    """
    with (folder / "bench.log").open("w+b") as log:
        # A small process starts it: a process begins with the peak of the one it was forked from.
        told = subprocess.run(
            [sys.executable, "-S", "-c", _START, *command],
            env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=log, check=True,
        )  # fmt: skip
        status, *cost = json.loads(told.stdout)
        if code := os.waitstatus_to_exitcode(status):
            log.seek(0)
            said = log.read()[-500:].decode()
            raise RuntimeError(f"{command} ended with {code}: {said}")
    return Cost(*cost)


_START = """
import json, os, sys, time
began = time.perf_counter()
to_log = [(os.POSIX_SPAWN_DUP2, 2, 1)]
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=to_log)
_, status, used = os.wait4(child, 0)
wall = time.perf_counter() - began
print(json.dumps([status, wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


def in_turn(
    rounds: int, contenders: Mapping[str, Callable[[], Cost]], after_each: Callable[[], None]
) -> list[Series]:
    """Run every contender once a round, after one round that does not count."""
    costs: dict[str, list[Cost]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, contender in contenders.items():
            cost = contender()
            after_each()
            if number:
                costs[name].append(cost)
    return [Series(name, tuple(each)) for name, each in costs.items()]


def ratio(ours: Series, theirs: Series, figure: str = "wall") -> float:
    """Compare round by round, so that a machine that changes its speed does not matter."""
    pairs = zip(ours.costs, theirs.costs, strict=True)
    return statistics.median(float(getattr(a, figure) / getattr(b, figure)) for a, b in pairs)


def ticks(pid: int) -> int:
    """Return the processor time that a process took so far, in the kernel's ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def peak_mib(pid: int) -> float:
    """Return the most memory that a process has held so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024
