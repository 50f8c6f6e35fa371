"""The W3C's own checker finds nothing to say about the page, in any state."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.unit.web.statuses import KINDS, many

from raft_snapshot_agent.web.page.cluster_view import PageQuery
from raft_snapshot_agent.web.page.render import read_asset, render_page

VNU = Path(__file__).parents[2] / ".venv/vnu/node_modules/vnu-jar/build/dist/vnu.jar"
JAVA = shutil.which("java")
# A property of SVG 2 that every browser has, and the checker's list has not.
UNKNOWN_TO_IT = (
    "style.css: CSS: \u201cvector-effect\u201d: Property \u201cvector-effect\u201d doesn't exist."
)
# `make soak` installs Java where it may: the checker is a Java program, and there is no other of its kind.
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(
        JAVA is None or not VNU.exists(), reason="make soak fetches the checker, which needs Java"
    ),
]


def find_faults(files: Sequence[Path]) -> list[str]:
    """What the checker says of files: errors, warnings and advice."""
    command = [
        str(JAVA),
        "-jar",
        str(VNU),
        "--also-check-css",
        "--format",
        "json",
        *map(str, files),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    return [
        f"{Path(one.get('url', '-')).name}: {one['message']}"
        for one in json.loads(done.stderr)["messages"]
    ]


def test_the_checker_finds_nothing_in_any_state(tmp_path: Path) -> None:
    pages = {kind: render_page(make()) for kind, make in KINDS.items()}
    pages["many"] = render_page(many(500))
    pages["one-of-many"] = render_page(many(60, 20), PageQuery(cluster="team-007"))
    for name, page in pages.items():
        (tmp_path / f"{name}.html").write_bytes(page)
    (tmp_path / "style.css").write_bytes(read_asset("style.css"))

    found = find_faults(sorted(tmp_path.iterdir()))

    assert [one for one in found if one != UNKNOWN_TO_IT] == []


def test_the_checker_would_find_what_is_wrong(tmp_path: Path) -> None:
    page = render_page(KINDS["fine"]())
    (tmp_path / "bad.html").write_bytes(page.replace(b"<main>", b"<main><li>a</p>", 1))
    (tmp_path / "bad.css").write_text("a { colour: red }")

    found = " ".join(find_faults(sorted(tmp_path.iterdir())))

    assert "bad.html: " in found
    assert "bad.css: " in found
