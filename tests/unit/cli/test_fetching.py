"""What lies at the target of a `fetch` that fails."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tests.adversary.history import archive_of, manifest_for
from tests.cluster.command import call

from raft_snapshot_agent.core.snapshots.naming import AGENT, manifest_name
from raft_snapshot_agent.flock import locked
from raft_snapshot_agent.storage.local.atomic_write import partial_path

TAKEN = datetime(2026, 11, 23, tzinfo=UTC)
NAME = AGENT.name(AGENT.run(TAKEN, "0a1b2c"), 4711)


def test_a_file_that_is_not_replaced_keeps_its_manifest(tmp_path: Path) -> None:
    new, old = archive_of(4711, TAKEN), archive_of(4710, TAKEN) + bytes(512)
    (tmp_path / "stored").mkdir()
    (tmp_path / "stored" / NAME).write_bytes(new)
    target = tmp_path / "vault.snap"
    beside = tmp_path / manifest_name(target.name)
    target.write_bytes(old)
    beside.write_text(told := manifest_for(NAME, old).to_json().decode())
    fetch = ("fetch", tmp_path / "stored" / NAME, "-o", target, "--force")

    with locked(partial_path(target), 0):
        refused = call(*fetch)
    assert (refused.code, "is being written by another process" in refused.talk) == (2, True)
    assert (target.read_bytes(), beside.read_text()) == (old, told)

    assert call(*fetch).code == 0
    assert (target.read_bytes(), beside.exists()) == (new, False)
