"""What `list` says of snapshots, in the storages of a configuration."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.cli.stored import list_stored
from raft_snapshot_agent.config.load import load
from raft_snapshot_agent.core.snapshots.snapshot import Condemnation, Sidecar

NAME = "raft-snapshot-20261123T153000Z-i7-0a1b2c.snap"


@pytest.mark.parametrize(
    ("since", "state"),
    [
        (datetime(2026, 11, 24, tzinfo=UTC), "broken since 2026-11-24"),
        (datetime.max.replace(tzinfo=UTC), "broken"),  # which also stands for an unreadable note
        (None, "broken"),
    ],
)
def test_a_day_that_is_not_known_is_not_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], since: datetime | None, state: str
) -> None:
    (tmp_path / NAME).write_bytes(b"snapshot")
    note = Condemnation("a byte", since)
    (tmp_path / Sidecar.BROKEN.name_for(NAME)).write_bytes(note.to_json())
    config = tmp_path / "c.yaml"
    config.write_text(f"storages: [{{type: local, path: {tmp_path}}}]")

    assert list_stored(load(config, {}), None, Format.JSON) == 0

    (told,) = json.loads(capsys.readouterr().out)
    assert told["state"] == state
