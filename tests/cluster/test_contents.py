"""What a real server's snapshots hold, and how two of them differ."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
from tests.cluster.command import call

from raft_snapshot_agent.servers.openbao import OpenBaoCluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with OpenBaoCluster.start(tmp_path_factory.mktemp("contents")) as started:
        yield started


@pytest.fixture(scope="module")
def snapshots(cluster: OpenBaoCluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One snapshot before a day's work, and one after."""
    folder = tmp_path_factory.mktemp("snapshots")
    cluster.api("POST", "sys/mounts/plain", {"type": "kv"})
    cluster.api("POST", "sys/mounts/gone", {"type": "kv"})
    for number in range(30):
        cluster.write_secret(f"app/{number}", {"a": number})
        cluster.api("POST", f"plain/app/{number}", {"a": number})
        cluster.api("POST", f"gone/{number}", {"a": number})
    (folder / "before.snap").write_bytes(_snapshot(cluster))
    for number in range(20):
        cluster.api("POST", f"plain/app/{number}", {"a": "changed"})
    for number in range(25, 30):
        cluster.api("DELETE", f"plain/app/{number}")
    for number in range(7):
        cluster.api("POST", f"plain/new/{number}", {"a": number})
    for _ in range(12):
        cluster.api("POST", "auth/token/create", {"ttl": "1h"})
    cluster.api("DELETE", "sys/mounts/gone")
    (folder / "after.snap").write_bytes(_snapshot(cluster))
    return folder


@pytest.fixture(scope="module")
def mounts(cluster: OpenBaoCluster, snapshots: Path) -> Callable[[str], str]:
    """Return where a mount's keys begin, by its path."""
    del snapshots
    told = cluster.api("GET", "sys/mounts")["data"]
    return lambda path: f"logical/{told[f'{path}/']['uuid']}/"


def _snapshot(cluster: OpenBaoCluster) -> bytes:
    with urllib3.PoolManager() as pool:
        answer = pool.request(
            "GET",
            f"{cluster.leader().address}/v1/sys/storage/raft/snapshot",
            headers={"X-Vault-Token": cluster.root_token},
        )
    assert answer.status == 200
    return answer.data


def test_inspect_counts_by_mount(snapshots: Path, mounts: Callable[[str], str]) -> None:
    told = call("inspect", snapshots / "before.snap", "--format", "json").document
    held = {one["path"]: one for one in told["contents"]["mounts"]}
    assert held[mounts("plain")]["keys"] == 30
    assert held[mounts("secret")]["engine"] == "kv version 2"
    assert held["sys/policy/"]["kind"] == "policies"
    assert (told["leases"], told["tokens"]) == (0, 1)
    after = call("inspect", snapshots / "after.snap", "--format", "json").document
    assert (after["leases"], after["tokens"]) == (12, 13)
    assert sum(one["keys"] for one in after["contents"]["mounts"]) == after["keys"]
    assert sum(one["bytes"] for one in after["contents"]["mounts"]) == after["contents"]["bytes"]


def test_inspect_counts_by_prefix(snapshots: Path, mounts: Callable[[str], str]) -> None:
    plain, file = mounts("plain"), snapshots / "after.snap"
    told = call("inspect", file, "--filter", plain, "--depth", "3", "--format", "json").document
    assert {one["prefix"]: one["keys"] for one in told["contents"]["prefixes"]} == {
        f"{plain}app/": 25,
        f"{plain}new/": 7,
    }
    shown = call("inspect", file, "--filter", plain).text
    assert [line.split()[:2] for line in shown.splitlines() if line.startswith(plain)] == [
        [f"{plain}app/", "25"],
        [f"{plain}new/", "7"],
    ]


def test_diff_counts_what_was_added_changed_and_removed(
    snapshots: Path, mounts: Callable[[str], str]
) -> None:
    before, after = snapshots / "before.snap", snapshots / "after.snap"
    told = {one["path"]: one for one in call("diff", before, after, "--format", "json").document}
    plain = told[mounts("plain")]
    assert [plain[what] for what in ("added", "changed", "removed", "unchanged")] == [7, 20, 5, 5]
    assert [one["removed"] for one in told.values() if one["removed"] >= 30] == [30]
    assert told[mounts("secret")]["unchanged"] > 30
    assert told["sys/expire/"]["added"] == 12
    back = {one["path"]: one for one in call("diff", after, before, "--format", "json").document}
    assert back[mounts("plain")]["bytes"] == -plain["bytes"]

    rows = [line.split() for line in call("diff", before, after).text.splitlines()]
    assert [row[2:5] for row in rows if row[1] == mounts("plain")] == [["7", "20", "5"]]
    assert mounts("secret") not in {row[1] for row in rows}


def test_a_snapshot_does_not_differ_from_itself(snapshots: Path) -> None:
    file = snapshots / "before.snap"
    ended = call("diff", file, "-", stdin=file.read_bytes())
    assert (ended.code, ended.text) == (0, "")
    assert ended.talk == "They hold the same keys with the same values.\n"


@pytest.mark.parametrize("broken", ["before", "after"])
def test_diff_compares_the_copy_of_another_storage_if_one_is_broken(
    snapshots: Path, tmp_path: Path, broken: str
) -> None:
    names = {}
    for name in ("before", "after"):
        content = (snapshots / f"{name}.snap").read_bytes()
        index = call("inspect", snapshots / f"{name}.snap", "--format", "json").document["index"]
        names[name] = f"raft-snapshot-20261124T153000Z-i{index}-0a1b2c.snap"
        for storage in ("a", "b"):
            (tmp_path / storage).mkdir(exist_ok=True)
            cut = 100 if (storage, name) == ("a", broken) else 0
            (tmp_path / storage / names[name]).write_bytes(content[: len(content) - cut])
    places = [{"name": one, "type": "local", "path": str(tmp_path / one)} for one in ("a", "b")]
    file = tmp_path / "agent.json"
    file.write_text(json.dumps({"storages": places}))

    ended = call("diff", names["before"], names["after"], "-c", file)

    assert ended.code == 0, ended.talk
    assert ended.text == call("diff", *(snapshots / f"{one}.snap" for one in names)).text
    (warning,) = ended.talk.splitlines()
    assert f"{tmp_path / 'b' / names[broken]} is whole, and is used" in warning
    piped = (snapshots / "after.snap").read_bytes()
    once = call("diff", names["before"], "-", "-c", file, stdin=piped)
    assert once.code == (4 if broken == "before" else 0), "standard input is read once"


def test_bad_input_is_one_line(snapshots: Path, tmp_path: Path) -> None:
    file, cut = snapshots / "before.snap", tmp_path / "cut.snap"
    cut.write_bytes(file.read_bytes()[:-100])
    for arguments, code, words in (
        (("diff", file, cut), 4, f"error: {cut}: the snapshot is broken"),
        (("diff", cut, file), 4, f"error: {cut}: the snapshot is broken"),
        (("inspect", cut, "--depth", "2"), 4, f"error: {cut}: the snapshot is broken"),
        (("diff", "-", "-"), 1, "error: standard input holds one snapshot, not two"),
        (("diff", file, tmp_path / "none.snap"), 1, "error: cannot read"),
        (("inspect", file, "--depth", "0"), 1, "error: "),
    ):
        ended = call(*arguments)
        assert (ended.code, ended.data) == (code, b""), ended.error
        assert ended.error.startswith(words), ended.error
        assert ended.error.count("\n") == 1, ended.error
