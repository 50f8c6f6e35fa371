"""Commands that are not requested: name and help, without the cost of reading their options."""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:  # types that `typer` itself does not export
    from typer.models import CommandInfo, TyperInfo


def outline(app: typer.Typer, words: Collection[str]) -> typer.Typer:
    """Return a copy of the command line in which only the commands among `words` have options.

    Typer reads the signature of every command at each start, a third of the time of `--help`. A
    command can only be run if its name is one of the words; help and suggestions need only the
    names and the help of all. `app` does not change.
    """
    outlined = copy(app)
    outlined.registered_commands = [_outline(one, words) for one in app.registered_commands]
    outlined.registered_groups = [_outline_group(one, words) for one in app.registered_groups]
    return outlined


def _outline_group(group: TyperInfo, words: Collection[str]) -> TyperInfo:
    outlined = copy(group)
    if group.typer_instance is not None:
        outlined.typer_instance = outline(group.typer_instance, words)
    return outlined


def _outline(command: CommandInfo, words: Collection[str]) -> CommandInfo:
    name = command.name or typer.main.get_command_name(getattr(command.callback, "__name__", ""))
    if name in words:
        return command

    def unused() -> None: ...

    # Name and help only: with `functools.wraps`, Typer would read the signature again.
    unused.__name__ = getattr(command.callback, "__name__", name)
    unused.__doc__ = getattr(command.callback, "__doc__", None)
    outlined = copy(command)
    outlined.callback = unused
    return outlined
