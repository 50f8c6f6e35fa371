"""What CONTRIBUTING says of the rooms is so: a newcomer follows it with the file open beside it."""

from __future__ import annotations

import re
from pathlib import Path

from raft_snapshot_agent.storage import STORAGES

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "raft_snapshot_agent"
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
MAP = TEXT.split("## The house")[1].split("\n## ")[0]
NAME = re.compile(r"`([a-z_/]+\.py)`")


def _is_there(name: str) -> bool:
    bases = (PACKAGE, ROOT, *(one for one in PACKAGE.iterdir() if one.is_dir()))
    return any((base / name).is_file() for base in bases)


def test_every_file_that_it_names_is_there() -> None:
    named = NAME.findall(TEXT)
    tests = {path.name for path in (ROOT / "tests").rglob("*.py")}

    assert [one for one in named if not _is_there(one) and Path(one).name not in tests] == []
    assert len(named) > 30


def test_every_storage_is_registered_and_passes_the_contract_suite() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("storage/*/*.py") if _has_settings(path)}
    suite = (ROOT / "tests/contract/destinations.py").read_text()
    registered = {name: one.__module__.split(".")[2] for name, one in STORAGES.items()}
    tried = {folder for name, folder in registered.items() if f'"type": "{name}"' in suite}

    assert set(registered.values()) == folders
    assert tried == folders


def _has_settings(path: Path) -> bool:
    return re.search(r'^    type: Literal\["', path.read_text(), re.MULTILINE) is not None


def test_the_map_shows_every_room_and_fits_one_screen() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}

    assert {room for room in rooms if f"`{room}/`" not in MAP} == set()
    assert len(MAP.splitlines()) <= 45
