"""A shared folder, such as /var/tmp, and what a neighbour lays into it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from raft_snapshot_agent import flock
from raft_snapshot_agent.errors import SpoolError
from raft_snapshot_agent.flock import remove_if_abandoned
from raft_snapshot_agent.private_folder import make_private_folder
from raft_snapshot_agent.transfer.spool import Spool
from raft_snapshot_agent.transfer.spool_files import sweep

OWN = f"raft-snapshot-agent-{os.geteuid()}"
RUN = "0a1b2c"
NAME = f".raft-snapshot-agent-{RUN}.spool"


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def test_in_a_shared_folder_a_spool_lies_in_one_of_our_own(shared: Path) -> None:
    with Spool.create(shared, RUN) as spool:
        assert spool.path == shared / OWN / NAME
        assert (shared / OWN).stat().st_mode & 0o777 == 0o700
        assert sweep(shared) == frozenset()
    assert [*(shared / OWN).iterdir()] == []


def test_a_folder_that_nobody_else_writes_to_is_used_as_it_is(tmp_path: Path) -> None:
    with Spool.create(tmp_path, RUN) as spool:
        assert spool.path.parent == tmp_path


def test_a_folder_of_ours_that_was_opened_to_others_is_closed_again(shared: Path) -> None:
    (shared / OWN).mkdir()
    (shared / OWN).chmod(0o777)
    with Spool.create(shared, RUN):
        assert (shared / OWN).stat().st_mode & 0o777 == 0o700


def test_a_planted_spool_declares_no_living_run_dead(shared: Path) -> None:
    (shared / NAME).touch()

    assert sweep(shared) == frozenset()
    assert (shared / NAME).exists()


def test_a_planted_link_in_place_of_our_folder_is_refused(shared: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o755)
    (shared / OWN).symlink_to(theirs)

    with pytest.raises(SpoolError) as caught:
        Spool.create(shared, RUN)

    assert "is not a folder of this agent's user" in caught.value.message
    assert [*theirs.iterdir()] == []
    assert theirs.stat().st_mode & 0o777 == 0o755


def test_a_planted_file_in_place_of_our_folder_is_refused(shared: Path) -> None:
    (shared / OWN).touch()
    with pytest.raises(SpoolError):
        Spool.create(shared, RUN)


def test_a_planted_link_is_not_followed_by_a_sweep(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("kept")
    link = tmp_path / NAME
    link.symlink_to(target)

    assert not remove_if_abandoned(link)
    assert target.read_text() == "kept"


def test_a_planted_pipe_holds_up_no_sweep(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / NAME)

    assert sweep(tmp_path) == frozenset()


@pytest.mark.parametrize("owner", [0, 12345])
def test_a_folder_of_another_user_is_shared_unless_it_is_roots(tmp_path: Path, owner: int) -> None:
    if os.geteuid() != 0:  # an ordinary user cannot make a folder of another's
        pytest.skip("only root can give a folder away")
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    os.chown(folder, owner, owner)

    with Spool.create(folder, RUN) as spool:
        assert spool.path.parent == (folder if owner == 0 else folder / OWN)


def test_a_killed_agents_spool_is_found_in_its_own_folder(shared: Path) -> None:
    code = (
        "import os, sys, pathlib; from raft_snapshot_agent.transfer.spool import Spool;"
        "spool = Spool.create(pathlib.Path(sys.argv[1]), 'dead01'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(shared)], check=False)
    assert len([*(shared / OWN).iterdir()]) == 1

    assert sweep(shared) == {"dead01"}
    assert [*(shared / OWN).iterdir()] == []


def test_a_folder_swapped_for_a_link_is_not_chmodded(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o755)
    real = os.open

    def swapped(path: str | Path, *how: object, **more: object) -> int:
        descriptor = real(path, *how, **more)  # type: ignore[arg-type]
        if Path(path).name == OWN:
            (shared / OWN).rename(shared / "moved")
            (shared / OWN).symlink_to(theirs)
        return descriptor

    monkeypatch.setattr(os, "open", swapped)
    make_private_folder(shared)

    assert theirs.stat().st_mode & 0o777 == 0o755
    assert (shared / "moved").stat().st_mode & 0o777 == 0o700


def test_a_folder_in_which_everybody_can_swap_is_refused(shared: Path) -> None:
    shared.chmod(0o777)
    with pytest.raises(SpoolError) as caught:
        Spool.create(shared, RUN)
    assert caught.value.hint.startswith(f"chmod +t {shared}")


def test_a_file_in_the_spools_place_gets_no_snapshots_name(tmp_path: Path) -> None:
    with Spool.create(tmp_path, RUN) as spool:
        spool.write(b"ours")
        spool.path.rename(tmp_path / "moved")
        spool.path.write_bytes(b"planted")

        assert spool.link(tmp_path / "snapshot")
        assert (tmp_path / "snapshot").read_bytes() == b"ours"


def test_without_proc_a_spool_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flock, "_OPEN_FILES", str(tmp_path / "no-proc"))
    with Spool.create(tmp_path, RUN) as spool:
        assert not spool.link(tmp_path / "snapshot")
