"""`copy`, as an operator types it: from a disk into a bucket, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.command import Ending, call
from tests.unit.restore.test_copying import archive, manifest, named

from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

COUNT = 5


@pytest.fixture
def configuration(tmp_path: Path, seaweed: SeaweedFS, bucket: str) -> Path:
    """A disk with snapshots, an empty bucket, and one storage that every run replaces."""
    bucket_settings: dict[str, Any] = {
        "type": "s3",
        "bucket": bucket,
        "prefix": "prod/",
        "endpoint": seaweed.endpoint,
        "region": seaweed.region,
        "access_key_id": seaweed.access_key_id,
        "secret_access_key": seaweed.secret_access_key,
    }
    disk = tmp_path / "disk"
    disk.mkdir()
    for hours in range(COUNT):
        name = named(hours)
        (disk / name).write_bytes(archive(hours))
        (disk / f"{name}.json").write_bytes(manifest(name, archive(hours)).to_json())
    (disk / f"{named(3)}.hold").write_text("before the upgrade\n")
    (tmp_path / "spool").mkdir()
    one = {"type": "local", "name": "one", "path": str(disk), "static_name": "latest.snap"}
    document = {
        "spool": str(tmp_path / "spool"),
        "storages": [{"type": "local", "path": str(disk)}, bucket_settings, one],
    }
    path = tmp_path / "agent.json"
    path.write_text(json.dumps(document))
    return path


def copy(configuration: Path, *arguments: str) -> Ending:
    return call("copy", *arguments, "--config", configuration)


def test_it_fills_a_bucket_goes_on_where_it_stopped_and_comes_back(
    configuration: Path, tmp_path: Path
) -> None:
    planned = copy(configuration, "--all", "--from", "local", "--to", "s3", "--dry-run")
    assert (planned.code, planned.talk) == (0, f"s3: {COUNT} would be copied\n")
    assert copy(configuration, "--from", "local", "--to", "s3").code == 0
    first = call("list", "--storage", "s3", "--format", "json", "--config", configuration)
    assert [one["name"] for one in first.document] == [named(0)]

    done = copy(configuration, "--all", "--from", "local", "--to", "s3", "--format", "json")

    assert done.code == 0, done.talk
    assert [one["state"] for one in done.document] == ["there already", *["copied"] * (COUNT - 1)]
    assert f"s3: {COUNT - 1} copied, 1 there already" in done.talk
    assert "Retention of s3 is not applied by copy" in done.talk
    stored = call("list", "--storage", "s3", "--format", "json", "--config", configuration)
    assert [one["state"] for one in stored.document].count("verified, held") == 1
    disk = tmp_path / "disk"
    before = {path.name: path.read_bytes() for path in disk.iterdir()}
    for path in disk.iterdir():
        path.unlink()
    assert copy(configuration, "--all", "--from", "s3", "--to", "local").code == 0
    assert {path.name: path.read_bytes() for path in disk.iterdir()} == before
    assert [*(tmp_path / "spool").iterdir()] == []


def test_what_is_broken_is_told_in_one_line_and_the_others_arrive(
    configuration: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk" / named(1)).write_bytes(archive(1)[:-5])

    done = copy(configuration, "--all", "--from", "local", "--to", "s3", "--format", "json")

    assert done.code == 4
    assert [one["state"] for one in done.document].count("copied") == COUNT - 1
    assert len([line for line in done.talk.splitlines() if line.startswith("error: ")]) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--from", "local", "--to", "local"), 1, "--from and --to are both local"),
        (("--from", "local", "--to", "gcs"), 1, "no storage is called 'gcs'"),
        (("--from", "local", "--to", "one"), 1, "that every run replaces"),
        (("--from", "local", "--to", "s3", "--all", "--latest"), 1, "cannot be combined"),
        ((f"{named(1)[:-6]}x.snap", "--from", "local", "--to", "s3"), 2, "nearest: "),
        (("--from", "s3", "--to", "local"), 2, "no storage holds a snapshot"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    configuration: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = copy(configuration, *arguments)

    assert done.code == code
    (line,) = done.talk.splitlines()
    assert words in line


def test_a_target_that_is_down_is_told(configuration: Path, tmp_path: Path) -> None:
    document = json.loads(configuration.read_text())
    (tmp_path / "file").write_text("no folder")
    document["storages"].append({"type": "local", "name": "down", "path": f"{tmp_path}/file/a"})
    configuration.write_text(json.dumps(document))

    done = copy(configuration, "--all", "--from", "local", "--to", "down")

    assert done.code == 2
    assert done.talk.splitlines()[-1].startswith("error: ")
