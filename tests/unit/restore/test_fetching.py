"""What a copy of a snapshot leaves on the local disk."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.choosing import choose_named
from tests.unit.restore.test_reader import NEW, WHOLE, destination

from raft_snapshot_agent.restore.fetching import fetch_copy
from raft_snapshot_agent.transfer.spool_files import sweep

_DRILL = """
import sys
from pathlib import Path
import anyio
from tests.choosing import choose_named
from tests.unit.restore.test_reader import NEW, WHOLE, destination
from raft_snapshot_agent.restore.drill import lend_folder
from raft_snapshot_agent.restore.fetching import fetch_copy

async def main():
    folder = Path(sys.argv[1])
    reader = await choose_named([await destination("s3", new=WHOLE)], NEW)
    async with fetch_copy(reader, folder), lend_folder(folder):
        print("begun", flush=True)
        sys.stdin.read()

anyio.run(main)
"""
_RUN = """
import sys
from pathlib import Path
from raft_snapshot_agent.transfer.spool import Spool
with Spool.create(Path(sys.argv[1]), "0a1b2c"):
    print("begun", flush=True)
    sys.stdin.read()
"""


@contextmanager
def begun(program: str, folder: Path, root: Path) -> Iterator[None]:
    """Run a process that waits with a copy in the folder, and kill it."""
    command = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield
        process.kill()


def left_in(folder: Path) -> set[Path]:
    return {*folder.iterdir()}


async def fetch(folder: Path) -> set[Path]:
    """Copy a snapshot; return what else is in the folder meanwhile."""
    reader = await choose_named([await destination("s3", new=WHOLE)], NEW)
    async with fetch_copy(reader, folder) as got:
        return left_in(folder) - {got.spool.path}


async def test_what_a_killed_drill_left_is_removed_by_the_next(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    with begun(_DRILL, tmp_path, pytestconfig.rootpath):
        living = left_in(tmp_path)
        assert len(living) == 3  # the copy, the server's folder and its lock
        assert await fetch(tmp_path) == living

    assert left_in(tmp_path) == living
    assert await fetch(tmp_path) == set()


async def test_the_spool_of_a_killed_run_is_left_to_the_next_run(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """It tells which unfinished uploads to remove."""
    with begun(_RUN, tmp_path, pytestconfig.rootpath):
        pass

    assert len(await fetch(tmp_path)) == 1
    assert sweep(tmp_path) == {"0a1b2c"}
