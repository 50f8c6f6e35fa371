"""A daemon that reads its storages back: what it finds is in the log, in `check` and in `list`."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from tests.cluster.command import call
from tests.faults.site import Running
from tests.unit.restore.test_copying import archive, manifest, named

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
        daemon.says(f"{named(1)} is rotten: ", WITHIN)
        daemon.says(f"{named(2)} is missing: ", WITHIN)
        told = call("check", "--max-age", "800000h", "--config", configuration)
        assert told.code == 1
        assert f"{named(1)} is rotten when it was read back" in told.text
        assert f"{named(2)} is gone, and not pruned" in told.text
        rows = call("list", "--format", "json", "--config", configuration).document
        assert [row["read_state"] for row in rows] == ["whole", "broken"]
        shown = call("list", "--config", configuration)
        assert f"{named(2)} is gone" in shown.talk
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
