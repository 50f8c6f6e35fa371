"""What commands and the daemon take as snapshots and clusters grow: `python -m bench.growth`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.clusters import serve
from bench.history import BUCKET, fill_folder
from bench.measure import run

SNAPSHOTS = (1_000, 10_000, 100_000)
CLUSTERS = ((10, 60), (100, 60), (500, 60), (5_000, 240))
"""How many, and the seconds between their snapshots."""
_COMMANDS = (("list",), ("prune", "--dry-run"))


def main(folder: Path, snapshots: Sequence[int], clusters: Sequence[tuple[int, int]]) -> None:
    """Draw the tables."""
    print("\n## As snapshots grow\n\nEach with its manifest: twice as many objects.\n")
    print("| snapshots | where | what | wall s | CPU s | peak MiB |\n|---:|---|---|---:|---:|---:|")
    for count in snapshots:
        local = folder / f"local-{count}"
        fill_folder(local, count)
        _commands(folder, count, "folder", {"type": "local", "path": str(local)})
        with _bucket(count) as settings:
            _commands(folder, count, "bucket", settings)
    print("\n## As clusters grow\n\nEach server small and on the same host.\n")
    print("| clusters | every s | peak MiB | CPU ms each | late s | short of snapshots |")
    print("|---:|---:|---:|---:|---:|---:|")
    for count, every in clusters:
        done = serve(folder / f"clusters-{count}", count, every)
        figures = f"{done.peak:.0f} | {done.cpu * 1000:.0f} | {done.late:.0f} | {done.missing}"
        print(f"| {count} | {every} | {figures} |", flush=True)


def _commands(folder: Path, count: int, where: str, storage: dict[str, Any]) -> None:
    configuration = folder / "growth.json"
    settings = {
        "vault": {"address": "http://127.0.0.1:8200"},
        "schedule": {"every": "1h"},
        "retention": {"last": 24, "daily": 7, "weekly": 5, "monthly": 12},
        "storages": [storage],
    }
    configuration.write_text(json.dumps(settings))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "VAULT_TOKEN": "none"}
    for command in _COMMANDS:
        words = (sys.executable, "-m", "raft_snapshot_agent", *command, "-c", str(configuration))
        cost = run(words, environment, folder)
        figures = f"{cost.wall:.1f} | {cost.cpu:.1f} | {cost.peak:.0f}"
        print(f"| {count} | {where} | `{' '.join(command)}` | {figures} |", flush=True)


@contextmanager
def _bucket(count: int) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "bench.history", "0", str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            port = server.stdout.readline().split()[1]
            yield {
                "type": "s3",
                "bucket": BUCKET,
                "endpoint": f"http://127.0.0.1:{port}",
                "allow_http": True,
                "region": "none",
                "access_key_id": "none",
                "secret_access_key": "none",
                "path_style": True,
            }
        finally:
            server.terminate()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="bench-") as name:
        main(Path(name), [int(word) for word in sys.argv[1:]] or SNAPSHOTS, CLUSTERS)
