"""What the commands and the daemon's start make of a signing key."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.adversary.history import KEYS, Site, archive_of, manifest_for

from raft_snapshot_agent.backup.agent import Agent
from raft_snapshot_agent.cli.app import app
from raft_snapshot_agent.config.load import load_all
from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.naming import AGENT, manifest_name
from raft_snapshot_agent.destination.holdings import look_at
from raft_snapshot_agent.errors import AgentError, ConfigError, VerificationError

NOW = datetime.now(UTC).replace(microsecond=0)
KEY = "k" * 32


def named(hours: float, run: str = "abcdef") -> str:
    return AGENT.name(AGENT.run(NOW - timedelta(hours=hours), run), 1000)


async def stored() -> Site:
    """A storage with a signed one of five hours ago, and what others have added since."""
    site = Site(KEYS)
    for hours in (6, 5):
        told = KEYS.sign(manifest_for(named(hours), archive_of(1000)))
        await site.add(named(hours), archive_of(1000))
        await site.add(manifest_name(named(hours)), told.to_json())
    for minutes in range(5):
        await site.forge(named(minutes / 60, "bad000"), archive_of(1000))
        await site.add(named(minutes / 60, "bad001"), b"x")
    return site


async def test_freshness_goes_by_what_is_signed() -> None:
    site = await stored()

    holding = await look_at(site.destination, ScheduleSpec(Every(timedelta(hours=1))), NOW)

    assert holding.newest is not None
    assert holding.newest.name == named(5)
    assert holding.deadline is not None
    assert holding.deadline.is_missed(NOW)


async def test_nobody_can_make_a_slot_look_served(tmp_path: Path) -> None:
    cluster: Any = None
    agent = Agent(cluster, [(await stored()).destination], naming=AGENT, spool=tmp_path, deadline=1)

    assert max((await agent.list_taken())["memory"]) == NOW - timedelta(hours=5)


# The commands.


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """Two snapshots in a folder, one of them signed, and one with a signature of another key."""
    folder = tmp_path / "stored"
    folder.mkdir()
    other = type(KEYS)(b"o" * 32)
    for hours, keys in ((3, other), (2, KEYS), (1, None)):
        name, content = named(hours), archive_of(1000)
        told = manifest_for(name, content)
        told = told if keys is None else keys.sign(told)
        (folder / name).write_bytes(content)
        (folder / manifest_name(name)).write_bytes(told.to_json())
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    config = {
        "vault": {"address": "http://127.0.0.1:1"},
        "signing": {"key": f"file://{key}"},
        "storages": [{"type": "local", "path": str(folder)}],
        "spool": str(tmp_path),
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    return path


def said(*arguments: object) -> tuple[int, str]:
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()) as err:
        try:
            code = app([str(one) for one in arguments], standalone_mode=False) or 0
        except AgentError as error:
            return error.exit_code, str(error)
    return code, out.getvalue() + err.getvalue()


def rows(config: Path, *command: str, ends: int = 0) -> dict[str, dict[str, str]]:
    code, text = said(*command, "--format", "json", "-c", config)
    assert code == ends
    found = json.loads(text)
    return {Path(row.get("name") or row["snapshot"]).name: row for row in found}


def test_list_and_verify_say_what_is_signed(configured: Path) -> None:
    listed = rows(configured, "list")
    assert [listed[named(hours)]["state"] for hours in (1, 2, 3)] == [
        "unsigned",
        "signed",
        "the signature of its manifest is wrong",
    ]
    verified = rows(configured, "verify", "--all", ends=VerificationError.exit_code)
    assert [verified[named(hours)]["state"] for hours in (1, 2, 3)] == [
        "whole",
        "whole",
        "mismatch",
    ]
    assert verified[named(2)]["detail"] == "index 1000; signed with the agents' key"
    assert "; unsigned" in verified[named(1)]["detail"]
    wrong = verified[named(3)]["detail"]
    assert wrong.startswith("index 1000; the signature of its manifest is wrong (do not trust it")
    assert "signing.old_keys" in wrong
    assert not [*configured.parent.glob("*/*.mismatch")]  # the key may be the wrong one


def test_inspect_and_fetch_take_the_signed_one_and_say_so(configured: Path) -> None:
    code, text = said("inspect", "--latest", "-c", configured)
    assert code == 0
    assert named(2) in text
    assert "signed with the agents' key" in text
    target = configured.parent / "x.snap"
    code, text = said("fetch", "--latest", "-o", target, "-c", configured)
    assert code == 0
    assert "Proof: signed with the agents' key." in text


# The configuration.


@pytest.mark.parametrize(
    ("signing", "words"),
    [
        ({"key": "short"}, "signing: a signing key has at least 32 characters"),
        ({"key": KEY, "old_keys": ["short"]}, "signing: a signing key has at least 32"),
        ({"key": "env://NOWHERE_TO_BE_FOUND"}, "signing.key: the secret in environment variable"),
    ],
)
def test_a_key_that_is_none_is_told_where_it_stands(
    configured: Path, monkeypatch: pytest.MonkeyPatch, signing: dict[str, Any], words: str
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "t")
    document = json.loads(configured.read_text()) | {"signing": signing}
    configured.write_text(json.dumps(document))

    code, text = said("config", "check", "-c", configured)

    assert code == 1
    assert words in text
    assert "short" not in text


def test_the_key_is_shown_nowhere(configured: Path) -> None:
    document = json.loads(configured.read_text()) | {"signing": {"key": KEY}}
    configured.write_text(json.dumps(document))

    assert KEY not in said("config", "show", "-c", configured)[1]
    assert KEY not in said("list", "-c", configured)[1]


def test_two_clusters_have_two_keys(configured: Path) -> None:
    clusters = {name: {"vault": {"address": f"https://{name}:8200"}} for name in "ab"}
    configured.write_text(json.dumps({"clusters": clusters, "signing": {"key": KEY}}))

    with pytest.raises(ConfigError, match="the signing key is also used by the cluster a"):
        load_all(configured, {})
