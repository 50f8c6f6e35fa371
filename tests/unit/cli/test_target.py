from __future__ import annotations

import re
from pathlib import Path

import pytest

from raft_snapshot_agent.cli.target import make_absolute, parse_target, writable_folder
from raft_snapshot_agent.errors import ConfigError


def test_the_folder_of_a_new_or_an_old_file_is_returned_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old").write_text("content")

    for target in (tmp_path / "new", tmp_path / "old", Path("new"), Path("old")):
        assert writable_folder(target, overwrite=True) == tmp_path
    assert writable_folder(Path("new")) == tmp_path

    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("old", "content")]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("folder", "cannot write folder: it is a folder"),
        ("missing/new", "cannot write missing/new: No such file or directory"),
        ("file/new", "cannot write file/new: Not a directory"),
        ("/proc/new", "cannot write /proc/new: "),
        ("", "it is a folder"),
        ("file", "file exists already"),
        ("x" * 300, "File name too long"),
        ("link", "cannot write link: it is a link"),
        ("dangling", "cannot write dangling: it is a link"),
    ],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    Path("link").symlink_to("file")
    Path("dangling").symlink_to("nowhere")

    with pytest.raises(ConfigError, match=words) as refused:
        writable_folder(Path(target))

    assert refused.value.hint


def test_a_working_directory_that_is_gone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    with pytest.raises(ConfigError, match="the working directory is gone: No such file"):
        make_absolute(Path("bao"))
    assert make_absolute(Path("/usr/bin/bao")) == Path("/usr/bin/bao")
    with pytest.raises(ConfigError, match="cannot write new: No such file"):
        writable_folder(Path("new"))


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_is_not_replaced_and_the_error_tells_where_it_leads(
    tmp_path: Path, is_there: bool
) -> None:
    (tmp_path / "disk").mkdir()
    file, link = tmp_path / "disk" / "vault.snap", tmp_path / "vault.snap"
    if is_there:
        file.touch()
    link.symlink_to("disk/vault.snap")

    with pytest.raises(ConfigError) as refused:
        writable_folder(link, overwrite=True)

    assert str(file) in (refused.value.hint or "")
    assert writable_folder(file, overwrite=True) == tmp_path / "disk"


@pytest.mark.parametrize("text", ["missing/", "missing/.", "file/", "-"])
def test_a_path_that_says_folder_makes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()

    with pytest.raises(ConfigError, match=f"cannot write (to standard|{re.escape(text)})"):
        parse_target(text)


@pytest.mark.parametrize("text", ["folder/", "folder/.", ".", "new", "./-", "missing/new"])
def test_other_paths_are_taken_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()

    assert parse_target(text) == Path(text)
