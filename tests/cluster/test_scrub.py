"""A daemon that reads its storages back: what it finds is in the log, in `check` and in `list`."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.command import call
from tests.faults.site import Running
from tests.unit.restore.test_copying import archive, manifest, named

from raft_snapshot_agent.core.snapshots.drill_note import DrillNote
from raft_snapshot_agent.core.snapshots.notes import SCRUB_NAME
from raft_snapshot_agent.core.snapshots.scrub_note import LastReading, ScrubNote
from raft_snapshot_agent.servers.process import until

WITHIN = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three snapshots, of which one is rotten and one is gone."""
    folder = tmp_path / "snapshots"
    folder.mkdir()
    for hours in range(3):
        name = named(hours)
        (folder / name).write_bytes(archive(hours))
        (folder / f"{name}.json").write_bytes(manifest(name, archive(hours)).to_json())
    (folder / named(1)).write_bytes(archive(1)[:-9])
    (folder / named(2)).unlink()
    return folder


@pytest.fixture
def configuration(tmp_path: Path, folder: Path) -> Path:
    document = {
        "vault": {"address": "http://127.0.0.1:1", "auth": {"method": "token", "token": "t"}},
        "spool": str(tmp_path),
        "schedule": {"every": "24h", "catch_up": False},
        "scrub": {"every": "1s", "read": 3},
        "storages": [{"type": "local", "path": str(folder)}],
    }
    path = tmp_path / "agent.json"
    path.write_text(json.dumps(document))
    return path


def test_what_is_rotten_or_gone_is_an_alarm_until_it_is_not(
    configuration: Path, folder: Path, tmp_path: Path
) -> None:
    command = ["raft-snapshot-agent", "run", "-c", str(configuration)]
    with Running(tmp_path, command) as daemon:
        daemon.says(f"{named(1)} is corrupted: ", WITHIN)
        daemon.says(f"{named(2)} is missing: ", WITHIN)
        told = call("check", "--max-age", "800000h", "--config", configuration)
        assert told.code == 1
        assert f"{named(1)} is corrupted when it was read back" in told.text
        assert f"{named(2)} is missing, but not deleted by retention" in told.text
        rows = call("list", "--format", "json", "--config", configuration).document
        assert [row["read_state"] for row in rows] == ["whole", "broken"]
        shown = call("list", "--config", configuration)
        assert f"{named(2)} is missing, but its manifest is there" in shown.talk
        assert "READ" in shown.text

        (folder / f"{named(2)}.json").unlink()
        (folder / named(1)).write_bytes(archive(1))
        daemon.says("Resolved: ", WITHIN)
        daemon.says("Read back and whole: 2 snapshots", WITHIN)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.ended(WITHIN).code == 0

    assert call("check", "--max-age", "800000h", "--config", configuration).code == 0
    assert len([*folder.glob("*.snap")]) == 2, "nothing was deleted"


def test_a_storage_that_may_only_be_written_is_left_out_and_that_is_said(
    configuration: Path,
) -> None:
    document = json.loads(configuration.read_text())
    document["storages"][0]["prune"] = False
    configuration.write_text(json.dumps(document))

    checked = call("config", "check", "--config", configuration)

    assert checked.code == 0
    (line,) = [one for one in checked.talk.splitlines() if "nothing is read back here" in one]
    assert line.startswith("warning: ")


def test_a_restart_knows_the_last_drill_and_the_last_reading(
    configuration: Path, folder: Path, tmp_path: Path
) -> None:
    (folder / named(1)).write_bytes(archive(1))
    for hours in range(2):
        drill = DrillNote(
            named(hours), hours == 1, f"2026-11-2{3 + hours}T10:00:00Z", 9.5, proved="active"
        )
        (folder / f"{named(hours)}.drill").write_bytes(drill.to_json())
    read_at = datetime(2026, 11, 24, 11, tzinfo=UTC)
    noted = ScrubNote({named(0): LastReading(read_at)}, looked_at=read_at)
    (folder / SCRUB_NAME).write_bytes(noted.to_json(None))
    document = json.loads(configuration.read_text())
    del document["scrub"]
    configuration.write_text(json.dumps(document))

    without_daemon = shown(configuration)
    with Running(tmp_path, ["raft-snapshot-agent", "run", "-c", str(configuration)]) as daemon:
        until(lambda: shown(configuration)["role"] != "unknown", "it runs", within=WITHIN)
        until(lambda: shown(configuration)["drill"], "it has listed them", within=WITHIN)
        told = shown(configuration)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.ended(WITHIN).code == 0

    assert told["drill"] == {
        "snapshot": named(1),
        "passed": True,
        "at": "2026-11-24T10:00:00Z",
        "seconds": 9.5,
        "reason": None,
        "server": None,
        "proved": "active",
    }
    assert told["storages"][0]["scrub"] == {
        "at": "2026-11-24T11:00:00Z",
        "rotten": 0,
        "vanished": 0,
    }
    assert without_daemon["drill"] == told["drill"]
    said = call("status", "--config", configuration).text
    assert f" of {named(1)}, passed in 9.5 s" in said


def shown(configuration: Path) -> dict[str, Any]:
    document = json.loads(call("status", "--format", "json", "--config", configuration).text)
    found: dict[str, Any] = document["clusters"][0]
    return found
