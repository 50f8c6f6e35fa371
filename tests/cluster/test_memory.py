"""What reading stored snapshots costs in memory, whatever their size: `copy` and the daemon's scrubs."""

from __future__ import annotations

import json
import mmap
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from tests.cluster.command import environment
from tests.large_archives import Shape, write_archive
from tests.unit.restore.test_copying import NOW, manifest, named

from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

SIZES = 64, 1024
"""MiB of the two snapshots that are compared; the larger one is the goal's."""
_MOST, _BUFFERS = 120, 32
"""MiB at most, and by how much one snapshot may take more than another sixteen times as small."""
_WITHIN = 900
_MEASURED = """
import sys
from pathlib import Path
from raft_snapshot_agent.__main__ import main

told = Path(sys.argv.pop(1))
try:
    main()
finally:  # not ru_maxrss: that begins with what the parent had
    told.write_text(Path("/proc/self/status").read_text())
"""

pytestmark = [pytest.mark.soak, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Folders with one snapshot each, by its size."""
    root = tmp_path_factory.mktemp("disks")
    return {size: disk(root / f"{size}", size) for size in SIZES}


def disk(folder: Path, mebibytes: int) -> Path:
    folder.mkdir()
    file = folder / named(0)
    write_archive(file, Shape(mebibytes << 20), int(NOW.timestamp()))
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as content:
        text = manifest(file.name, cast("bytes", content)).to_json()
    file.with_name(f"{file.name}.json").write_bytes(text)
    return folder


@pytest.fixture
def s3(seaweed: SeaweedFS, bucket: str) -> dict[str, Any]:
    return {
        "type": "s3",
        "bucket": bucket,
        "endpoint": seaweed.endpoint,
        "region": seaweed.region,
        "access_key_id": seaweed.access_key_id,
        "secret_access_key": seaweed.secret_access_key,
    }


@contextmanager
def agent(
    folder: Path, storages: list[dict[str, Any]], *words: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command with these storages; what it took stands in `status`, what it said in `log`."""
    document = {
        "vault": {"address": "http://127.0.0.1:1", "auth": {"method": "token", "token": "t"}},
        "spool": str(folder / "spool"),
        "schedule": {"every": "24h", "catch_up": False},
        "scrub": {"every": "1s", "read": 1},
        "storages": storages,
    }
    (folder / "spool").mkdir(exist_ok=True)
    (folder / "agent.json").write_text(json.dumps(document))
    command = [sys.executable, "-c", _MEASURED, str(folder / "status"), *words]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "-c", str(folder / "agent.json")],
            env=environment(),
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def peak(folder: Path) -> int:
    """Return the most memory that the last command took, in MiB."""
    lines = (folder / "status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) >> 10


def is_flat(peaks: dict[int, int]) -> None:
    small, large = (peaks[size] for size in SIZES)
    print(f"peak: {peaks} MiB")
    assert large < _MOST
    assert large - small < _BUFFERS


def test_a_copy_takes_no_more_for_a_large_snapshot(
    disks: dict[int, Path], s3: dict[str, Any], tmp_path: Path
) -> None:
    ways = {"there": ("local", "s3"), "back": ("s3", "other")}
    peaks: dict[str, dict[int, int]] = {way: {} for way in ways}
    for size, folder in disks.items():
        local = {"type": "local", "path": str(folder)}
        other = {"type": "local", "name": "other", "path": str(tmp_path / f"other-{size}")}
        storages = [local, s3 | {"prefix": f"{size}/"}, other]
        (tmp_path / f"other-{size}").mkdir()
        for way, (source, target) in ways.items():
            with agent(tmp_path, storages, "copy", "--from", source, "--to", target) as process:
                assert process.wait(_WITHIN) == 0, (tmp_path / "log").read_text()
            peaks[way][size] = peak(tmp_path)
        copied = tmp_path / f"other-{size}" / named(0)
        assert copied.stat().st_size == (folder / named(0)).stat().st_size
        copied.unlink()
    for each in peaks.values():
        is_flat(each)


def test_a_scrub_takes_no_more_for_a_large_snapshot(disks: dict[int, Path], tmp_path: Path) -> None:
    peaks = {}
    for size, folder in disks.items():
        # Where no server answers, an agent reads the folders of its own host alone.
        with agent(tmp_path, [{"type": "local", "path": str(folder)}], "run") as process:
            until(lambda: is_read_back(tmp_path), "it is read back", within=_WITHIN)
            process.send_signal(signal.SIGTERM)
            assert process.wait(_WITHIN) == 0
        peaks[size] = peak(tmp_path)
    is_flat(peaks)


def is_read_back(folder: Path) -> bool:
    said = (folder / "log").read_text()
    assert "corrupted" not in said, said
    return "Read back and whole" in said
