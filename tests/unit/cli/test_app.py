from __future__ import annotations

import pytest
from tests.unit.cli.commands import COMMANDS

from raft_snapshot_agent.cli.examples import EXAMPLES

DESIGNED = {
    "run",
    "save",
    "list",
    "inspect",
    "diff",
    "verify",
    "fetch",
    "hold",
    "release",
    "prune",
    "restore",
    "drill",
    "recover",
    "browse",
    "check",
    "status",
    "copy",
    "doctor",
    "demo",
    "config",
    "config check",
    "config show",
    "config schema",
    "notify",
    "notify test",
}


def test_there_are_the_commands_that_were_designed() -> None:
    assert COMMANDS.keys() == DESIGNED


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_in_one_whole_sentence_what_it_does(name: str) -> None:
    short = COMMANDS[name].get_short_help_str(limit=70)

    assert short.endswith(".")
    assert not short.endswith("...")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is_for(name: str) -> None:
    silent = [one.name for one in COMMANDS[name].params if not getattr(one, "help", None)]

    assert [one for one in silent if one != "help"] == []


def test_every_command_shows_an_example() -> None:
    groups = {name.partition(" ")[0] for name in COMMANDS if " " in name}

    assert COMMANDS.keys() - groups == EXAMPLES.keys()


def test_every_command_that_reads_the_configuration_takes_it_behind_its_name() -> None:
    without = {
        name for name, one in COMMANDS.items() if "config" not in {p.name for p in one.params}
    }

    assert without == {"demo", "config", "config schema", "notify"}
