"""The way back out of every storage there is: a cluster that lost much has it again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.command import Ending, call
from tests.cluster.treasure import VERSIONS, Treasure
from tests.contract.destinations import S3, Place

from raft_snapshot_agent.core.naming import manifest_name
from raft_snapshot_agent.core.notes import RESTORED_NAME
from raft_snapshot_agent.core.snapshot import Sidecar
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster, prepare_agent

# One cluster for all of them, not one for each process of the tests.
pytestmark = pytest.mark.xdist_group("restore-from-everywhere")


class Kept:
    """A cluster with 200 secrets in it, and an agent that may read snapshots of it."""

    def __init__(self, cluster: OpenBaoCluster) -> None:
        self.cluster = cluster
        self.treasure = Treasure(cluster)
        self.approle: AppRole = prepare_agent(cluster)

    def lose(self) -> None:
        """Lose an engine with a hundred secrets, a policy, all of a secret, and what another was."""
        self.cluster.api("DELETE", "sys/mounts/old")
        self.cluster.api("DELETE", "sys/policies/acl/kept")
        self.cluster.api("DELETE", "secret/metadata/0")
        self.cluster.write_secret("1", {"value": "overwritten"})

    def missing(self) -> list[str]:
        return self.treasure.missing(self.cluster.nodes[0])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    with OpenBaoCluster.start(tmp_path_factory.mktemp("kept")) as cluster:
        yield Kept(cluster)


def command(kept: Kept, place: Place, *arguments: str) -> Ending:
    """Run a command of an agent with this one storage, as an operator who may restore."""
    approle = kept.approle
    auth = {"method": "approle", "role_id": approle.role_id, "secret_id": approle.secret_id}
    document = {
        "vault": {"address": kept.cluster.nodes[0].address, "auth": auth},
        "spool": str(place.spools),
        "storages": [place.settings("vault/") | {"name": "here"}],
    }
    file = place.spools.parent / "agent.json"
    file.write_text(json.dumps(document))
    ended = call(*arguments, "-c", file, env={"VAULT_TOKEN": kept.cluster.root_token})
    assert ended.code == 0, ended.talk
    return ended


def snapshots(place: Place) -> set[str]:
    return {path.name for path in map(Path, place.keys()) if path.suffix == ".snap"}


def test_what_was_lost_comes_back_from_a_bucket(kept: Kept, s3: S3) -> None:
    comes_back(kept, s3)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_what_was_lost_comes_back_from_it(kept: Kept, lasting_place: Place) -> None:
    comes_back(kept, lasting_place)


def comes_back(kept: Kept, place: Place) -> None:
    """Save into a place, lose much, restore from there: all is as it was, and so is the way back."""
    command(kept, place, "save")
    (name,) = snapshots(place)
    kept.lose()
    assert {"old/0", "secret/0", "policy"} <= {*kept.missing()}

    said = command(kept, place, "restore", name, "--storage", "here", "--yes").talk

    assert kept.missing() == []
    assert kept.cluster.read_secret("1") == {"value": f"1.{VERSIONS}"}
    (safety,) = snapshots(place) - {name}
    assert f"To undo: raft-snapshot-agent restore {safety}" in said
    beside = {path.name for path in map(Path, place.keys())} - {name, safety}
    notes = {manifest_name(name), manifest_name(safety), f"{safety}{Sidecar.HOLD}", RESTORED_NAME}
    assert notes <= beside
    assert [*place.spools.iterdir()] == []
