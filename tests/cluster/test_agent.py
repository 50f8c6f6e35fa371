"""The good path, on real clusters and into real storages."""

from __future__ import annotations

import gc
import json
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.conftest import StartBao
from tests.elections import standbys
from tests.faults.site import Running, Site
from tests.lying import LyingProxy

from raft_snapshot_agent import __version__
from raft_snapshot_agent.config.load import load
from raft_snapshot_agent.core.snapshots.naming import manifest_name, parse
from raft_snapshot_agent.core.snapshots.snapshot import Manifest
from raft_snapshot_agent.core.state.report import Outcome
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster, prepare_agent
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS
from raft_snapshot_agent.service import assembly
from raft_snapshot_agent.transfer.spool import Spool

LOCAL = "Successfully created local snapshot"


@pytest.fixture
def site(
    tmp_path: Path, seaweed: SeaweedFS, bucket: str, bao: OpenBaoCluster, approle: AppRole
) -> Iterator[Site]:
    with Site(tmp_path, seaweed, bucket, approle) as site:
        site.vault["address"] = bao.leader().address
        yield site


def test_both_places_get_the_same_bytes_and_a_manifest(site: Site, bao: OpenBaoCluster) -> None:
    before = bao.leader().request("GET", "sys/leader").document["raft_applied_index"]
    site.succeeds()
    files, objects = site.files(), site.objects()
    name = next(name for name in files if parse(name))
    beside = manifest_name(name)
    assert set(files) == set(objects) == {name, beside}
    assert files[name] == objects[name]

    manifest, snapshot = Manifest.from_json(files[beside]), site.stored()[0][name]
    seal = bao.leader().seal_status()
    assert manifest.snapshot == name
    assert (manifest.index, manifest.term) == (snapshot.meta.index, snapshot.meta.term)
    assert manifest.index >= before
    assert (manifest.size, manifest.sha256) == (len(files[name]), snapshot.sha256)
    assert (manifest.cluster_id, manifest.cluster_name) == (
        seal["cluster_id"],
        seal["cluster_name"],
    )
    assert (manifest.product, manifest.version) == ("openbao", seal["version"])
    assert (manifest.node, manifest.encryption) == (bao.leader().address, "none")
    assert manifest.agent_version == __version__
    age = datetime.now(UTC) - datetime.fromisoformat(manifest.taken_at)
    assert age.total_seconds() < 600
    parsed = parse(name)
    assert parsed is not None
    assert parsed.index == manifest.index
    assert parsed.taken_at == datetime.fromisoformat(manifest.taken_at)
    assert Manifest.from_json(objects[beside]).sha256 == manifest.sha256


def test_files_are_for_the_agent_alone(site: Site) -> None:
    site.succeeds()
    assert {path.stat().st_mode & 0o777 for path in site.folder.iterdir()} == {0o600}


def test_server_is_asked_once_for_all_storages(site: Site, bao: OpenBaoCluster) -> None:
    third = {**site.local, "name": "third", "path": str(site.root / "third")}
    site.more["storages"] = [site.local, site.s3, third]
    with LyingProxy(bao.leader().address) as server:
        site.behind(server)
        site.succeeds()
        assert len(server.snapshot_requests) == 1
        paths = [request.path for request in server.requests]
    assert paths[-1] == "/v1/auth/token/revoke-self"
    assert len(list((site.root / "third").iterdir())) == 2


def test_retention_by_count_is_each_storages_own(site: Site) -> None:
    site.more["retention"] = {"last": 2}
    site.s3["retention"] = {"last": 3}
    taken = []
    for _ in range(5):
        ending = site.run_once()
        assert ending.code == 0, ending.said
        taken += [name for name in site.names()[0] if name not in taken]
    assert site.names() == (taken[-2:], taken[-3:])
    assert len(site.files()) == 4
    assert len(site.keys()) == 6
    deleted = re.findall(r" Deleted old snapshot (\S+)  run=\w+ storage=(\w+)", ending.said)
    assert sorted(deleted) == sorted([(taken[2], "local"), (taken[1], "s3")])


def test_log_names_what_was_stored(site: Site) -> None:
    ending = site.succeeds()
    (name,) = site.names()[0]
    assert f" Successfully created local snapshot to {site.folder / name}  " in ending.said
    destination = f"s3://{site.bucket}/prod/{name}"
    assert f" Successfully created s3 snapshot to {destination}  " in ending.said


async def test_nothing_of_a_snapshot_is_held_until_the_next(site: Site) -> None:
    config = load(site.configuration(), {}).config
    agent = assembly.agent(config, assembly.destinations(config))
    assert (await agent.run_once()).outcome is Outcome.OK
    # A thread tells its result before it releases its work, so the last ones may still do that.
    until(lambda: not held_spools(), "every spool is released", within=30)
    assert agent.received == 0
    await agent.leave()


def held_spools() -> list[Spool]:
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, Spool)]


def seed_configuration(site: Site, node: OpenBaoNode, approle: AppRole) -> Path:
    """Write a `snapshot.json` as the original's README has it."""
    document = {
        "addr": node.address,
        "retain": 2,
        "frequency": "2s",
        "role_id": approle.role_id,
        "secret_id": approle.secret_id,
        "local_storage": {"path": str(site.folder)},
        "aws_storage": {
            "access_key_id": site.seaweed.access_key_id,
            "secret_access_key": site.seaweed.secret_access_key,
            "s3_endpoint": site.seaweed.endpoint,
            "s3_force_path_style": True,
            "s3_region": site.seaweed.region,
            "s3_bucket": site.bucket,
            "s3_key_prefix": "prod",
        },
    }
    path = site.root / f"{node.name}.json"
    path.write_text(json.dumps(document))
    return path


def stop(running: Running) -> None:
    running.process.send_signal(signal.SIGTERM)
    assert running.ended().code == 0, running.said


def test_original_configuration_command_and_log(
    bao3: StartBao, tmp_path: Path, seaweed: SeaweedFS, bucket: str
) -> None:
    cluster = bao3()
    approle = prepare_agent(cluster)
    leader, (standby, _) = cluster.leader(), standbys(cluster)
    with ExitStack() as stack:
        site = stack.enter_context(Site(tmp_path, seaweed, bucket, approle))
        agents = []
        for node in (leader, standby):
            configuration = seed_configuration(site, node, approle)
            command = ["vault_raft_snapshot_agent", str(configuration)]
            agents.append(stack.enter_context(Running(tmp_path, command)))
        working, skipping = agents
        stored = "Successfully created aws snapshot"  # the original's word for S3
        until(lambda: working.said.count(stored) > 2, "3", within=60)
        skipping.says(" Not running on leader node, skipping.")
        for agent in agents:
            stop(agent)
        assert "Successfully" not in skipping.said
        assert "skipping" not in working.said

        line = re.compile(rf" Successfully created local snapshot to ({tmp_path}/\S+)  ")
        paths = [Path(path) for path in line.findall(working.said)]
        assert all(re.fullmatch(r"raft_snapshot-\d{19}\.snap", path.name) for path in paths)
        assert set(site.names()[0]) == {path.name for path in paths[-2:]}
        assert site.names()[0] == site.names()[1]
        assert [site.files()[name] for name in site.names()[0]] == [
            site.objects()[name] for name in site.names()[0]
        ]
        assert site.leftovers() == []


def test_one_of_three_agents_works_and_the_next_goes_on(
    bao3: StartBao, tmp_path: Path, seaweed: SeaweedFS, bucket: str
) -> None:
    cluster = bao3()
    leader = cluster.leader()
    with ExitStack() as stack:
        site = stack.enter_context(Site(tmp_path, seaweed, bucket, prepare_agent(cluster)))
        site.more["schedule"] = {"every": "2s"}
        agents: dict[str, Running] = {}
        for node in cluster.nodes:
            site.vault["address"] = node.address
            command = ["raft-snapshot-agent", "run", "-c"]
            command.append(str(site.configuration(f"{node.name}.yaml")))
            agents[node.address] = stack.enter_context(Running(tmp_path, command))
        working = agents.pop(leader.address)
        until(lambda: working.said.count(LOCAL) > 1, "two snapshots", within=60)
        for agent in agents.values():
            agent.says(" Not running on leader node, skipping.")
            assert LOCAL not in agent.said
        leader.kill()
        next_one = agents.pop(cluster.leader().address)
        next_one.says(LOCAL, within=60)
        (idle,) = agents.values()
        for agent in (working, next_one, idle):
            stop(agent)
        assert LOCAL not in idle.said
        assert "Snapshot failed: " in working.said
        assert "Traceback" not in working.said + next_one.said + idle.said
        sources = {
            Manifest.from_json(content).node
            for name, content in site.files().items()
            if name.endswith(".json")
        }
        assert sources == {leader.address, cluster.leader().address}
        assert site.names()[0] == site.names()[1]
        assert site.leftovers() == []
