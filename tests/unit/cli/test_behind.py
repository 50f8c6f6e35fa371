"""Commands that judge how fresh snapshots are know which clusters are behind by intent."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from raft_snapshot_agent.cli.check import check
from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.cli.status_source import ask_storages
from raft_snapshot_agent.config.load import load_all
from raft_snapshot_agent.config.loaded import LoadedFleet
from raft_snapshot_agent.core.snapshots.naming import AGENT

AGE = timedelta(minutes=5)
EXPECTED = {"a": "CRITICAL", "b": "WARNING", "c": "WARNING"}
"""The others were never verified, which is all."""


@pytest.fixture
def fleet(tmp_path: Path) -> LoadedFleet:
    """Three clusters with a snapshot each, due every minute, and ten minutes behind each other.

    The second one's storage has a schedule of its own.
    """
    own = [{"type": "local", "path": str(tmp_path / "stored/b"), "schedule": {"cron": "* * * * *"}}]
    usual = {
        name: {"vault": {"address": f"http://127.0.0.1:820{at}"}} for at, name in enumerate("abc")
    }
    file = {
        "schedule": {"cron": "* * * * *"},
        "spread": "10m",
        "storages": [{"type": "local", "path": str(tmp_path / "stored")}],
        "clusters": {**usual, "b": {**usual["b"], "schedule": {"every": "1d"}, "storages": own}},
    }
    (tmp_path / "agent.json").write_text(json.dumps(file))
    name = AGENT.name(AGENT.run(datetime.now(UTC) - AGE, "0a1b2c"), 1)
    for cluster in usual:
        (tmp_path / "stored" / cluster).mkdir(parents=True)
        (tmp_path / "stored" / cluster / name).write_bytes(b"archive")
    return load_all(tmp_path / "agent.json", {})


def test_check_calls_nobody_late_who_waits_for_a_turn(
    fleet: LoadedFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    check(lambda: fleet, (), None, Format.JSON)

    told = json.loads(capsys.readouterr().out)["storages"]
    assert {one["cluster"]: one["status"] for one in told} == EXPECTED


def test_status_calls_nobody_late_who_waits_for_a_turn(fleet: LoadedFleet) -> None:
    told = ask_storages(lambda: fleet)

    assert {one["cluster"]: one["status"] for one in told["clusters"]} == EXPECTED
