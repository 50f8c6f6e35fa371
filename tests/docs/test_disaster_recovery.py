"""The runbooks, typed as they are written, on real servers: what they show is what is seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cluster.closed import closed_in
from tests.conftest import StartBao
from tests.docs.runbook import Host, blocks, obeyed, shows
from tests.elections import standbys

from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.openbao import OpenBaoCluster
from raft_snapshot_agent.servers.process import until

__all__ = ["closed_in"]


def test_the_wrong_cluster(bao: OpenBaoCluster, tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.configure(bao)
    name = host.save()
    manifest = tmp_path / "snapshots" / f"{name}.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "cluster_id": "another"}))

    (commands,), (text,) = (blocks("The wrong cluster", kind) for kind in ("sh", "text"))
    shows(host.type(commands, code=1, SNAPSHOT=name), text)


@pytest.mark.soak
def test_under_attack(bao: OpenBaoCluster, tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.configure(bao)
    before = host.save()
    bao.api("PUT", "sys/policies/acl/intruder", {"policy": 'path "*" { capabilities = ["sudo"] }'})
    after = host.save()

    looking, comparing = blocks("A restore under attack", "sh")
    (text,) = blocks("A restore under attack", "text")
    shows(host.type(looking), text)
    assert "policies" in host.type(comparing, BEFORE=before, AFTER=after)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_the_restore_itself_was_wrong(start_bao: StartBao, tmp_path: Path) -> None:
    bao = start_bao()
    host = Host(tmp_path)
    bao.write_secret("app", {"value": "old"})
    host.configure(bao)
    wrong = host.save()
    bao.write_secret("app", {"value": "new"})

    restore, back = blocks("The restore itself was wrong", "sh")
    (text,) = blocks("The restore itself was wrong", "text")
    shows(host.type(restore, WRONG=wrong), text)
    assert bao.read_secret("app") == {"value": "old"}
    (note,) = (tmp_path / "snapshots").glob("*.hold")
    assert "held" in host.type(back, SAFETY=note.name.removesuffix(".hold"))
    assert bao.read_secret("app") == {"value": "new"}


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_one_secret_lost(bao: OpenBaoCluster, closed_in: Path, tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.variables["KEY"] = bao.unseal_keys[0]
    bao.write_secret("app/db", {"password": "old"})
    host.configure(bao, drill={"unseal": {"keys": ["env://KEY"]}})
    host.save()
    bao.write_secret("app/db", {"password": "new"})

    (commands,), (text,) = (blocks("One secret lost", kind) for kind in ("sh", "text"))
    shows(host.type(commands), text)
    assert bao.read_secret("app/db") == {"password": "old"}


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_lost_cluster(start_bao: StartBao, tmp_path: Path) -> None:
    lost = start_bao(shares=3, threshold=2)
    host = Host(tmp_path)
    lost.write_secret("app", {"value": "kept"})
    host.configure(lost)
    host.save()
    fresh = start_bao()
    (node,) = fresh.nodes
    file = Path(host.variables["RAFT_SNAPSHOT_AGENT_CONFIG"])
    file.write_text(file.read_text().replace(lost.leader().address, node.address))
    lost.stop()
    tokens = {"NEW_ROOT_TOKEN": fresh.root_token, "OLD_TOKEN": lost.root_token}

    restore, unseal, look = blocks("A lost cluster", "sh")
    restored, doctor = blocks("A lost cluster", "text")
    host.variables |= {"VAULT_ADDR": node.address, **tokens}
    shows(host.type(restore), restored)
    with obeyed(host, {"restart": node.restart}):
        host.type(unseal, KEYS=" ".join(lost.unseal_keys[:2]))
    node.wait_active()
    shows(host.type(look), doctor)
    secret = node.api("GET", "secret/data/app", token=lost.root_token)
    assert secret["data"]["data"] == {"value": "kept"}


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_lost_node(bao3: StartBao, tmp_path: Path) -> None:
    bao = bao3()
    host = Host(tmp_path)
    bao.write_secret("app", {"value": "kept"})
    lost = standbys(bao)[0]
    lost.kill()
    new = OpenBaoNode("new", tmp_path / "new")
    try:
        new.start()
        host.variables = {
            "VAULT_ADDR": bao.leader().address,
            "VAULT_TOKEN": bao.root_token,
            "LOST_NODE_ID": lost.name,
            "NEW_ADDR": new.address,
            "KEYS": " ".join(bao.unseal_keys),
        }
        (text,) = blocks("A lost node", "text")
        remove, join = blocks("A lost node", "sh")
        shows(host.type(remove, join), text)
        until(lambda: "new" in host.type("vault operator raft list-peers"), "it is in", within=60)
        assert lost.name not in host.type("vault operator raft list-peers")
        assert bao.read_secret("app") == {"value": "kept"}
    finally:
        new.discard()


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_lost_quorum(bao3: StartBao, tmp_path: Path) -> None:
    bao = bao3()
    host = Host(tmp_path)
    bao.write_secret("app", {"value": "kept"})
    left, *others = (bao.leader(), *standbys(bao))
    for node in others:
        node.kill()
    host.variables = {
        "VAULT_ADDR": left.address,
        "VAULT_TOKEN": bao.root_token,
        "DATA": str(left.folder / "data"),
        "NODE_ID": left.name,
        "CLUSTER_ADDRESS": left.cluster_address.removeprefix("https://"),
        "KEYS": " ".join(bao.unseal_keys),
    }
    (commands,), (text,) = (blocks("A lost quorum", kind) for kind in ("sh", "text"))
    *commands_before, look = commands.strip().splitlines()
    with obeyed(host, {"stop": left.stop, "start": left.start}):
        host.type("\n".join(commands_before))
    left.wait_active()
    shows(host.type(look), text)
    secret = left.api("GET", "secret/data/app", token=bao.root_token)
    assert secret["data"]["data"] == {"value": "kept"}


def test_what_an_older_server_is_told_is_what_is_said() -> None:
    """The words themselves are tried in tests/cluster/test_restore_safety.py."""
    (text,) = blocks("An older version", "text")
    source = Path(__file__).parents[2] / "src/raft_snapshot_agent/restore/target.py"
    for words in ("and the snapshot was taken from", "a server reads nothing that a newer one"):
        assert words in text
        assert words in source.read_text()
