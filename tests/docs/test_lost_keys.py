"""The runbooks for keys that are lost, typed as they are written, on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import quote

import pytest
from tests.cluster.closed import closed_in
from tests.conftest import StartBao
from tests.docs.runbook import Host, blocks, obeyed, shows

from raft_snapshot_agent.errors import ServerError
from raft_snapshot_agent.servers.answers import Initialised
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.node_options import NodeOptions
from raft_snapshot_agent.servers.openbao import OpenBaoCluster
from raft_snapshot_agent.servers.process import until

__all__ = ["closed_in"]

ODD: dict[str, dict[str, Any]] = {
    "a&b": {"<&>": "\u2028 <&>", "a": '"\\', "port": 1, "none": None, "list": [1.5, {}]},
    "a&b/q\"uote d's/schlüssel\\%41#?": {"ü": "$(id) `id` \\n\n", "a": "@/etc/hostname"},
    "data": {"data": "a field", "metadata": {"version": 1}},
}
"""Secrets that a shell, JSON or the command line reads as something else."""
CANCEL = "vault operator rotate-keys -cancel"


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_lost_unseal_keys(start_bao: StartBao, closed_in: Path, tmp_path: Path) -> None:
    bao, new = start_bao(shares=3, threshold=2), start_bao(shares=3, threshold=2)
    host = Host(tmp_path)
    secrets: dict[str, dict[str, Any]] = {
        "app/db": {"password": "ke pt\n", "port": 1},
        "1": {"a": '"'},
    }
    for path, data in secrets.items():
        bao.write_secret(path, data)
    host.variables |= {"NEW_ADDR": new.nodes[0].address, "NEW_TOKEN": new.root_token}
    host.configure(bao, drill={"unseal": {"keys": ["env://KEY_1", "env://KEY_2"]}})
    host.save()
    rotate, drill, write_out = blocks("Lost unseal keys", "sh")
    rotated, wrong, other, copied = blocks("Lost unseal keys", "text")

    shows(host.type(rotate, code=2, KEYS=" ".join(new.unseal_keys[:2])), wrong)
    shows(host.type(CANCEL, rotate, KEYS=bao.unseal_keys[0]), "Progress 1/2")
    bao.write_secret("gone", {"a": 1})
    bao.api("DELETE", "secret/data/gone")
    shows(host.type(write_out), copied)
    assert {path: new.read_secret(path) for path in secrets} == secrets
    host.variables |= keys(new)
    shows(host.type(drill, code=4), other)
    host.variables |= keys(bao)
    shows(host.type(drill), "passed yes")
    shows(host.type(CANCEL, rotate, KEYS=" ".join(bao.unseal_keys[:2])), rotated)


@pytest.mark.soak
@pytest.mark.parametrize("versions", [("2", "2"), ("1", "2")])
def test_every_secret_is_copied_or_named(
    bao: OpenBaoCluster, start_bao: StartBao, tmp_path: Path, versions: tuple[str, str]
) -> None:
    new = start_bao()
    host = Host(tmp_path)
    host.variables |= {"VAULT_ADDR": bao.nodes[0].address, "VAULT_TOKEN": bao.root_token}
    host.variables |= {"NEW_ADDR": new.nodes[0].address, "NEW_TOKEN": new.root_token}
    old_engine, new_engine = mount(bao, new, versions)
    for path, data in ODD.items():
        old_engine.write(path, data)
    old_engine.write("trailing ", {"a": "b"})
    deleted = []
    if old_engine.version == "2":
        old_engine.write("gone", {"a": "b"})
        bao.api("DELETE", f"{old_engine.name}/data/gone")
        deleted = [f"deleted: {old_engine.name}/gone"]

    copy = blocks("Lost unseal keys", "sh")[-1].replace("secret/", f"{old_engine.name}/")
    said = host.type(copy, code=1).splitlines()

    assert {path: new_engine.read(path) for path in ODD} == ODD
    assert [one for one in said if one.startswith("deleted: ")] == deleted
    lost = [one for one in said if one.startswith("NOT ")]
    assert len(lost) == 1
    assert lost[0].endswith(f": {old_engine.name}/trailing ")
    total = len(ODD) + len(deleted) + 1
    assert f"{len(ODD)} of {total} are the same in the new cluster" in said


@dataclass(frozen=True, slots=True)
class Engine:
    """A KV engine, spoken to without a command line in between."""

    cluster: OpenBaoCluster
    name: str
    version: str

    def write(self, path: str, data: dict[str, Any]) -> None:
        self.cluster.api("POST", self._at(path), {"data": data} if self.version == "2" else data)

    def read(self, path: str) -> Any:
        data = self.cluster.api("GET", self._at(path))["data"]
        return data["data"] if self.version == "2" else data

    def _at(self, path: str) -> str:
        return quote(f"{self.name}/{'data/' if self.version == '2' else ''}{path}")


def mount(old: OpenBaoCluster, new: OpenBaoCluster, versions: tuple[str, str]) -> list[Engine]:
    """Enable an engine in two clusters under the same path."""
    name = f"kv-{token_hex(3)}"
    for cluster, version in zip((old, new), versions, strict=True):
        wish = {"type": "kv", "options": {"version": version}}
        cluster.api("POST", f"sys/mounts/{name}", wish)
        lists = f"{name}/metadata" if version == "2" else name
        node, token = cluster.leader(), cluster.root_token
        ready = partial(is_empty, node, lists, token)
        until(ready, "the engine is there", within=90)
    return [Engine(old, name, versions[0]), Engine(new, name, versions[1])]


def is_empty(node: OpenBaoNode, path: str, token: str) -> bool:
    """Whether a new engine answers: one of version 2 refuses everything for a moment."""
    return node.request("LIST", path, token=token).status == 404


def keys(cluster: OpenBaoCluster) -> dict[str, str]:
    return dict(zip(("KEY_1", "KEY_2"), cluster.unseal_keys, strict=False))


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_lost_kms_key(start_bao: StartBao, tmp_path: Path) -> None:
    kms = start_bao()
    host = Host(tmp_path)
    save, restore, keep, bring_back, migrate = blocks("A lost KMS key", "sh")
    failed, refused, back, migrated = blocks("A lost KMS key", "text")
    host.variables |= {"KMS_ADDR": kms.nodes[0].address, "KMS_TOKEN": kms.root_token}
    seal = transit_seal(kms)
    host.type(keep)
    with sealed_by(seal, tmp_path / "node") as bao:
        (node,) = bao.nodes
        bao.api("POST", "sys/mounts/secret", {"type": "kv"})
        bao.api("POST", "secret/app", {"value": "kept"})
        host.configure(bao)
        host.save()

        lose(kms)
        shows(host.type(save, code=4), failed)
        shows(host.type(restore, code=2), refused)
        shows(host.type("raft-snapshot-agent drill"), "passed yes")
        assert bao.api("GET", "secret/app")["data"] == {"value": "kept"}
        with pytest.raises(ServerError, match="ended with status 1"):
            node.restart()
        assert "Error configuring seal" in node.process.log_path.read_text()
        node.kill()

        shows(host.type(bring_back), back)
        node.start()
        node.wait_active()
        assert bao.api("GET", "secret/app")["data"] == {"value": "kept"}
        host.save()

        seal["disabled"] = "true"
        with obeyed(host, {"restart": node.restart}):
            host.type(migrate, KEYS=" ".join(bao.unseal_keys))
        node.wait_active()
        until(lambda: not node.seal_status()["migration"], "it is migrated", within=60)
        shows(host.type("vault status"), migrated)
        lose(kms)
        assert bao.api("GET", "secret/app")["data"] == {"value": "kept"}
        host.save()


def transit_seal(kms: OpenBaoCluster) -> dict[str, str]:
    """Make a key in a cluster, and return the `seal` of another one that it unseals."""
    kms.api("POST", "sys/mounts/transit", {"type": "transit"})
    kms.api("POST", "transit/keys/unseal", {"exportable": True, "allow_plaintext_backup": True})
    right = 'path "transit/{}/unseal" {{ capabilities = ["update"] }}\n'
    rights = right.format("encrypt") + right.format("decrypt")
    kms.api("PUT", "sys/policies/acl/unseal", {"policy": rights})
    wish = {"policies": ["unseal"], "period": "24h", "no_parent": True}
    return {
        "address": kms.nodes[0].address,
        "token": kms.api("POST", "auth/token/create", wish)["auth"]["client_token"],
        "key_name": "unseal",
        "mount_path": "transit/",
        "disable_renewal": "true",
    }


def lose(kms: OpenBaoCluster) -> None:
    kms.api("POST", "transit/keys/unseal/config", {"deletion_allowed": True})
    kms.api("DELETE", "transit/keys/unseal")


@contextmanager
def sealed_by(seal: dict[str, str], folder: Path) -> Iterator[OpenBaoCluster]:
    """Run a node that a KMS unseals; its recovery keys stand where others have unseal keys."""
    node = OpenBaoNode("node", folder, NodeOptions(server={"seal": {"transit": seal}}))
    try:
        node.start()
        made = node.api("PUT", "sys/init", {"recovery_shares": 1, "recovery_threshold": 1})
        node.wait_active()
        recovery = tuple(made["recovery_keys_base64"])
        yield OpenBaoCluster([node], Initialised(recovery, made["root_token"]))
    finally:
        node.discard()
