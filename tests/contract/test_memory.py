"""What one snapshot on its way to several object stores at once costs in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.contract.destinations import S3, Azure, Gcs

_NAME = "raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap"
_STORE = """
import json, random, sys
from pathlib import Path
import anyio
from pydantic import TypeAdapter
from raft_snapshot_agent.core.snapshot import ArchiveMeta, Snapshot
from raft_snapshot_agent.transfer.spool import Spool
from raft_snapshot_agent.storage import AnyStorage
from raft_snapshot_agent.threads import in_thread

name, folder, mebibytes, *settings = sys.argv[1:]
storages = [TypeAdapter(AnyStorage).validate_json(one).open() for one in settings]
source = random.Random(4711)
calls, sizes = [], {}

def download(spool):
    for _ in range(int(mebibytes)):
        piece = source.randbytes(1 << 20)
        calls.append(len(piece))
        spool.write(piece)
    spool.complete()
    spool.accept(Snapshot(ArchiveMeta(4711, 3, 1), sum(calls), "sha"))

async def deliver(storage, spool):
    sizes[storage.kind] = await storage.put(name, spool)

async def main():
    with Spool.create(Path(folder), "0a1b2c") as spool:
        async with anyio.create_task_group() as tasks:
            for storage in storages:
                tasks.start_soon(deliver, storage, spool)
            await in_thread(lambda: download(spool))
        return spool.path.stat().st_size

spooled = anyio.run(main)
# Not ru_maxrss: that begins with what the parent had when it forked.
status = Path("/proc/self/status").read_text()
peak = int(status.partition("VmHWM:")[2].split()[0]) >> 10
print(json.dumps({"peak": peak, "downloaded": sum(calls), "spooled": spooled, "stored": sizes}))
"""


def test_memory_does_not_grow_with_the_snapshot(
    s3: S3, gcs: Gcs, azure: Azure, tmp_path: Path
) -> None:
    def peak(mebibytes: int) -> int:
        size = mebibytes << 20
        settings = [json.dumps(destination.settings()) for destination in (s3, gcs, azure)]
        arguments = [sys.executable, "-c", _STORE, _NAME, str(tmp_path), str(mebibytes), *settings]
        ended = subprocess.run(arguments, check=True, capture_output=True)
        told: dict[str, Any] = json.loads(ended.stdout)
        assert told["downloaded"] == told["spooled"] == size
        assert told["stored"] == {"aws": size, "google": size, "azure": size}
        assert [path for path in tmp_path.iterdir() if path.suffix == ".spool"] == []
        return int(told["peak"])

    small, large = peak(64), peak(128)
    print(f"peak at 64 MiB: {small} MiB, at 128 MiB: {large} MiB")
    assert large < 250
    # How much of 64 MiB is under way at once depends on who is faster: 122 to 168 MiB were seen.
    # What grows with the snapshot would grow by three times 64 MiB.
    assert large - small < 96
