"""A cluster is lost with all its nodes, and comes back in a fresh one."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cluster.command import Terminal, call
from tests.cluster.field import Field
from tests.cluster.treasure import Treasure
from tests.conftest import StartBao

from raft_snapshot_agent.servers.openbao import OpenBaoCluster, prepare_agent
from raft_snapshot_agent.servers.process import until

SHARES = {"shares": 3, "threshold": 2}


class Lost:
    """A cluster that is no more: what it held, a snapshot of it, and its keys."""

    def __init__(self, cluster: OpenBaoCluster, folder: Path) -> None:
        self.treasure = Treasure(cluster)
        self.snapshot = folder / "lost.snap"
        login = {"VAULT_ADDR": cluster.leader().address, "VAULT_TOKEN": cluster.root_token}
        assert call("save", self.snapshot, env=login).code == 0
        self.keys = dict(zip(("K1", "K2", "K3"), cluster.unseal_keys, strict=True))
        cluster.stop()

    @property
    def options(self) -> list[str]:
        return [one for name in ("K3", "K1") for one in ("--unseal-key", f"env://{name}")]


@pytest.fixture
def lost(start_bao: StartBao, tmp_path: Path) -> Lost:
    return Lost(start_bao(**SHARES), tmp_path)


def fresh_field(cluster: OpenBaoCluster, lost: Lost, tmp_path: Path, stack: ExitStack) -> Field:
    there = Field(cluster, prepare_agent(cluster), tmp_path / "agent", more=lost.keys)
    there.hide(stack)
    return there


def restore_into(there: Field, lost: Lost) -> str:
    """Restore by force, restart each node when that is asked for, and return what was said."""
    how = ["--force", "--yes", "--no-safety", "--wait", "10m", *lost.options]
    where = "-c", there.configuration()
    with Terminal("restore", lost.snapshot, *how, *where, env=there.operator) as terminal:
        for node in there.cluster.nodes:
            address = there.before(node).address
            terminal.shows(f"{address} still expects the keys it had before: restart it now")
        for node in there.cluster.nodes:
            node.restart()
        assert terminal.ended() == 0, terminal.shown
        assert not any(key in terminal.shown for key in lost.keys.values())
        return terminal.shown


def test_all_comes_back_in_a_fresh_node(lost: Lost, start_bao: StartBao, tmp_path: Path) -> None:
    with ExitStack() as stack:
        there = fresh_field(start_bao(), lost, tmp_path, stack)

        few = "2 of 3 unseal keys open the snapshot's cluster, and 1 given (add --unseal-key"
        there.refuses(1, few, lost.snapshot, "--force", "--unseal-key", "env://K1")
        said = restore_into(there, lost)

        assert "have the snapshot's unseal keys (2 of 3) at hand" in said
        assert "Restored and unsealed. Tokens and logins are those of the cluster" in said
        (node,) = there.cluster.nodes
        assert f"{there.before(node).address}: active: nothing to do." in said
        assert lost.treasure.missing(node) == []


@pytest.mark.soak
def test_a_snapshot_from_before_a_seal_migration_needs_the_seal_of_before(
    start_bao: StartBao, tmp_path: Path
) -> None:
    cluster = start_bao(**SHARES)
    (node,) = cluster.nodes
    operator = {"VAULT_ADDR": node.address, "VAULT_TOKEN": cluster.root_token}
    before = tmp_path / "before.snap"
    assert call("save", before, env=operator).code == 0
    shamir, key = node.options, secrets.token_hex(32)
    seal = {"seal": {"static": {"current_key_id": "k1", "current_key": key}}}
    node.options = replace(shamir, server={**shamir.server, **seal})
    node.restart()
    for share in cluster.unseal_keys[:2]:
        node.api("PUT", "sys/unseal", {"key": share, "migrate": True})
    node.wait_active()
    options = ("--yes", "--no-safety")

    refused = call("restore", before, *options, env=operator)
    forced = call("restore", before, *options, "--force", env=operator)

    assert refused.code == 2
    difference = (
        "2 of 3 unseal keys open the snapshot's cluster, and the servers use the seal static"
    )
    assert f"refuses the snapshot: {difference}; nothing was changed (" in refused.talk
    assert forced.code == 3
    assert f"{node.address}: active: its seal is not the snapshot's: remove the seal (static)" in (
        forced.talk
    )
    assert f"the nodes cannot be unsealed after a restart: {difference}" in forced.talk
    node.options = shamir
    node.restart()
    node.unseal(cluster.unseal_keys)
    node.wait_active()


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_all_comes_back_in_three_fresh_nodes(lost: Lost, bao3: StartBao, tmp_path: Path) -> None:
    with ExitStack() as stack:
        there = fresh_field(bao3(), lost, tmp_path, stack)
        said = restore_into(there, lost)

        for node in there.cluster.nodes:
            assert f"{there.before(node).address} is unsealed." in said
        assert "Restored and unsealed." in said
        assert said.count(": active: nothing to do.") == 1
        assert "Checks with the agent's own login:" in said
        leader = there.cluster.leader()
        assert lost.treasure.missing(leader) == []
        until(
            lambda: all(not node.seal_status()["sealed"] for node in there.cluster.nodes),
            "all are open",
            within=60,
        )
