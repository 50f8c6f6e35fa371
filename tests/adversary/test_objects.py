"""Whatever lies in one storage, no good snapshot goes, and the other storages have their own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.adversary.agent import Bench, Outcome
from tests.adversary.good import history, lost, whole
from tests.adversary.plants import CHANGES, PLANTS, WANT_A_KEY, Scene

KEY = "a-key-of-the-agents-alone-0123456789"
RUNS = 2
COMMANDS = (("list",), ("prune", "--dry-run"), ("check",))
"""What an operator, a monitoring system and a cron job do."""
ALL_COMMANDS = (*COMMANDS, ("verify", "--all"), ("list", "--format", "json"), ("prune",))


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 20
    }


def added(name: str) -> Callable[[Scene, Path], None]:
    def add(scene: Scene, folder: Path) -> None:
        for path, content in PLANTS[name](scene).items():
            (folder / path).write_bytes(content)

    return add


ATTACKS = {name: added(name) for name in PLANTS} | CHANGES


class Trial:
    """An agent with an honest storage, and others in which strangers lay what they like."""

    def __init__(self, bench: Bench, cluster_id: str, attacks: list[str]) -> None:
        self.bench = bench
        self.scene = Scene(history(cluster_id), cluster_id)
        self.folders = {name: bench.root / f"{number}" for number, name in enumerate(attacks)}
        for folder in self.folders.values():
            folder.mkdir()
        for folder in (bench.honest, *self.folders.values()):
            for name, content in self.scene.good.items():
                (folder / name).write_bytes(content)
        bench.retention = {"last": 2, "daily": 10}
        bench.storages = [
            {"type": "local", "name": name, "path": str(folder)}
            for name, folder in self.folders.items()
        ]

    def holds(self, commands: Sequence[Sequence[str]] = COMMANDS) -> None:
        """Strike, let the agent run for a while and let people look: nothing good goes."""
        first = self.bench.run(within=60)  # it knows what was there before
        assert first.code == 0, first.said
        for name, folder in self.folders.items():
            ATTACKS[name](self.scene, folder)
        for _ in range(RUNS):
            outcome = self.bench.run(within=60)
            assert outcome.code in {0, 6}, outcome.said
            assert [*self._wrong(outcome)] == [], outcome.said
        for words in commands:
            self.bench.run(*words, within=60)
        assert [*self._lost()] == []

    def _wrong(self, outcome: Outcome) -> Iterator[str]:
        for name in ("honest", *self.folders):
            if f"Successfully created {name} snapshot to" not in outcome.said:
                yield f"{name} has no new snapshot"
        if any(re.search(r" (in|for)? ?honest: ", line) for line in outcome.complaints):
            yield "the honest storage is complained of"
        yield from self._lost()
        if not whole(files(self.bench.honest)) - set(self.scene.names):
            yield "the honest storage holds no new snapshot"

    def _lost(self) -> Iterator[str]:
        for name, folder in {"honest": self.bench.honest, **self.folders}.items():
            if gone := lost(self.scene.good, files(folder)):
                yield f"{name}: {len(gone)} good snapshots are gone, such as {min(gone)}"


@pytest.mark.parametrize("key", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_what_strangers_lay_costs_no_good_snapshot(
    bench: Bench, cluster_id: str, *, key: bool
) -> None:
    if key:
        bench.more["signing"] = {"key": KEY}
    attacks = [name for name in ATTACKS if key or name not in WANT_A_KEY]
    Trial(bench, cluster_id, attacks).holds()


@pytest.mark.soak
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_costs_no_good_snapshot(name: str, bench: Bench, cluster_id: str) -> None:
    if name in WANT_A_KEY:
        bench.more["signing"] = {"key": KEY}
    Trial(bench, cluster_id, [name]).holds(ALL_COMMANDS)
