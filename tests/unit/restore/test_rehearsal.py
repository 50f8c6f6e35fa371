"""Beside which copy the result of a drill is noted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.choosing import choose_named
from tests.unit.restore.test_copies import BROKEN, silent
from tests.unit.restore.test_reader import NEW, WHOLE, Down, destination

from raft_snapshot_agent.config.drill import DrillSettings
from raft_snapshot_agent.core.snapshots.snapshot import Sidecar
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import ConfigError, StorageError
from raft_snapshot_agent.restore import rehearsal
from raft_snapshot_agent.restore.rehearsal import DrillOutcome, rehearse

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each restore into a throw-away server succeed."""

    @asynccontextmanager
    async def restored(*_: Any, **__: Any) -> AsyncIterator[None]:
        yield None

    monkeypatch.setattr(rehearsal, "restored", restored)
    monkeypatch.setattr(rehearsal, "choose_server", lambda *_, **__: None)


async def drilled(places: list[Destination], spool: Path, told: list[str]) -> DrillOutcome:
    reader = await choose_named(places, NEW)
    return await rehearse(reader, DrillSettings(), spool, NOW, tell=told.append)


async def noted(places: list[Destination]) -> list[str]:
    """The storages with a note of a drill."""
    note = Sidecar.DRILL.name_for(NEW)
    return [
        one.name for one in places if note in {entry.name for entry in await one.storage.entries()}
    ]


async def test_one_that_is_whole_elsewhere_has_not_failed(tmp_path: Path) -> None:
    told: list[str] = []
    places = [await destination("local", new=BROKEN), await destination("s3", new=WHOLE)]

    outcome = await drilled(places, tmp_path, told)

    assert outcome.note.passed
    assert await noted(places) == ["s3"]
    assert "is broken" in told[0]


async def test_one_that_is_broken_everywhere_has_failed(tmp_path: Path) -> None:
    places = [await destination("local", new=BROKEN), await destination("s3", new=BROKEN)]

    outcome = await drilled(places, tmp_path, [])

    assert not outcome.note.passed
    assert await noted(places) == ["local"]


@pytest.mark.parametrize("lists", [True, False])
async def test_nothing_is_noted_where_one_that_may_be_whole_cannot_be_read(
    tmp_path: Path, lists: bool
) -> None:
    other = await silent() if lists else Destination("down", Down())
    places = [await destination("local", new=BROKEN), other]

    with pytest.raises(StorageError):
        await drilled(places, tmp_path, [])

    assert await noted(places[:1]) == []


async def test_a_root_that_is_no_certificate_is_told_before_anything_is_read(
    tmp_path: Path,
) -> None:
    root = tmp_path / "root.pem"
    root.write_text("no certificate")
    unseal = {"keys": ["key"]}
    settings = DrillSettings.model_validate(
        {"unseal": unseal, "issuers": [{"mount": "pki", "root": str(root)}]}, strict=False
    )
    places = [await destination("local", new=BROKEN)]

    with pytest.raises(ConfigError, match="holds no certificate"):
        await rehearse(await choose_named(places, NEW), settings, tmp_path, NOW)

    assert await noted(places) == []
