"""The commands over SFTP, WebDAV and Swift: real servers on both ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.command import call
from tests.contract.destinations import Sftp, Swift, Webdav
from tests.stores.fixtures import Account, Served, Sshd
from tests.stores.running import PASSWORD

from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.servers.openbao import OpenBaoCluster


@pytest.fixture
def destinations(
    tmp_path: Path, sftp_server: Sshd, webdav: Served, swift_server: Account, container: str
) -> list[Sftp | Swift | Webdav]:
    return [
        Sftp(tmp_path / "sftp", tmp_path, sftp_server),
        Webdav(webdav, tmp_path),
        Swift(swift_server, container, tmp_path),
    ]


def configured(folder: Path, bao: OpenBaoCluster, storages: list[dict[str, Any]]) -> Path:
    path = folder / "config.json"
    auth = {"method": "token", "token": bao.root_token}
    vault = {"address": bao.leader().address, "auth": auth}
    document = {"vault": vault, "spool": str(folder), "storages": storages}
    path.write_text(json.dumps(document))
    return path


def test_a_snapshot_is_saved_listed_verified_and_pruned_everywhere(
    tmp_path: Path, bao: OpenBaoCluster, destinations: list[Sftp | Swift | Webdav]
) -> None:
    storages = [
        destination.settings("vault/", retention={"last": 1})
        | {"name": destination.settings()["type"]}
        for destination in destinations
    ]
    config = configured(tmp_path, bao, storages)
    for _ in range(2):
        ended = call("save", "--config", config)
        assert ended.code == 0, ended.talk
        assert PASSWORD not in ended.talk
    for storage, destination in zip(storages, destinations, strict=True):
        snapshot, manifest = sorted(destination.keys())
        assert manifest == manifest_name(snapshot)
        assert destination.pending() == []
        name = snapshot.removeprefix("vault/")
        assert name in call("list", "--config", config, "--storage", storage["name"]).text
        verified = call("verify", "--all", "--config", _only(tmp_path, bao, storage))
        assert verified.code == 0, verified.talk
        assert name in verified.text


def _only(folder: Path, bao: OpenBaoCluster, storage: dict[str, Any]) -> Path:
    alone = folder / f"only-{storage['name']}"
    alone.mkdir()
    return configured(alone, bao, [storage])


def test_one_server_that_fails_costs_the_others_nothing(
    tmp_path: Path, bao: OpenBaoCluster, destinations: list[Sftp | Swift | Webdav]
) -> None:
    good, bad, other = (destination.settings() for destination in destinations)
    config = configured(tmp_path, bao, [good, bad | {"password": "wrong-one"}, other])

    ended = call("save", "--config", config)

    assert ended.code == 3
    assert "webdav: cannot store" in ended.talk
    assert "wrong-one" not in ended.talk
    assert [len(destination.keys()) for destination in destinations] == [2, 0, 2]
