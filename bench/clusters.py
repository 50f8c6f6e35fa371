"""Many clusters in one agent: what it takes, and how regularly each is served.

`python -m bench.clusters serve COUNT` is the clusters: small servers that answer like leaders.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.crowd import Crowd
from tests.unit.core.archives import archive

from bench.measure import peak_mib, ticks
from raft_snapshot_agent.core.snapshots.naming import parse

_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Served:
    """What an agent of many clusters took."""

    peak: float
    """MiB."""
    cpu: float
    """Seconds for each snapshot, starting included."""
    late: float
    """The most by which two snapshots of a cluster were further apart than they should be."""
    missing: int
    """Clusters that have fewer snapshots than rounds."""


def serve(folder: Path, count: int, every: int) -> Served:
    """Let one agent work for so many clusters, a few rounds."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "bench.clusters", "serve", str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as crowd:
        assert crowd.stdout is not None
        try:
            addresses = json.loads(crowd.stdout.readline())
            return _watched(folder, addresses, every)
        finally:
            crowd.terminate()


def _watched(folder: Path, addresses: list[str], every: int) -> Served:
    configuration = folder / "agent.json"
    configuration.write_text(json.dumps(_settings(folder, addresses, every)))
    (folder / "spool").mkdir()
    command = [sys.executable, "-m", "raft_snapshot_agent", "run", "-c", str(configuration)]
    with (folder / "log").open("w") as log:
        agent = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        before = time.monotonic()
        seconds = every * (_ROUNDS - 1) + len(addresses) * 0.025 + every / 2
        while time.monotonic() < before + seconds:
            time.sleep(0.5)
            if agent.poll() is not None:
                raise RuntimeError((folder / "log").read_text()[-500:])
        peak, used = peak_mib(agent.pid), ticks(agent.pid) / os.sysconf("SC_CLK_TCK")
        agent.send_signal(signal.SIGTERM)
        agent.wait()
    taken = [_taken(folder / "stored" / f"c{number}") for number in range(len(addresses))]
    gaps = [b - a for times in taken for a, b in pairwise(times)]
    return Served(
        peak,
        used / max(1, sum(map(len, taken))),
        max(gaps, default=0) - every,
        sum(1 for times in taken if len(times) < _ROUNDS),
    )


def _settings(folder: Path, addresses: list[str], every: int) -> dict[str, object]:
    auth = {"method": "token", "token": "s.000000000000000000000000"}
    return {
        "spool": str(folder / "spool"),
        "run_on": "anywhere",
        "schedule": {"every": f"{every}s"},
        "storages": [{"type": "local", "path": str(folder / "stored")}],
        "clusters": {
            f"c{number}": {"vault": {"address": address, "auth": auth}}
            for number, address in enumerate(addresses)
        },
    }


def _taken(folder: Path) -> list[float]:
    names = (path.name for path in folder.glob("*.snap"))
    return sorted(one.taken_at.timestamp() for name in names if (one := parse(name)))


def main() -> None:
    """Be the clusters, or measure: `COUNT EVERY FOLDER`."""
    if sys.argv[1] == "serve":
        with Crowd(archive(), ["well"] * int(sys.argv[2])) as crowd:
            print(json.dumps(crowd.addresses), flush=True)
            signal.sigwait({signal.SIGTERM, signal.SIGINT})
        return
    print(serve(Path(sys.argv[3]), int(sys.argv[1]), int(sys.argv[2])))


if __name__ == "__main__":
    main()
