"""Drills of a cluster that a KMS unseals: the copy reaches that KMS, and nobody else."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from tests.cluster.command import call
from tests.conftest import StartBao

from raft_snapshot_agent.config.drill import CanarySettings, DrillSettings, UnsealSettings
from raft_snapshot_agent.config.drill_seal import read_seal
from raft_snapshot_agent.errors import AgentError, ConfigError
from raft_snapshot_agent.redaction import redact
from raft_snapshot_agent.restore.living_copy import bring_to_life
from raft_snapshot_agent.restore.reader import FileReader
from raft_snapshot_agent.restore.rehearsal import DrillOutcome, rehearse
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.node_options import NodeOptions
from raft_snapshot_agent.servers.openbao import OpenBaoCluster
from raft_snapshot_agent.servers.private import _enter
from raft_snapshot_agent.servers.relay import Reachable, Relay
from raft_snapshot_agent.threads import in_thread

VALUE = "a value that nobody may see"
ASK = """
import socket, sys
for host, port in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        with socket.create_connection((host, int(port)), timeout=20) as one:
            one.sendall(b"hello")
            print(one.recv(9).decode() or "closed")
    except OSError as error:
        print(error.strerror or error)
"""


@dataclass(frozen=True)
class Sealed:
    """A snapshot of a cluster that another one unseals."""

    kms: OpenBaoCluster
    snapshot: Path
    recovery_keys: tuple[str, ...]

    @property
    def reach(self) -> str:
        return urlsplit(self.kms.leader().address).netloc

    def stanza(self, folder: Path, key: str = "unseal") -> Path:
        file = folder / f"{key}.hcl"
        address = self.kms.leader().address
        file.write_text(
            f'seal "transit" {{\n  address = "{address}"\n  key_name = "{key}"\n'
            '  mount_path = "transit/"\n}\n'
        )
        return file

    def unseal(self, folder: Path, key: str = "unseal", **changed: Any) -> UnsealSettings:
        given: dict[str, Any] = {
            "seal": self.stanza(folder, key),
            "reach": (self.reach,),
            "environment": {"VAULT_TOKEN": Secret(self.kms.root_token)},
            **changed,
        }
        return UnsealSettings(**given)


def take(node: OpenBaoNode, token: str, file: Path) -> Path:
    """Write a snapshot of a node into a file."""
    url = f"{node.address}/v1/sys/storage/raft/snapshot"
    file.write_bytes(urllib3.request("GET", url, headers={"X-Vault-Token": token}).data)
    return file


@pytest.fixture
def sealed(start_bao: StartBao, tmp_path: Path) -> Iterator[Sealed]:
    kms = start_bao()
    kms.api("POST", "sys/mounts/transit", {"type": "transit"})
    for key in ("unseal", "another"):
        kms.api("POST", f"transit/keys/{key}", {})
    seal = {"address": kms.leader().address, "token": kms.root_token}
    settings = {"seal": {"transit": {**seal, "key_name": "unseal", "mount_path": "transit/"}}}
    node = OpenBaoNode("production", tmp_path / "production", NodeOptions(server=settings))
    try:
        node.start()
        made = node.init(1, 1, by_kms=True)
        node.wait_active()
        token = made.root_token
        node.api("POST", "sys/mounts/secret", {"type": "kv"}, token)
        node.api("POST", "secret/canary", {"value": VALUE}, token)
        node.api("POST", "sys/quotas/rate-limit/all", {"rate": 1000}, token)
        yield Sealed(kms, take(node, token, tmp_path / "kms.snap"), made.unseal_keys)
    finally:
        node.discard()


async def tried(sealed: Sealed, folder: Path, **settings: Any) -> DrillOutcome:
    spool = folder / "spool"
    spool.mkdir(mode=0o700, exist_ok=True)
    reader, now = FileReader(sealed.snapshot), datetime.now(UTC)
    outcome = await rehearse(reader, DrillSettings(**settings), spool, now)
    assert list(spool.iterdir()) == []
    return outcome


async def test_the_copy_asks_the_kms_itself(
    sealed: Sealed, closed_in: Path, tmp_path: Path
) -> None:
    keys = tuple(Secret(key) for key in sealed.recovery_keys)
    canary = CanarySettings(path="secret/canary", field="value", equals_secret=Secret(VALUE))
    unseal = sealed.unseal(tmp_path, keys=keys)
    opened = await tried(sealed, tmp_path, unseal=unseal, canaries=(canary,))
    assert opened.note.passed, opened.error
    assert "canaries read: 1" in opened.note.proved


@pytest.mark.soak
async def test_without_recovery_keys_it_is_active_and_with_them_it_gives_secrets_back(
    sealed: Sealed, closed_in: Path, tmp_path: Path
) -> None:
    without = await tried(sealed, tmp_path, unseal=sealed.unseal(tmp_path))
    assert without.note.passed, without.error
    assert without.note.proved.endswith("active")

    keys = tuple(Secret(key) for key in sealed.recovery_keys)
    settings = DrillSettings(unseal=sealed.unseal(tmp_path, keys=keys))
    async with bring_to_life(FileReader(sealed.snapshot), settings, tmp_path / "spool") as copy:
        answer = await in_thread(lambda: copy.ask("GET", "secret/canary"))
    assert answer.document["data"] == {"value": VALUE}


@pytest.mark.soak
async def test_what_the_kms_does_not_open_fails_it(
    sealed: Sealed, closed_in: Path, tmp_path: Path
) -> None:
    recovery_keys = tuple(Secret(key) for key in sealed.recovery_keys)
    for keys in ((), recovery_keys):
        unseal = sealed.unseal(tmp_path, "another", keys=keys)
        outcome = await tried(sealed, tmp_path, unseal=unseal)
        assert outcome.note.reason == "the KMS does not open it"

    with pytest.raises(AgentError) as refused:
        await tried(sealed, tmp_path, unseal=sealed.unseal(tmp_path, reach=("192.0.2.1:9",)))
    assert sealed.kms.root_token not in str(refused.value)


@pytest.mark.soak
async def test_a_snapshot_from_before_the_kms_is_told_as_such(
    sealed: Sealed, closed_in: Path, tmp_path: Path
) -> None:
    before = take(sealed.kms.leader(), sealed.kms.root_token, tmp_path / "before.snap")
    of_then = replace(sealed, snapshot=before)
    for keys in ((), tuple(Secret(key) for key in sealed.kms.unseal_keys)):
        outcome = await tried(of_then, tmp_path, unseal=sealed.unseal(tmp_path, keys=keys))
        assert outcome.note.reason == "the KMS does not open it"


def test_it_reaches_those_that_are_named_and_no_other(closed_in: Path, system_python: str) -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as named,
        closing(socket.create_server(("127.0.0.1", 0))) as other,
    ):
        port, forbidden = named.getsockname()[1], other.getsockname()[1]
        hosts = ("127.0.0.1", "localhost")
        asked = [*hosts[:1], port, *hosts[1:], port, "127.0.0.1", forbidden, "192.0.2.1", 443]
        with Relay(closed_in, [Reachable(host, port) for host in hosts]):
            inside = subprocess.Popen(
                [*_enter(closed_in), system_python, "-c", ASK, *map(str, asked)],
                stdout=subprocess.PIPE,
                text=True,
            )
            named.settimeout(60)
            for _ in hosts:
                met, _ = named.accept()
                with met:
                    assert met.recv(5) == b"hello"
                    met.sendall(b"welcome")
            said, _ = inside.communicate(timeout=60)
        other.settimeout(0)
        with pytest.raises(BlockingIOError):
            other.accept()
    refused = ["Connection refused", "Network is unreachable"]
    assert said.splitlines() == ["welcome", "welcome", *refused]


@pytest.mark.parametrize(
    ("unseal", "said"),
    [
        ({"reach": ["kms:443"]}, "reach is for a copy that a KMS unseals: give seal, too"),
        ({"seal": "/nowhere/seal.hcl", "reach": ["kms"]}, "must be a host and a port"),
        ({"seal": "/nowhere/seal.hcl", "reach": ["kms:99999"]}, "must be a host and a port"),
        ({"seal": "seal.hcl"}, "must be an absolute path"),
        ({"seal": "/nowhere/seal.hcl"}, "drill.unseal.seal: cannot read /nowhere/seal.hcl"),
    ],
)
def test_settings_that_cannot_work_are_told_in_one_line(
    tmp_path: Path, unseal: dict[str, Any], said: str
) -> None:
    snapshot = tmp_path / "any.snap"
    snapshot.write_bytes(b"")
    file = tmp_path / "agent.json"
    (tmp_path / "spool").mkdir(mode=0o700)
    document = {
        "storages": [{"type": "local", "path": str(tmp_path)}],
        "spool": str(tmp_path / "spool"),
        "drill": {"unseal": unseal},
    }
    file.write_text(json.dumps(document))
    ended = call("drill", snapshot, "-c", file)
    assert ended.code == 1
    assert said in ended.talk
    assert len(ended.talk.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{VALUE}\n", "has no `seal` stanza"),
        ("", "has no `seal` stanza"),
        ('storage "raft" {}\n', "has no `seal` stanza"),
    ],
)
def test_a_file_without_a_stanza_is_refused_and_not_shown(
    tmp_path: Path, text: str, said: str
) -> None:
    seal = tmp_path / "seal.hcl"
    seal.write_text(text)
    with pytest.raises(ConfigError, match=said) as refused:
        read_seal(UnsealSettings(seal=seal))
    assert VALUE not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        'seal "transit" {\n  token = "hunter2Xq7Vt9Zk3"\n}\n',
        '{"seal": {"awskms": {"secret_key": "hunter2Xq7Vt9Zk3"}}}',
        'seal "awskms" {\n  secret_key = "hunter2Xq7Vt9Zk3\n',
    ],
)
def test_what_is_secret_in_a_stanza_is_hidden_from_then_on(tmp_path: Path, text: str) -> None:
    seal = tmp_path / "seal.hcl"
    seal.write_text(text)
    assert read_seal(UnsealSettings(seal=seal)) is not None
    assert "hunter2" not in redact("At 2:1: key 'hunter2Xq7Vt9Zk3' is not expected")
