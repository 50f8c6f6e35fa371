"""The README's picture of a terminal is what `status` prints.

After a change of its words, `python -m tests.docs.test_terminal_picture` draws it anew.
"""

from __future__ import annotations

import io
import os
import re
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text
from tests.unit.web.statuses import KINDS

from raft_snapshot_agent.cli.status import StatusWish, exit_code, show
from raft_snapshot_agent.observe.status_document import document

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "terminal-status.svg"
WIDTH = 116
FONT = re.compile(r"@font-face \{\{.*?\}\}\n", re.DOTALL)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def said(kind: str) -> str:
    """What the command prints on a terminal while things stand so."""
    found, screen = document(KINDS[kind]()), Terminal()
    with mock.patch.dict(os.environ, COLUMNS=str(WIDTH)), redirect_stdout(screen):
        os.environ.pop("NO_COLOR", None)
        show(found, running=True, wish=StatusWish(verbose=kind == "fine"))
    return f"$ raft-snapshot-agent status\n{screen.getvalue()}$ echo $?\n{exit_code(found)}\n"


def draw() -> str:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(said("partial"), no_wrap=True))
    return console.export_svg(
        title="status",
        theme=MONOKAI,
        code_format=FONT.sub("", CONSOLE_SVG_FORMAT),  # nothing is loaded from elsewhere
        unique_id="status",
    )


def test_the_picture_is_of_the_command_as_it_is() -> None:
    drawn = PICTURE.read_text()
    assert drawn == draw(), "draw it anew: python -m tests.docs.test_terminal_picture"
    assert "url(" not in re.sub(r"url\(#status-[\w-]+\)", "", drawn)
    readme = (PICTURE.parents[2] / "README.md").read_text()
    assert f"](docs/images/{PICTURE.name})" in readme.partition("\n## ")[0]


if __name__ == "__main__":
    PICTURE.write_text(draw())
