"""Commands that refuse an option given twice, and one that is empty, or an argument.

Of two only the last would count, and an empty one, such as an unset variable of a shell, would
mean the default: another snapshot, the working directory, all clusters.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    _Base = TyperCommand
else:
    _Base = object


class _Once(_Base):
    def make_parser(self, ctx: Any) -> Any:
        """Return the usual parser, which also lists the options in the order they were given."""
        parser = super().make_parser(ctx)
        parse = parser.parse_args

        def parse_once(args: list[str]) -> Any:
            found = parse(args)
            if ctx.resilient_parsing:  # a shell completes a line
                return found
            for one, times in Counter(found[2]).items():
                _require_one_value(ctx, one, found[0].get(one.name), times)
            return found

        parser.parse_args = parse_once  # type: ignore[method-assign]
        return parser


def _require_one_value(context: Any, given: Any, value: object, times: int) -> None:
    is_option = given.param_type_name == "option"
    before = context.find_root().params if context.parent else {}
    # A file behind the command replaces that before it, which may be in an alias.
    if before.get(given.name) and given.metavar != "FILE":
        times += 1
    if is_option and times > 1 and not (given.multiple or given.is_flag):
        raise typer.BadParameter("give it once", ctx=context, param=given)
    if value == "" or (isinstance(value, list | tuple) and "" in value):
        raise typer.BadParameter("it is empty", ctx=context, param=given)


class OnceCommand(_Once, TyperCommand):
    """A command of which each option is given once, and whose help shows arguments as written."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the arguments as their `metavar` says; Typer would put brackets around all."""
        arguments = (one for one in self.get_params(ctx) if one.param_type_name == "argument")
        return [self.options_metavar or "", *(one.metavar or "" for one in arguments)]


class OnceGroup(_Once, TyperGroup):
    """A group of commands, likewise."""


def refuse_repeats(app: typer.Typer) -> None:
    """Let all commands of an app refuse an option given twice, and an empty one."""
    for command in app.registered_commands:
        if command.cls in {None, TyperCommand}:
            command.cls = OnceCommand
    for group in app.registered_groups:
        if group.typer_instance is not None:
            refuse_repeats(group.typer_instance)
