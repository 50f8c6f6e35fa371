"""A daemon in which something fails for hours: told when it begins, once an hour, and at its end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.stores.memory import MemoryStorage
from tests.unit.slots.world import STEPS, WAYS, Fault, World

BEGIN, END, SLOTS = 1.0, 5.0, 7


@pytest.mark.parametrize("way", [way for way in WAYS if way != "hanging"])
@pytest.mark.parametrize("step", STEPS)
def test_a_failure_that_lasts_for_hours_is_told_once_an_hour(
    tmp_path: Path, step: str, way: str
) -> None:
    world = World(tmp_path)
    world.add("good", MemoryStorage())
    world.add("bad", MemoryStorage())
    fault = Fault(step, way, BEGIN, 1_000_000, END)
    world.storages["bad"].faults = [fault]

    world.run(lambda: world.live(lambda: world.slot() >= SLOTS - 0.1))

    lines = world.said.getvalue().splitlines()
    told = [line for line in lines if re.search(r"^\S+ (warning|error) ", line)]
    kinds = {re.sub(r"[\d.]+\S*|raft-snapshot-\S+|\S+=\S+", "", line) for line in told}
    assert len(told) <= (END - BEGIN + 1) * max(1, len(kinds)), "\n".join(told)
    if told and step == "put" and way in {"refused", "unavailable"}:
        assert any(" info " in line and "Resolved: " in line for line in lines)
