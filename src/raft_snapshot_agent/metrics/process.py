"""Metrics of the process itself, under the names that every Prometheus client uses.

Linux only, from `/proc/self`; where that cannot be read there are no samples.
"""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

from raft_snapshot_agent.metrics.metric import JudgedStatus, Kind, Metric, Sample

_PROC = Path("/proc/self")
# Fields of `stat` behind the name of the program, which may hold anything. Source: proc(5).
_UTIME, _STIME, _START, _VSIZE, _RSS = 11, 12, 19, 20, 21


def _fields() -> list[int]:
    text = (_PROC / "stat").read_text()
    _, *numbers = text.rpartition(")")[2].split()
    return [0, *map(int, numbers)]


def _ticks() -> int:
    return os.sysconf("SC_CLK_TCK")


def _cpu() -> float:
    fields = _fields()
    return (fields[_UTIME] + fields[_STIME]) / _ticks()


def _started() -> float:
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1]) + _fields()[_START] / _ticks()
    raise ValueError("the kernel does not tell when it was booted")


def _resident() -> float:
    return _fields()[_RSS] * resource.getpagesize()


def _most_descriptors() -> float:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return math.inf if most == resource.RLIM_INFINITY else most


def _descriptors() -> float:
    return len(os.listdir(_PROC / "fd"))  # noqa: PTH208 - only their number is asked for


def _of_process(name: str, kind: Kind, text: str, read: Callable[[], float]) -> Metric:
    def samples(_: JudgedStatus) -> Iterator[Sample]:
        try:
            found = float(read())
        except (OSError, ValueError, IndexError):
            return
        yield (), found

    return Metric(f"process_{name}", kind, text, (), samples)


PROCESS: tuple[Metric, ...] = (
    _of_process(
        "cpu_seconds_total", Kind.COUNTER, "Processor time that the agent has taken.", _cpu
    ),
    _of_process("start_time_seconds", Kind.GAUGE, "When the agent started.", _started),
    _of_process(
        "resident_memory_bytes", Kind.GAUGE, "Memory of the agent that is resident.", _resident
    ),
    _of_process(
        "virtual_memory_bytes",
        Kind.GAUGE,
        "Address space of the agent.",
        lambda: _fields()[_VSIZE],
    ),
    _of_process("open_fds", Kind.GAUGE, "Files and connections that are open.", _descriptors),
    _of_process(
        "max_fds",
        Kind.GAUGE,
        "How many files and connections may be open.",
        _most_descriptors,
    ),
)
