"""Agents on a store that lies find it out before any slot is served."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from raft_snapshot_agent.core.leases.lease import Versioned
from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.errors import StorageUnavailable, UnreliableStore
from raft_snapshot_agent.lease.candidacy import Candidacy, granted
from raft_snapshot_agent.lease.holder import Lease
from raft_snapshot_agent.lease.proof import prove

pytestmark = pytest.mark.anyio

AGENTS = 3
DURATION = timedelta(seconds=2)
SLOTS = 3


@dataclass
class Store:
    """Records by name, written as its lie has it."""

    lie: str = ""
    records: dict[str, list[Versioned]] = field(default_factory=dict)
    writes: int = 0

    def shown(self, name: str) -> Versioned | None:
        written = self.records.get(name)
        if not written:
            return None
        if self.lie == "shows the old" and len(written) > 1:
            return written[-2]
        return written[-1]

    def swap(self, name: str, record: Record, expected: str | None) -> str | None:
        written = self.records.setdefault(name, [])
        present = written[-1].version if written else None
        if expected != present and not self._ignores(expected):
            return None
        if self.lie == "refuses everything":
            return None
        self.writes += 1
        version = "1" if self.lie == "one version for all" else str(self.writes)
        written.append(Versioned(record, version))
        return version

    def _ignores(self, expected: str | None) -> bool:
        match self.lie:
            case "ignores conditions":
                return True
            case "ignores that there is one":
                return expected is None
            case "ignores versions":
                return expected is not None
            case _:
                return False


@dataclass
class Shelf:
    """One record of a store's."""

    store: Store
    name: str = "lease"
    location: str = "the shelf"

    async def read(self) -> Versioned | None:
        await anyio.lowlevel.checkpoint()
        return self.store.shown(self.name)

    async def write(self, record: Record, expected: str | None) -> str | None:
        await anyio.lowlevel.checkpoint()
        return self.store.swap(self.name, record, expected)

    async def close(self) -> None: ...

    def probe(self, name: str) -> Shelf:
        return replace(self, name=f"probe-{name}")

    async def delete(self) -> None:
        self.store.records.pop(self.name, None)

    async def sweep(self) -> None: ...


LIES = [
    "ignores conditions",
    "ignores that there is one",
    "ignores versions",
    "one version for all",
    "shows the old",
    "refuses everything",
]


async def serve(store: Store, *, proven: bool) -> tuple[Counter[int], list[Lease]]:
    """Let agents begin at once on one store; count by slot how many served it."""
    shelf = Shelf(store)
    served: Counter[int] = Counter()
    check = partial(prove, shelf, "shelf") if proven else granted
    leases = [
        Lease(shelf, f"agent-{number}", DURATION, candidacy=Candidacy(prove=check))
        for number in range(AGENTS)
    ]
    for slot in range(SLOTS):
        async with anyio.create_task_group() as tasks:
            for lease in leases:
                tasks.start_soon(lease.look)
        served[slot] += sum(lease.held_lease is not None for lease in leases)
    return served, leases


@pytest.mark.parametrize("lie", LIES)
async def test_no_slot_is_served_where_the_store_lies(lie: str) -> None:
    store = Store(lie)
    served, leases = await serve(store, proven=True)
    assert set(served.values()) == {0}
    assert {type(lease.not_held()) for lease in leases} == {UnreliableStore}
    assert store.records.keys() <= {"lease"}


async def test_on_one_that_keeps_its_word_each_slot_is_served_once() -> None:
    store = Store()
    served, _ = await serve(store, proven=True)
    assert set(served.values()) == {1}
    assert store.records.keys() == {"lease"}


async def test_without_the_proof_slots_would_be_served_twice() -> None:
    served, _ = await serve(Store("ignores conditions"), proven=False)
    assert max(served.values()) == AGENTS


async def test_a_proof_that_is_stopped_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    swap = Store.swap

    def fail(store: Store, name: str, record: Record, expected: str | None) -> str | None:
        if store.writes == 3:
            raise StorageUnavailable("gone")
        return swap(store, name, record, expected)

    monkeypatch.setattr(Store, "swap", fail)
    with pytest.raises(StorageUnavailable):
        await prove(Shelf(store), "shelf")
    assert store.records == {}
