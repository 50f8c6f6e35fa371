"""Measure `inspect` and `diff` in turn with `gunzip -t` of the same files.

`python -m bench.contents 256` takes snapshots of another size, in MiB; by default it is 1 GiB. Of
each kind there are two, of which the second has another value in each hundredth key.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.large_archives import Shape, write_archive

from bench.measure import Cost, Series, in_turn, ratio, run

ROUNDS = 3
KINDS = {"values of 900 kB": 900_000, "values of 1 KiB": 1 << 10}
_HEAD = "| what | wall s | CPU s | peak MiB | of `gunzip -t` |\n|---|---:|---:|---:|---:|"


def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    print(f"{size} MiB, medians of {ROUNDS} rounds in turn, after one that does not count")
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="bench-") as name:
        for title, value in KINDS.items():
            _measure(Path(name), title, size << 20, value)


def _measure(folder: Path, title: str, size: int, value: int) -> None:
    write_archive(folder / "a.snap", Shape(size, value))
    write_archive(folder / "b.snap", Shape(size, value, changed=1))
    names = {"a": str(folder / "a.snap"), "b": str(folder / "b.snap")}

    def do(*words: str) -> Cost:
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        return run([names.get(word, word) for word in words], environment, folder)

    agent = (sys.executable, "-m", "raft_snapshot_agent")
    unzip, inspect, unzip_both, diff = in_turn(
        ROUNDS,
        {
            "gunzip -t A": lambda: do("sh", "-c", 'gunzip -t < "$0"', "a"),
            "inspect A": lambda: do(*agent, "inspect", "a"),
            "gunzip -t A B": lambda: do("sh", "-c", 'gunzip -t < "$0"; gunzip -t < "$1"', "a", "b"),
            "diff A B": lambda: do(*agent, "diff", "a", "b"),
        },
        lambda: None,
    )
    print(f"\n## {title}\n\n{_HEAD}")
    for one, other in (
        (unzip, unzip),
        (inspect, unzip),
        (unzip_both, unzip_both),
        (diff, unzip_both),
    ):
        _row(one, ratio(one, other))
    sys.stdout.flush()


def _row(one: Series, slower: float) -> None:
    wall, cpu, peak = (one.median(figure) for figure in ("wall", "cpu", "peak"))
    print(f"| `{one.name}` | {wall:.2f} | {cpu:.2f} | {peak:.0f} | {slower:.2f} |")


if __name__ == "__main__":
    main()
