"""`docs/metrics.md` has the table, word for word.

After a change of the table, `python -m tests.unit.metrics.test_page` writes the page anew.
"""

from __future__ import annotations

from pathlib import Path

from raft_snapshot_agent.metrics.metric import Metric
from raft_snapshot_agent.metrics.table import TABLE

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
HEAD = "| metric | type | labels | |\n|---|---|---|---|\n"


def row(metric: Metric) -> str:
    labels = ", ".join(f"`{one}`" for one in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |\n"


def page(text: str) -> str:
    """Put the present table in the place of the one in the page."""
    before, _, rest = text.partition(HEAD)
    after = rest[rest.index("\n\n") + 1 :]
    return before + HEAD + "".join(map(row, TABLE)) + after


def test_the_page_has_the_table() -> None:
    text = PAGE.read_text()
    assert text == page(text), "write it anew: python -m tests.unit.metrics.test_page"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
