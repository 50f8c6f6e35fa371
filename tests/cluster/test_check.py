"""`check` as a monitoring system runs it, and what it notices that no agent tells."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.adversary.history import manifest_for
from tests.cluster.command import AGENT, Ending, call, environment
from tests.conftest import StartBao
from tests.contract.destinations import S3

from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster, prepare_agent
from raft_snapshot_agent.servers.process import ServerProcess, until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

NOWHERE = "http://127.0.0.1:1"


def configured(folder: Path, storages: list[dict[str, Any]], **more: Any) -> Path:
    file = folder / "config.json"
    vault = {"address": NOWHERE}
    file.write_text(json.dumps({"vault": vault, "storages": storages, **more}))
    return file


def local(folder: Path, *ages: timedelta, **more: Any) -> dict[str, Any]:
    """A folder with snapshots of these ages, each with a manifest."""
    folder.mkdir(exist_ok=True)
    for age in ages:
        moment = datetime.now(UTC) - age
        name = f"raft-snapshot-{moment:%Y%m%dT%H%M%SZ}-i7-0a1b2c.snap"
        (folder / name).write_bytes(b"snapshot")
        manifest = replace(manifest_for(name, b"snapshot"), duration=0.0)
        (folder / f"{name}.json").write_bytes(manifest.to_json())
    return {"type": "local", "path": str(folder), **more}


def checked(file: Path, *arguments: str) -> tuple[int, str]:
    ending = call("check", "-c", file, *arguments)
    assert ending.talk == ""
    assert ending.text.count("\n") == 1
    return ending.code, ending.text.strip()


def test_a_fresh_snapshot_is_ok_without_server_and_login(tmp_path: Path) -> None:
    file = configured(tmp_path, [local(tmp_path / "a", timedelta(minutes=12))])
    code, line = checked(file)
    assert code == 0
    assert line.startswith("RAFT SNAPSHOTS OK - local: 12m")
    assert "| age_local=7" in line
    assert line.endswith("s;;5400;0")


def test_each_storage_is_looked_at_and_one_can_be_chosen(tmp_path: Path) -> None:
    fresh = local(tmp_path / "a", timedelta(minutes=12), name="fresh")
    old = local(tmp_path / "b", timedelta(days=390), name="old")
    file = configured(tmp_path, [fresh, old])
    code, line = checked(file)
    assert code == 2
    assert line.startswith("RAFT SNAPSHOTS CRITICAL - old: 390d old, at most 1h30m; fresh: 12m")
    assert checked(file, "--storage", "fresh")[0] == 0
    assert checked(file, "--storage", "fresh", "--storage", "old")[0] == 2
    assert checked(file, "--max-age", "400d")[0] == 0
    relaxed = configured(tmp_path, [fresh, {**old, "required": False}])
    assert checked(relaxed)[0] == 1


def test_nothing_stored_is_critical(tmp_path: Path) -> None:
    file = configured(tmp_path, [local(tmp_path / "a")])
    assert checked(file) == (2, "RAFT SNAPSHOTS CRITICAL - local: no snapshot")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--max-age", "2"), "'2' is not a duration"),
        (("--max-age", "-2h"), "--max-age"),
        (("--max-age", "0s"), "must be longer than zero"),
        (("--max-age",), "requires an argument"),
        (("--bogus",), "No such option: --bogus"),
        (("more",), "more"),
        (("--storage", "s4"), "no storage is called 's4' (there are: local)"),
        (("--cluster", "prod"), "no cluster is called 'prod'"),
        (("-c", "/nonexistent.yaml"), "--config' / '-c': give it once"),
    ],
)
def test_what_is_wrong_with_the_arguments_is_unknown(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    file = configured(tmp_path, [local(tmp_path / "a", timedelta(minutes=1))])
    code, line = checked(file, *arguments)
    assert code == 3
    assert line.startswith("RAFT SNAPSHOTS UNKNOWN - ")
    assert told in line


def test_a_file_that_is_missing_is_unknown() -> None:
    code, line = checked(Path("/nonexistent.yaml"))
    assert code == 3
    assert line.startswith("RAFT SNAPSHOTS UNKNOWN - ")
    assert "/nonexistent.yaml" in line


@pytest.mark.parametrize(
    "document", ["storages: [{type: local}]", "vault: {", "vault: {address: http://127.0.0.1:1}"]
)
def test_a_wrong_configuration_is_unknown(tmp_path: Path, document: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(document)
    code, line = checked(file)
    assert (code, line.startswith("RAFT SNAPSHOTS UNKNOWN - ")) == (3, True)
    ending = call("check", "-c", file, "--format", "json")
    assert (ending.code, ending.document["status"]) == (3, "UNKNOWN")
    assert ending.document["storages"] == []


def test_a_folder_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    file = configured(tmp_path, [{"type": "local", "path": str(tmp_path / "missing")}])
    code, line = checked(file)
    assert (code, "missing" in line) == (3, True)
    assert not (tmp_path / "missing").exists()


def test_all_clusters_are_one_answer(tmp_path: Path) -> None:
    clusters = {
        "prod": local(tmp_path / "a", timedelta(minutes=1)),
        "test": local(tmp_path / "b", timedelta(days=2)),
    }
    parts = {
        name: {"vault": {"address": f"http://{name}:1"}, "storages": [storage]}
        for name, storage in clusters.items()
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"clusters": parts}))
    code, line = checked(file)
    assert code == 2
    assert line.startswith("RAFT SNAPSHOTS CRITICAL - test/local: 2d old")
    assert "prod/local: 1m" in line
    assert " age_prod/local=" in line
    assert checked(file, "--cluster", "prod")[0] == 0
    document = call("check", "-c", file, "--format", "json").document
    assert [one["cluster"] for one in document["storages"]] == ["prod", "test"]


def test_a_store_with_a_wrong_key_is_unknown(
    seaweed: SeaweedFS, bucket: str, tmp_path: Path
) -> None:
    destination = S3(seaweed, bucket, tmp_path)
    file = configured(tmp_path, [destination.settings()])
    assert checked(file) == (2, "RAFT SNAPSHOTS CRITICAL - s3: no snapshot")
    configured(tmp_path, [destination.settings(secret_access_key="wrong-one-wrong-one")])
    code, line = checked(file)
    assert code == 3
    assert "wrong-one" not in line


def agent_of(bao: OpenBaoCluster, approle: AppRole, address: str, folder: Path) -> Path:
    ids = {"role_id": approle.role_id, "secret_id": approle.secret_id}
    vault = {"address": address, "auth": {"method": "approle", **ids}}
    return configured(
        folder, [local(folder / "store")], vault=vault, spool=str(folder), schedule={"every": "2s"}
    )


def test_a_lone_agent_beside_a_standby_is_noticed(bao3: StartBao, tmp_path: Path) -> None:
    """It skips for ever, with exit code 0 and no warning; what is not stored is what tells."""
    cluster = bao3()
    standby = next(node for node in cluster.nodes if node is not cluster.leader())
    file = agent_of(cluster, prepare_agent(cluster), standby.address, tmp_path)
    log = tmp_path / "agent.log"
    agent = ServerProcess("agent", [*AGENT, "run", "-c", str(file)], log, environment())
    agent.start()
    try:
        until(lambda: "skipping" in log.read_text().lower(), "the agent skips", within=60.0)
        code, line = checked(file, "--max-age", "2s")
        assert (code, line) == (2, "RAFT SNAPSHOTS CRITICAL - local: no snapshot")
        taken = call("save", "-c", file)
        assert taken.code == 0, taken.talk
        assert checked(file, "--max-age", "1h")[0] == 0
        until(lambda: _late(file), "the one by hand grows old", within=60.0)
        agent.check()
    finally:
        agent.kill()


def _late(file: Path) -> bool:
    time.sleep(0.5)
    return checked(file, "--max-age", "3s")[0] == 2


def test_help_is_help(tmp_path: Path) -> None:
    ending: Ending = call("check", "--help")
    assert (ending.code, "3 UNKNOWN" in ending.text) == (0, True)
