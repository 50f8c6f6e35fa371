"""Full and broken disks: nothing half-written stays, and the others are not touched."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.faults.disks import freeze, small_disk, thaw
from tests.faults.site import Site, in_process


def filler(folder: Path, size: int) -> Path:
    path = folder / "somebody-elses"
    path.write_bytes(bytes(size))
    return path


@pytest.mark.usefixtures("big_server")
def test_spool_is_full(big_site: Site) -> None:
    with small_disk(big_site.spool, "30m"):
        taken = filler(big_site.spool, 15_000_000)
        ending = big_site.run_once()
        assert ending.code == 1
        words = f"cannot spool the snapshot in {big_site.spool}: No space left on device"
        assert words in ending.only_error
        assert big_site.names() == ([], [])
        assert big_site.leftovers() == [taken.name]
        taken.unlink()
        big_site.succeeds()


@pytest.mark.usefixtures("big_server")
def test_folder_is_full(big_site: Site) -> None:
    with small_disk(big_site.folder, "30m"):
        taken = filler(big_site.folder, 15_000_000)
        ending = big_site.fails_partly("local", f"in {big_site.folder}: No space left on device")
        assert "free some space or inodes there, or keep fewer snapshots" in ending.said
        taken.unlink()
        big_site.succeeds()
        big_site.fails_partly("local", "No space left on device")


@pytest.mark.soak
@pytest.mark.usefixtures("big_server")
def test_folder_is_full_of_what_no_rule_keeps(big_site: Site) -> None:
    """Whoever keeps fewer snapshots, as the hint says, has room for the next."""
    with small_disk(big_site.folder, "80m"):
        big_site.more["retention"] = {"last": 9}
        while big_site.run_once().code == 0:
            pass
        before, _ = big_site.names()
        assert len(before) > 1
        big_site.more["retention"] = {"last": 1}
        ending = big_site.run_once()
        assert (ending.code, ending.of_level("warning", "error")) == (0, [])
        (newest,) = big_site.names()[0]
        assert newest not in before
        assert big_site.leftovers() == []


@pytest.mark.usefixtures("big_server")
def test_folder_that_is_the_spool_too_is_full(big_site: Site) -> None:
    """With a second name for the spool's file a snapshot needs its room once."""
    with small_disk(big_site.folder, "30m"):
        big_site.spool = big_site.folder
        big_site.run_once()
        assert [len(names) for names in big_site.names()] == [1, 1]
        ending = big_site.run_once()
        assert ending.code == 1
        assert "cannot spool the snapshot in" in ending.only_error
        assert [len(names) for names in big_site.names()] == [1, 1]
        assert [name for name in big_site.files() if name.startswith(".")] == []


@pytest.mark.usefixtures("server")
def test_folder_becomes_read_only(site: Site) -> None:
    with small_disk(site.folder, "8m"):
        site.succeeds()
        freeze(site.folder)
        site.fails_partly("local", f"in {site.folder}: Read-only file system")
        thaw(site.folder)
        site.succeeds()


@pytest.mark.usefixtures("server")
def test_folder_cannot_be_made(site: Site) -> None:
    site.folder.rmdir()
    site.folder.write_text("a file where the folder should be")
    ending = site.run_once()
    assert ending.code == 3
    assert f"in {site.folder}: Not a directory" in ending.only_error
    assert len(site.keys()) == 2
    site.folder.unlink()
    site.run_once()
    assert len(site.stored()[0]) == 1


@pytest.mark.usefixtures("server")
def test_only_folder_cannot_be_written(site: Site) -> None:
    site.more["storages"] = [site.local]
    with small_disk(site.folder, "8m"):
        freeze(site.folder)
        ending = site.run_once()
    assert ending.code == 1
    assert f"{site.folder} cannot be written: Read-only file system" in ending.only_error


@pytest.mark.usefixtures("server")
def test_only_disk_is_mounted_after_the_start(site: Site) -> None:
    site.more |= {"storages": [{**site.local, "require_mount": True}], "schedule": {"every": "2s"}}
    with site.command("run") as daemon:
        daemon.says("Storage local cannot be used now, and each run tries it again: ")
        daemon.says(f"nothing is mounted at {site.folder}")
        daemon.says("Could not store")
        with small_disk(site.folder, "8m"):
            daemon.says("Successfully created local snapshot")
            daemon.process.send_signal(signal.SIGTERM)
            daemon.ended()


@pytest.mark.usefixtures("server")
def test_spool_cannot_be_written(site: Site) -> None:
    with small_disk(site.spool, "8m"):
        freeze(site.spool)
        ending = site.fails(1, f"folder {site.spool} cannot be written: Read-only file system")
        assert "set spool or TMPDIR to a folder of the agent's user" in ending.said
        thaw(site.spool)
        site.succeeds()


@pytest.mark.usefixtures("big_server")
def test_file_that_does_not_fit_is_not_there(big_site: Site, tmp_path: Path) -> None:
    target = tmp_path / "small" / "vault.snap"
    target.parent.mkdir()
    with small_disk(target.parent, "16m"):
        ending = in_process("save", str(target), "-c", str(big_site.configuration()))
        assert ending.code == 1
        assert "No space left on device" in ending.only_error
        assert list(target.parent.iterdir()) == []
