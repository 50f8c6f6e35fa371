"""A node lies in twenty ways: nothing of it is stored, and another node is asked where there is one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.adversary.agent import Bench, Outcome, in_fours
from tests.adversary.good import history, lost, whole
from tests.adversary.node_lies import LIES, Node
from tests.adversary.s3 import Store, answer
from tests.adversary.tricks import anything

WITHIN = 120.0
"""Seconds after which a run, with time-outs of seconds, is called endless."""


@pytest.fixture
def elsewhere() -> Iterator[Store]:
    """Somebody else's server, which takes all that comes."""
    with Store() as one:
        one.rules = [(anything, lambda exchange: answer(exchange, 200, b"{}"))]
        yield one


class Trial:
    """An agent for clusters of two nodes each, of which the first lies in its way."""

    def __init__(self, bench: Bench, cluster_id: str, elsewhere: Store, lies: list[str]) -> None:
        self._bench, self._elsewhere = bench, elsewhere
        self._good = history(cluster_id)
        self._open = ExitStack()
        real = bench.vault.pop("address")
        self._nodes = {name: self._opened(name, real) for name in lies}
        self._folders = {name: bench.root / f"{n}" for n, name in enumerate(lies)}
        clusters = {}
        for number, (name, node) in enumerate(self._nodes.items()):
            folder = self._folders[name]
            folder.mkdir()
            for path, content in self._good.items():
                (folder / path).write_bytes(content)
            node.rules = [*LIES[name].rules(node, elsewhere.address)]
            nodes = [node.address, self._opened("", real).address]
            storages = [{"type": "local", "name": f"of-{number}", "path": str(folder)}]
            clusters[f"c{number}"] = {"vault": {"nodes": nodes}, "storages": storages}
        bench.more = {"run_on": "anywhere", "concurrency": 8, "clusters": clusters}

    def _opened(self, name: str, upstream: str) -> Node:
        return self._open.enter_context(Node(name, upstream))

    def close(self) -> None:
        self._open.close()

    def holds(self) -> None:
        """Run once while they lie, and once more when they do not."""
        outcome = self._bench.run(within=WITHIN)
        wrong = [
            said for n, name in enumerate(self._nodes) for said in self._wrong(n, name, outcome)
        ]
        assert wrong == [], outcome.said
        for node in self._nodes.values():
            node.rules = []
        self._bench.vault |= {"timeout": "30s", "stall_timeout": "30s"}  # no lie is waited for
        healed = self._bench.run(within=WITHIN)
        assert healed.code in {0, 6}, healed.said
        for name, folder in self._folders.items():
            assert self._new(folder), f"{name}: {healed.said}"

    def _wrong(self, number: int, name: str, outcome: Outcome) -> Iterator[str]:
        lie, folder = LIES[name], self._folders[name]
        lines = [
            line for line in outcome.said.splitlines() if re.search(rf"cluster=c{number}\b", line)
        ]
        told = [line for line in lines if "Z error " in line or "Z warning " in line]
        if bool(self._new(folder)) != lie.served:
            yield f"{name}: {'not ' * lie.served}stored: {told}"
        # That a token is left behind, too, is told besides.
        failures = [line for line in told if "event=token_trouble" not in line]
        if not lie.served and len(failures) != 1:
            yield f"{name}: told in {len(failures)} lines"
        if lie.words and not re.search(lie.words, "\n".join(told)):
            yield f"{name}: {lie.words!r} is not in {told}"
        if gone := lost(self._good, _files(folder)):
            yield f"{name}: {len(gone)} good snapshots are gone"
        sent = "\n".join(f"{one.target}\n{one.headers}" for one in self._elsewhere.requests)
        if "X-Vault-Token" in sent:
            yield f"{name}: a token went elsewhere"

    def _new(self, folder: Path) -> set[str]:
        return whole(_files(folder)) - set(self._good)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_nodes_that_lie_together_cost_no_good_snapshot(
    bench: Bench, elsewhere: Store, cluster_id: str
) -> None:
    names = [name for name, lie in LIES.items() if lie.gregarious]
    trial = Trial(bench, cluster_id, elsewhere, names)
    try:
        trial.holds()
    finally:
        trial.close()


@pytest.mark.soak
@pytest.mark.parametrize("names", in_fours(LIES), ids=", ".join)
def test_few_lies_cost_no_good_snapshot(
    names: list[str], bench: Bench, elsewhere: Store, cluster_id: str
) -> None:
    trial = Trial(bench, cluster_id, elsewhere, names)
    try:
        trial.holds()
    finally:
        trial.close()
