"""Takes the pictures of the docs: python -m tests.browser.pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.browser.chromium import chromium
from tests.browser.serving import site
from tests.unit.web.statuses import KINDS, many

from raft_snapshot_agent.core.state.status import AgentStatus

FOLDER = Path(__file__).parents[2] / "docs" / "images"
SHOWN = (
    "fine",
    "partial",
    "failed",
    "never-run",
    "standby",
    "lease-elsewhere",
    "stale",
    "guard-alarm",
    "500-clusters",
)
ALSO = {"fine": ("dark", "phone"), "failed": ("dark", "phone"), "500-clusters": ("phone",)}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    kinds: dict[str, Callable[[], AgentStatus]] = {**KINDS, "500-clusters": lambda: many(500)}
    with tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as browser:
        for kind in SHOWN:
            with site(kinds[kind]()) as web:
                for look in ("light", *ALSO.get(kind, ())):
                    phone = look == "phone"
                    width, height = (360, 780) if phone else (1100, 880)
                    browser.look(width, height, "dark" if look == "dark" else "light", phone=phone)
                    browser.open(web.address)
                    browser.shoot(FOLDER / f"page-{kind}-{look}.png")


if __name__ == "__main__":
    main()
