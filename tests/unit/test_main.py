"""What is told where the agent cannot even start, and that monitoring systems take it rightly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ERROR = 'raise ImportError("libssl.so.3: cannot open shared object file")'
_TOLD = "the installation is broken: libssl.so.3: cannot open shared object file"


def run(*arguments: str, broken: Path | None = None, out: int = subprocess.PIPE) -> tuple[str, ...]:
    """Run a command; return its exit code, data and messages."""
    paths = [str(broken)] if broken else []
    paths += [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
    ended = subprocess.run(
        [sys.executable, "-m", "raft_snapshot_agent", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(paths)},
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    return str(ended.returncode), ended.stdout or "", ended.stderr


@pytest.mark.parametrize("library", ["typer", "pydantic", "yaml", "anyio"])
def test_check_is_unknown_where_a_library_is_broken(tmp_path: Path, library: str) -> None:
    (tmp_path / f"{library}.py").write_text(_ERROR)
    (tmp_path / "config.yaml").write_text("storages: []")

    code, data, talk = run("check", "-c", str(tmp_path / "config.yaml"), broken=tmp_path)

    assert (code, talk) == ("3", "")
    assert data.startswith(f"RAFT SNAPSHOTS UNKNOWN - {_TOLD} (install raft-snapshot-agent again")
    assert data.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (_ERROR, _TOLD),
        ("import nothing_of_this_name", "the installation is broken: No module named 'nothing_of"),
        ("def half(", "the installation is broken: '(' was never closed (pydantic.py, line 1)"),
        ("raise SystemError('pydantic-core is of another version')", "pydantic-core is of another"),
    ],
)
@pytest.mark.parametrize("command", ["list", "run"])
def test_other_commands_say_that_the_installation_is_broken(
    tmp_path: Path, command: str, content: str, told: str
) -> None:
    (tmp_path / "pydantic.py").write_text(content)

    code, data, talk = run(command, broken=tmp_path)

    assert (code, data) == ("1", "")
    assert told in talk
    assert talk.startswith("error: the installation is broken: ")
    assert "a bug" not in talk


def test_check_is_unknown_where_its_line_cannot_be_written() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        code, _, talk = run("check", "-c", "/nonexistent", out=full)
    finally:
        os.close(full)

    assert code == "3"
    assert "cannot write to standard output: No space left on device" in talk


@pytest.mark.parametrize("arguments", [("--nonsense", "check"), ("-c", "a", "-c", "b", "check")])
def test_check_is_unknown_for_wrong_options_before_it(arguments: tuple[str, ...]) -> None:
    code, data, talk = run(*arguments)

    assert (code, talk) == ("3", "")
    assert data.startswith("RAFT SNAPSHOTS UNKNOWN - ")
    assert data.endswith("(see --help)\n")


def test_config_check_is_no_check() -> None:
    code, data, talk = run("config", "check", "--nonsense")

    assert (code, data) == ("1", "")
    assert talk.startswith("error: No such option: --nonsense")
