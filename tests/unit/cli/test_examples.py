from __future__ import annotations

import pytest
from tests.unit.cli.commands import COMMANDS


@pytest.mark.parametrize("name", [one for one in COMMANDS if one not in {"config", "notify"}])
def test_the_help_of_every_command_ends_with_an_example(name: str) -> None:
    _, heading, *lines = (COMMANDS[name].epilog or "").splitlines()

    assert heading == "Examples:"
    assert lines
    assert all(f"raft-snapshot-agent {name}" in line for line in lines)
