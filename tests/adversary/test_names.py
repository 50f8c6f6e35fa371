"""Every command meets names of an attacker's making, in the first of two storages."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.adversary.history import Site, archive_of, manifest_for
from tests.adversary.names import hostile_names

from raft_snapshot_agent.cli.app import app
from raft_snapshot_agent.core.snapshots.naming import (
    AGENT,
    SEED,
    Layout,
    catalogue,
    manifest_name,
    parse,
)
from raft_snapshot_agent.errors import AgentError

NOW = datetime.now(UTC).replace(microsecond=0)
GOOD = AGENT.name(AGENT.run(NOW - timedelta(minutes=5), "abcdef"), 1000)
CONTENT = archive_of(1000, NOW)
LATEST = "raft-snapshot-9999-12-31T23-59-59Z-2359.snap"
NAMES = st.lists(hostile_names, min_size=1, max_size=12)
EMPTY = st.sampled_from([b"", b"x", b"{}", b"\xff\xfe"])
COMMANDS: dict[tuple[str, ...], set[int]] = {
    ("list",): {0},
    ("verify", "--all"): {0, 2, 3, 4},
    ("verify", "--latest"): {0},
    ("inspect", "--latest"): {0},
    ("fetch", "--latest", "--force", "-o", "fetched.snap"): {0},
    ("prune", "--dry-run"): {0, 6},
    ("prune",): {0, 6},
    ("prune", "--all", "--broken"): {0, 6},
    ("check",): {0, 1, 2},
    ("doctor",): {2, 3, 4, 6},
    ("restore", "--latest", "--yes"): {2},
}
"""With the exit codes that they may have: no server is there, so `doctor` and `restore` fail."""


@contextmanager
def site(names: list[str], content: bytes) -> Iterator[Path]:
    """Two folders with a good snapshot in each, and the names in the first."""
    with tempfile.TemporaryDirectory() as root:
        folders = [Path(root, "first"), Path(root, "second")]
        for folder in folders:
            folder.mkdir()
            (folder / GOOD).write_bytes(CONTENT)
            (folder / manifest_name(GOOD)).write_bytes(manifest_for(GOOD, CONTENT).to_json())
        for name in names:
            path = folders[0] / name
            if not path.exists():
                path.write_bytes(content)
        storages = [
            {"type": "local", "path": str(folder), "name": folder.name} for folder in folders
        ]
        config = {
            "vault": {"address": "http://127.0.0.1:1", "timeout": "1s"},
            "retention": {"last": 2, "daily": 3, "max_space": "1GiB"},
            "storages": storages,
            "spool": root,
        }
        Path(root, "config.json").write_text(json.dumps(config))
        yield Path(root)


def said(root: Path, command: tuple[str, ...]) -> tuple[int, str, str]:
    """Run a command in this process; only errors of the agent's own are allowed."""
    out, err = io.StringIO(), io.StringIO()
    arguments = [one.replace("fetched.snap", str(root / "fetched.snap")) for one in command]
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = app([*arguments, "-c", str(root / "config.json")], standalone_mode=False) or 0
        except AgentError as error:
            code = error.exit_code
            err.write(str(error))
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "t")
    monkeypatch.setenv("NO_COLOR", "1")


@settings(max_examples=2, suppress_health_check=[HealthCheck.too_slow])
@example(names=[LATEST], content=b"x")
@given(names=NAMES, content=EMPTY)
def test_every_command_passes_over_them(names: list[str], content: bytes) -> None:
    with site(names, content) as root:
        for command, codes in COMMANDS.items():
            code, out, err = said(root, command)
            assert code in codes, (command, names, out, err)
            if command[0] in {"list", "verify"} and "--latest" not in command:
                assert out.count(GOOD) >= 2, "what is in both storages is shown"
        for folder in ("first", "second"):
            assert (root / folder / GOOD).read_bytes() == CONTENT
            assert (root / folder / manifest_name(GOOD)).exists()
        assert (root / "fetched.snap").read_bytes() == CONTENT


@settings(max_examples=25)
@example(names=[LATEST], content=b"x")
@given(names=NAMES, content=EMPTY)
@pytest.mark.parametrize("fresh", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_a_run_among_them_keeps_its_own_history(
    fresh: bool, names: list[str], content: bytes
) -> None:
    async def live() -> None:
        one = Site(fresh=fresh)
        await one.run()
        for name in names:
            await one.add(name, content)
        for _ in range(3):
            done = await one.run()
            assert not any("manifest, and nothing" in why for why in done.warnings)
        assert await one.held() == {*one.good}
        for name in one.good:
            assert manifest_name(name) in await one.names()
        await one.destination.sweep(frozenset({"abcdef"}))
        await one.destination.current()

    anyio.run(live)


@given(name=hostile_names)
def test_a_name_is_dated_for_all_time_zones_or_foreign(name: str) -> None:
    for naming in (AGENT, SEED, Layout("raft-snapshot-", "2006-01-02T15-04-05Z-0700")):
        parsed = parse(name, naming)
        if parsed is None:
            assert name not in {one.name for one in catalogue([(name, 1)], naming)}
            continue
        for hours in (-14, 14):
            assert parsed.taken_at + timedelta(hours=hours)
