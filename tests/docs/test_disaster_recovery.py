"""The runbooks, typed as they are written, on real servers: what they show is what is seen."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.command import call
from tests.cluster.test_drill import closed_in
from tests.conftest import StartBao

from raft_snapshot_agent.errors import ServerError
from raft_snapshot_agent.servers.answers import Initialised
from raft_snapshot_agent.servers.openbao import (
    NodeOptions,
    OpenBaoCluster,
    OpenBaoNode,
    prepare_agent,
)
from raft_snapshot_agent.servers.process import program, until

__all__ = ["closed_in"]

PAGE = (Path(__file__).parents[2] / "docs" / "disaster-recovery.md").read_text()
FENCE = re.compile(r"^ *```(sh|text)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
UNSEAL = 'for key in $KEYS; do vault operator unseal "$key" > /dev/null; done'
NONCE = "vault operator rotate-keys -status -format=json | sed -n 's/.*\"nonce\": \"\\\\(.*\\\\)\".*/\\\\1/p'"
ROTATE = f'for key in $KEYS; do vault operator rotate-keys -nonce="$({NONCE})" "$key"; done'
CANCEL = "vault operator rotate-keys -cancel"
BY_MACHINE = {
    r"vault operator rotate-keys$": ROTATE,
    r"vault operator unseal -migrate$": UNSEAL.replace("unseal", "unseal -migrate", 1),
    r"vault operator unseal$": UNSEAL,
    r"^(VAULT_ADDR=\S+) (for key in .*)$": r"(\1; \2)",
    r"raft-snapshot-agent (restore|recover) ": r"raft-snapshot-agent \1 --yes ",
}
"""What somebody at a terminal does otherwise: types keys, and answers questions."""
STUB = """#!/bin/sh
while ! mkdir {folder}/busy 2>/dev/null; do sleep 0.1; done
echo "$1" > {folder}/new && mv {folder}/new {folder}/order
while [ -e {folder}/order ]; do sleep 0.1; done
rmdir {folder}/busy
"""


def blocks(heading: str, language: str) -> list[str]:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [text for kind, text in FENCE.findall(section) if kind == language]


class Host:
    """A host with `vault`, the agent, and a `systemctl` that a test obeys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tools = folder / "tools"
        self.tools.mkdir(parents=True)
        (self.tools / "vault").symlink_to(program("bao"))
        self.orders = folder / "orders"
        self.orders.mkdir()
        (self.tools / "systemctl").write_text(STUB.format(folder=self.orders))
        (self.tools / "systemctl").chmod(0o755)
        self.variables: dict[str, str] = {}

    def configure(self, cluster: OpenBaoCluster, **more: Any) -> None:
        """Write the agent's configuration, which stands in the environment."""
        approle = prepare_agent(cluster)
        auth = {"method": "approle", "role_id": approle.role_id, "secret_id": approle.secret_id}
        (self.folder / "spool").mkdir(exist_ok=True)
        document = {
            "vault": {"address": cluster.leader().address, "auth": auth},
            "spool": str(self.folder / "spool"),
            "storages": [{"type": "local", "path": str(self.folder / "snapshots")}],
            **more,
        }
        file = self.folder / "agent.json"
        file.write_text(json.dumps(document))
        self.variables |= {
            "RAFT_SNAPSHOT_AGENT_CONFIG": str(file),
            "VAULT_ADDR": cluster.leader().address,
            "VAULT_TOKEN": cluster.root_token,
        }

    def save(self) -> str:
        """Take a snapshot as the agent does, and return its name."""
        before = {*self.folder.glob("snapshots/*.snap")}
        assert call("save", env=self.variables).code == 0
        (new,) = {*self.folder.glob("snapshots/*.snap")} - before
        return new.name

    def type(self, *scripts: str, code: int = 0, **more: str) -> str:
        """Type commands of a page, and return what was seen."""
        script = "\n".join(scripts)
        for what, other in BY_MACHINE.items():
            script = re.sub(what, other, script, flags=re.MULTILINE)
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=self.folder,
            env={
                "PATH": f"{self.tools}:{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOME": str(self.folder),
                **self.variables,
                **more,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        seen = done.stdout + done.stderr
        assert done.returncode == code, seen
        return seen


def shows(seen: str, text: str) -> None:
    """Compare what was seen with a page's lines, in which `...` stands for what differs."""
    for line in filter(None, map(str.strip, text.splitlines())):
        pattern = r"\s+".join(".*".join(map(re.escape, word.split("..."))) for word in line.split())
        assert re.search(pattern, seen), f"{line!r} is not shown in:\n{seen}"


@contextmanager
def obeyed(host: Host, deeds: Mapping[str, Callable[[], None]]) -> Iterator[None]:
    """Do what `systemctl` is told."""
    ended = threading.Event()
    order = host.orders / "order"

    def obey() -> None:
        while not ended.wait(0.05):
            if order.exists():
                deeds[order.read_text().strip()]()
                order.unlink()

    worker = threading.Thread(target=obey)
    worker.start()
    try:
        yield
    finally:
        ended.set()
        worker.join()


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
    lost = bao.standbys()[0]
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
    left, *others = (bao.leader(), *bao.standbys())
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


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_lost_unseal_keys(start_bao: StartBao, closed_in: Path, tmp_path: Path) -> None:
    bao, new = start_bao(shares=3, threshold=2), start_bao(shares=3, threshold=2)
    host = Host(tmp_path)
    secrets = {"app/db": {"password": "ke pt\n", "port": 1}, "1": {"a": '"'}}
    for path, data in secrets.items():
        bao.write_secret(path, data)
    host.variables |= {"NEW_ADDR": new.nodes[0].address, "NEW_TOKEN": new.root_token}
    host.configure(bao, drill={"unseal": {"keys": ["env://KEY_1", "env://KEY_2"]}})
    host.save()
    rotate, write_out, drill = blocks("Lost unseal keys", "sh")
    rotated, wrong, other = blocks("Lost unseal keys", "text")

    shows(host.type(rotate, code=2, KEYS=" ".join(new.unseal_keys[:2])), wrong)
    shows(host.type(CANCEL, rotate, KEYS=bao.unseal_keys[0]), "Progress 1/2")
    host.type(write_out)
    assert {path: new.read_secret(path) for path in secrets} == secrets
    shows(host.type(drill, code=4, **keys(new)), other)
    shows(host.type(drill, **keys(bao)), "passed yes")
    shows(host.type(CANCEL, rotate, KEYS=" ".join(bao.unseal_keys[:2])), rotated)


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


def test_what_an_older_server_is_told_is_what_is_said() -> None:
    """The words themselves are tried in tests/cluster/test_restore_safety.py."""
    (text,) = blocks("An older version", "text")
    source = Path(__file__).parents[2] / "src/raft_snapshot_agent/restore/target.py"
    for words in ("and the snapshot was taken from", "a server reads nothing that a newer one"):
        assert words in text
        assert words in source.read_text()
