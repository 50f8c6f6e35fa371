"""What a command does where a storage cannot be listed, or holds a broken copy."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.adversary.history import archive_of
from tests.cluster.command import call

from raft_snapshot_agent.core.snapshots.naming import AGENT

TAKEN = datetime.now(UTC) - timedelta(hours=1)
NAME, WHOLE = AGENT.name(AGENT.run(TAKEN, "0a1b2c"), 4711), archive_of(4711, TAKEN)
LATEST = "--latest"
AT = f"--at={datetime.now(UTC):%Y-%m-%d}T23:59:59Z"
TOLD = "warning: unlisted cannot be listed and may hold a newer snapshot: "


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration with a storage that holds a snapshot, one that is down, and a new one."""
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / NAME).write_bytes(WHOLE)
    places = {"unlisted": "file", "local": "local", "new": "new"}
    document = {
        "vault": {"address": "https://127.0.0.1:1", "auth": {"method": "token", "token": "x" * 9}},
        "spool": str(tmp_path / "spool"),
        "storages": [
            {"type": "local", "name": name, "path": str(tmp_path / path)}
            for name, path in places.items()
        ],
    }
    (tmp_path / "agent.json").write_text(json.dumps(document))
    return tmp_path / "agent.json"


@pytest.mark.parametrize("command", ["verify", "inspect", "fetch"])
def test_a_storage_that_may_hold_a_newer_one_is_told(command: str, file: Path) -> None:
    more = ["-o", str(file.parent / "fetched.snap")] if command == "fetch" else []

    ended = call(command, LATEST, *more, "-c", file)

    assert ended.code == 0, ended.talk
    assert TOLD in ended.talk
    assert "warning: new cannot be listed" in ended.talk


@pytest.mark.parametrize("which", [LATEST, AT])
def test_a_restore_that_asks_nobody_is_refused(which: str, file: Path) -> None:
    ended = call("restore", which, "--yes", "-c", file)

    assert ended.code == 2
    assert TOLD in ended.talk
    *_, last = ended.talk.splitlines()
    assert last.startswith("error: nothing was changed: unlisted may hold a newer snapshot, and")
    assert "(give the name of the snapshot, or --storage to look in one storage only)" in last


@pytest.mark.parametrize("options", [[NAME], [LATEST, "--storage", "local"]])
def test_a_name_or_a_storage_decides(options: list[str], file: Path) -> None:
    ended = call("restore", *options, "--yes", "-c", file)

    assert f"{NAME} is whole." in ended.talk
    assert "may hold a newer snapshot" not in ended.talk


def test_a_folder_that_is_not_there_yet_refuses_nothing(file: Path) -> None:
    document = json.loads(file.read_text())
    document["storages"] = document["storages"][1:]
    file.write_text(json.dumps(document))

    ended = call("restore", LATEST, "--yes", "-c", file)

    assert "warning: new cannot be listed" in ended.talk
    assert f"{NAME} is whole." in ended.talk


def test_a_broken_copy_is_told_and_another_is_read(file: Path) -> None:
    folder = file.parent / "new"
    folder.mkdir()
    (folder / NAME).write_bytes(WHOLE)
    (file.parent / "local" / NAME).write_bytes(WHOLE[:-9])

    ended = call("fetch", NAME, "-o", file.parent / "fetched.snap", "-c", file)

    assert ended.code == 0, ended.talk
    first, fetched, *_ = ended.talk.splitlines()
    assert first.startswith(f"warning: {file.parent}/local/{NAME}: the snapshot is broken: ")
    assert first.endswith(f"(to replace the broken one: copy {NAME} --from new --to local)")
    assert fetched.startswith("Fetched and verified: ")
