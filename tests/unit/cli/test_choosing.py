"""Which snapshot is read, and what is told where a storage fails or a copy is broken."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.adversary.history import archive_of
from tests.cluster.command import call

from raft_snapshot_agent.cli.choosing import parse_wanted
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.core.snapshots.naming import AGENT
from raft_snapshot_agent.errors import NoConfiguration
from raft_snapshot_agent.restore.choice import InFile, Named, Newest, Wanted

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


# A name, or a file.

ALIKE = "raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap"


def load_nothing() -> Loaded:
    raise NoConfiguration("no configuration")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a broken file that has the name of a stored snapshot."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / NAME).write_bytes(WHOLE[:-9])
    (folder / ALIKE).touch()
    (folder / "vault.snap").write_bytes(WHOLE)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("text", "stored", "wanted"),
    [
        ("-", False, InFile(None)),
        ("vault.snap", False, InFile(Path("vault.snap"))),
        ("./vault.snap", True, InFile(Path("vault.snap"))),
        ("missing/x", False, InFile(Path("missing/x"))),
        (ALIKE, False, InFile(Path(ALIKE))),
        (ALIKE, True, Named(ALIKE)),
        ("missing", False, Named("missing")),
        ("x" * 300, False, Named("x" * 300)),
        (None, False, Newest()),
    ],
)
@pytest.mark.usefixtures("here")
def test_an_argument_means_one_thing(text: str | None, stored: bool, wanted: Wanted) -> None:
    assert parse_wanted(text, load_nothing, stored=stored) == wanted


@pytest.mark.usefixtures("here")
def test_a_file_with_the_name_of_a_stored_snapshot_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parse_wanted("vault.snap", load_nothing)
    assert not capsys.readouterr().err

    parse_wanted(ALIKE, load_nothing)
    told = f"warning: {ALIKE} is read from the file in this folder; --storage reads the stored"
    assert capsys.readouterr().err.startswith(told)


@pytest.mark.parametrize("name", ["vault-20261123-1530.bak", "latest.snap", "other.snap"])
@pytest.mark.parametrize("command", ["verify {}", "inspect {}"])
def test_a_file_with_a_name_that_is_configured_is_told(
    command: str, name: str, file: Path, here: Path
) -> None:
    document = json.loads(file.read_text())
    document["name_layout"] = {"prefix": "vault-", "timestamp": "20060102-1504", "suffix": ".bak"}
    document["storages"][2]["static_name"] = "latest.snap"
    file.write_text(json.dumps(document))
    (here / name).write_bytes(WHOLE)

    ended = call(*command.replace("{}", name).split(), "-c", file, cwd=here)

    assert ended.code == 0, ended.talk
    told = f"warning: {name} is read from the file in this folder; --storage reads the stored"
    assert (told in ended.talk) == (name != "other.snap")


def test_a_file_that_cannot_be_looked_at_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", refuse)

    assert parse_wanted("vault.snap", load_nothing) == Named("vault.snap")


@pytest.mark.parametrize(
    "words", ["verify", "inspect", "restore --yes", "drill", "browse", "diff NAME"]
)
def test_with_a_storage_a_name_is_never_a_file(words: str, file: Path, here: Path) -> None:
    command, *more = words.replace("NAME", NAME).split()

    ended = call(command, NAME, *more, "--storage", "local", "-c", file, cwd=here)

    assert "cut off" not in ended.talk + ended.data.decode(), "that is the file"


@pytest.mark.parametrize(
    "words", ["verify", "inspect", "fetch", "restore --yes", "drill", "diff -"]
)
def test_a_storage_does_nothing_for_a_file(words: str, file: Path, here: Path) -> None:
    command, *more = words.split()

    ended = call(command, "./vault.snap", *more, "--storage", "local", "-c", file, cwd=here)

    assert ended.code == 1
    assert "error: --storage local does nothing for a file (give the name of" in ended.talk


def test_a_broken_file_is_replaced_by_the_stored_one(file: Path, here: Path) -> None:
    ended = call("fetch", NAME, "--force", "-c", file, cwd=here)

    assert ended.code == 0, ended.talk
    assert (here / NAME).read_bytes() == WHOLE


@pytest.mark.parametrize("command", ["verify", "inspect", "fetch"])
def test_without_a_configuration_a_name_is_looked_for_here(command: str, tmp_path: Path) -> None:
    ended = call(command, "typo.snap", cwd=tmp_path)

    assert ended.code == 1
    assert "there is no file typo.snap here, and no configuration: $" in ended.talk


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_read(file: Path) -> None:
    ended = call("fetch", NAME, "-o", "/proc", "-c", file)

    assert ended.code == 1
    assert "cannot write into /proc: " in ended.talk
    assert "*" not in ended.talk
