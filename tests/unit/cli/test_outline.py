"""Only the command that is asked for is read in full; what is told of the others stays the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from tests.unit.cli.commands import COMMANDS

from raft_snapshot_agent.cli.app import app
from raft_snapshot_agent.cli.outline import outline

PATHS = {tuple(name.split()) for name in COMMANDS}
GROUPS = [["config"], ["notify"]]
WRONG = [["sav"], ["config", "chek"], ["--no-such-option"], ["no", "save"]]


WHOLE = typer.main.get_command(app)


def said(line: Any, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    with pytest.raises(SystemExit) as end:
        line.main(arguments, prog_name="raft-snapshot-agent")
    return end.value.code, "".join(capsys.readouterr())


def outlined(arguments: list[str]) -> Any:
    return typer.main.get_command(outline(app, arguments))


def options(line: Any) -> dict[str, set[str]]:
    """Return the names of the options of each command."""

    def walk(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, set[str]]]:
        for name, child in getattr(group, "commands", {}).items():
            yield " ".join((*path, name)), {one.name for one in child.params}
            yield from walk(child, (*path, name))

    return dict(walk(line))


@pytest.mark.parametrize("path", sorted(PATHS), ids=" ".join)
def test_each_command_explains_itself_as_ever(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [*path, "--help"]
    assert said(outlined(asked), asked, capsys) == said(WHOLE, asked, capsys)


@pytest.mark.parametrize("asked", [[], ["--help"], *GROUPS, *WRONG], ids=" ".join)
def test_what_names_no_command_is_answered_as_ever(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(outlined(asked), asked, capsys) == said(WHOLE, asked, capsys)


def test_no_option_of_another_command_is_read() -> None:
    whole = options(WHOLE)
    found = options(outlined(["--debug", "save", "a.snap"]))
    assert found.keys() == whole.keys()
    assert found.pop("save") == whole["save"]
    assert {name for name, some in found.items() if some} == set()
    assert options(typer.main.get_command(app)) == whole


def test_a_shell_completes_the_options_of_every_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "raft_snapshot_agent"],
        env={
            **os.environ,
            "_RAFT_SNAPSHOT_AGENT_COMPLETE": "complete_bash",
            "COMP_WORDS": "raft-snapshot-agent save --sto",
            "COMP_CWORD": "2",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "--storage" in done.stdout, done.stderr
