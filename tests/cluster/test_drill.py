"""Drills: what they prove, how they fail, and that nothing of them stays."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
import urllib3
from tests.cluster.command import AGENT, Ending, call, environment
from tests.conftest import StartBao
from tests.faults.disks import small_disk

from raft_snapshot_agent.config.drill import CanarySettings, DrillSettings, UnsealSettings
from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import Manifest
from raft_snapshot_agent.errors import AgentError, ConfigError, SpoolError
from raft_snapshot_agent.restore.canaries import prove
from raft_snapshot_agent.restore.drill import ServerChoice, restored
from raft_snapshot_agent.restore.living_copy import LivingCopy
from raft_snapshot_agent.restore.reader import FileReader
from raft_snapshot_agent.restore.rehearsal import DrillOutcome, rehearse
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.node_options import NodeHost, NodeOptions
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster, prepare_agent
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.threads import in_thread

VALUE = "a value that nobody may see"
SIGNING_KEY = "s" * 40


@dataclass
class Ground:
    """A cluster, an agent's configuration for it, and where its snapshots and drills lie."""

    cluster: OpenBaoCluster
    folder: Path
    approle: AppRole
    drill: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("snapshots", "spool"):
            (self.folder / name).mkdir(parents=True, mode=0o700)

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    def call(self, *arguments: str | Path) -> Ending:
        """Run a command; of a drill nothing is left, and no value or key is told."""
        auth = {"role_id": self.approle.role_id, "secret_id": self.approle.secret_id}
        document = {
            "vault": {
                "address": self.cluster.nodes[0].address,
                "auth": {"method": "approle", **auth},
            },
            "spool": str(self.spool),
            "storages": [{"type": "local", "path": str(self.folder / "snapshots")}],
            "signing": {"key": SIGNING_KEY},
            "drill": self.drill,
        }
        file = self.folder / "agent.json"
        file.write_text(json.dumps({key: one for key, one in document.items() if one}))
        ended = call(*arguments, "-c", file)
        for secret in (VALUE, *self.cluster.unseal_keys, self.cluster.root_token):
            assert secret not in ended.talk + ended.text
        assert left_behind(self.spool) == []
        return ended

    def stored(self) -> Path:
        (snapshot,) = (self.folder / "snapshots").glob("*.snap")
        return snapshot


def left_behind(folder: Path) -> list[str]:
    """Files of a drill, and processes that run from its folder."""
    running = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            text = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in text:
                running.append(text)
    return [*running, *map(str, folder.iterdir())]


@pytest.fixture(scope="module")
def plain(bao: OpenBaoCluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of the shared node, as a file with its manifest."""
    bao.write_secret("canary", {"value": VALUE})
    folder = tmp_path_factory.mktemp("plain")
    ground = Ground(bao, folder, prepare_agent(bao))
    assert ground.call("save").code == 0
    return ground.stored()


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def audited(cluster: OpenBaoCluster, folder: Path, listener: socket.socket) -> None:
    """Give a cluster what an operator has: logs to a file and to a collector."""
    folder.mkdir()
    port = listener.getsockname()[1]
    for kind, options in (
        ("file", {"file_path": str(folder / "audit.log")}),
        ("socket", {"address": f"127.0.0.1:{port}", "socket_type": "tcp"}),
    ):
        cluster.api("PUT", f"sys/audit/{kind}", {"type": kind, "options": options})


def limit_rates(cluster: OpenBaoCluster) -> None:
    """Limit requests to a cluster: to all of it, to one mount, and to one namespace."""
    for name, where in (("all", ""), ("mount", "secret/"), ("namespace", "team/")):
        limit = {"rate": 1000, "path": where}
        cluster.api("POST", f"sys/quotas/rate-limit/{name}", limit)


def issuers(cluster: OpenBaoCluster, folder: Path) -> dict[str, str]:
    """Mount two authorities, the second below the first; return what a drill is told of it."""
    top = "pki/root"
    for mount in ("pki", "pki_int"):
        cluster.api("POST", f"sys/mounts/{mount}", {"type": "pki"})
    root = cluster.api("POST", f"{top}/generate/internal", {"common_name": "root"})["data"]
    wanted = {"common_name": "below"}
    csr = cluster.api("POST", "pki_int/intermediate/generate/internal", wanted)["data"]["csr"]
    signed = cluster.api("POST", f"{top}/sign-intermediate", {"csr": csr, **wanted})["data"]
    cluster.api("POST", "pki_int/intermediate/set-signed", {"certificate": signed["certificate"]})
    (folder / "root.pem").write_text(root["certificate"])
    return {"mount": "pki_int", "root": str(folder / "root.pem")}


def test_a_snapshot_of_a_real_cluster_comes_to_life_and_nobody_hears_of_it(
    start_bao: StartBao, closed_in: Path, tmp_path: Path
) -> None:
    server = {"unsafe_allow_api_audit_creation": True}
    cluster = start_bao(shares=3, threshold=2, options=NodeOptions(server=server))
    ground = Ground(cluster, tmp_path / "agent", prepare_agent(cluster))
    cluster.write_secret("app/canary", {"value": VALUE})
    cluster.api("POST", "sys/namespaces/team", {})
    cluster.api("POST", "team/sys/mounts/kv", {"type": "kv"})
    cluster.api("POST", "team/kv/canary", {"value": VALUE})
    limit_rates(cluster)
    issuer = issuers(cluster, tmp_path)
    with listening() as collector:
        audited(cluster, tmp_path / "log", collector)
        assert ground.call("save").code == 0
        production, _ = collector.accept()
        ground.drill = {
            "unseal": {"keys": [cluster.unseal_keys[2], cluster.unseal_keys[0]]},
            "canaries": [
                {"path": "secret/app/canary", "field": "value", "equals_secret": VALUE},
                {"path": "team/kv/canary", "field": "value", "matches": "a value .*"},
            ],
            "issuers": [issuer],
        }
        before = (tmp_path / "log" / "audit.log").stat().st_size
        ended = ground.call("drill", "--format", "json")
        collector.settimeout(0)
        with pytest.raises(BlockingIOError):
            collector.accept()
        production.close()

    assert ended.code == 0, ended.talk
    told = ended.document
    assert told["passed"] is True
    assert told["proved"].endswith("canaries read: 2, issuers that lead to their root: 1")
    assert told["server"].startswith("openbao ")
    line = f"The drill of {ground.stored().name} passed: {told['proved']} ({told['seconds']} s, "
    assert ended.talk.splitlines()[-1] == f"{line}{told['server']})"
    assert (tmp_path / "log" / "audit.log").stat().st_size == before
    (row,) = ground.call("list", "--format", "json").document
    day = told["at"][:10]
    assert row["drill"] == f"passed {day}"
    assert ground.call("inspect", "--format", "json").document["drill"] == f"passed {day}"
    note = ground.stored().with_name(ground.stored().name + ".drill")
    assert VALUE not in note.read_text()
    note.write_text(note.read_text().replace("active", "better"))
    assert ground.call("list", "--format", "json").document[0]["drill"] == "unsigned"


@pytest.mark.soak
def test_rates_that_are_limited_keep_nobody_from_browsing_and_recovering(
    start_bao: StartBao, closed_in: Path, tmp_path: Path
) -> None:
    cluster = start_bao()
    ground = Ground(cluster, tmp_path / "agent", prepare_agent(cluster))
    ground.drill = {"unseal": {"keys": list(cluster.unseal_keys)}}
    cluster.write_secret("app/canary", {"value": VALUE})
    cluster.api("POST", "sys/namespaces/team", {})
    limit_rates(cluster)
    assert ground.call("save").code == 0

    browsed = ground.call("browse", "--latest", "secret/app")
    file = tmp_path / "recovered"
    recovered = ground.call("recover", "--latest", "secret/app/canary", "--output", file)

    assert (browsed.code, browsed.text) == (0, "secret/app/canary\n"), browsed.talk
    assert recovered.code == 0, recovered.talk
    assert VALUE in file.read_text()


# How they fail.


def copied(snapshot: Path, folder: Path, **changed: Any) -> FileReader:
    """A snapshot with its manifest, in which something is changed."""
    there = Path(shutil.copy(snapshot, folder / "s.snap"))
    manifest = Manifest.from_json(snapshot.with_name(manifest_name(snapshot.name)).read_bytes())
    text = replace(manifest, **changed).to_json()
    there.with_name(manifest_name(there.name)).write_bytes(text)
    return FileReader(there)


async def tried(
    reader: FileReader, tmp_path: Path, keys: tuple[str, ...], **settings: Any
) -> DrillOutcome:
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700, exist_ok=True)
    unseal = UnsealSettings(keys=tuple(map(Secret, keys)))
    try:
        drill = DrillSettings(unseal=unseal, **settings)
        return await rehearse(reader, drill, spool, datetime.now(UTC))
    finally:
        assert left_behind(spool) == []


async def test_a_server_that_is_too_old_is_not_given_the_snapshot(
    bao: OpenBaoCluster, plain: Path, closed_in: Path, tmp_path: Path
) -> None:
    reader = copied(plain, tmp_path, version="99.1.0")
    with pytest.raises(ConfigError, match=r"is version 2\..*was taken from 99\.1\.0"):
        await tried(reader, tmp_path, bao.unseal_keys)


async def test_a_server_that_is_missing_or_none_is_told(
    bao: OpenBaoCluster, plain: Path, closed_in: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text"
    text.write_text("no program")
    marked = tmp_path / "marked"
    marked.write_text("no program")
    marked.chmod(0o755)
    for path, words in (
        (Path("/nowhere/bao"), "there is no program"),
        (text, "is no program"),
        (marked, "is no program"),
    ):
        with pytest.raises(ConfigError, match=words):
            await tried(FileReader(plain), tmp_path, bao.unseal_keys, server=path)
    reader = copied(plain, tmp_path, product="vault")
    with pytest.raises(ConfigError, match="vault is not on PATH"):
        await tried(reader, tmp_path, bao.unseal_keys)


async def test_a_program_that_ends_at_once_is_told(
    bao: OpenBaoCluster, plain: Path, closed_in: Path, tmp_path: Path
) -> None:
    with pytest.raises(AgentError, match="ended with status 1"):
        await tried(FileReader(plain), tmp_path, bao.unseal_keys, server=Path("/usr/bin/false"))


async def test_a_program_that_cannot_be_executed_is_told_on_one_line(
    bao: OpenBaoCluster, plain: Path, closed_in: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    with pytest.raises(AgentError) as caught:
        await tried(FileReader(plain), tmp_path, bao.unseal_keys, server=broken)
    told = f"drill ended with status 126: cannot execute {broken}: Exec format error"
    assert caught.value.message == told


async def test_a_corrupted_snapshot_starts_no_server(
    bao: OpenBaoCluster, plain: Path, tmp_path: Path
) -> None:
    reader = copied(plain, tmp_path)
    assert reader.path is not None
    content = bytearray(reader.path.read_bytes())
    content[len(content) // 2] ^= 1
    reader.path.write_bytes(content)

    outcome = await tried(reader, tmp_path, bao.unseal_keys)

    assert outcome.error is not None
    assert outcome.error.exit_code == 4
    assert (outcome.note.passed, outcome.note.server) == (False, "")


def test_a_failure_is_one_line_for_people_and_a_document_for_programs(
    plain: Path, tmp_path: Path
) -> None:
    reader = copied(plain, tmp_path)
    assert reader.path is not None
    reader.path.write_bytes(reader.path.read_bytes()[:-100])

    ended = call("drill", reader.path, "--format", "json", cwd=tmp_path)

    assert ended.code == 4
    told = ended.document
    assert (told["passed"], told["server"], told["snapshot"]) == (False, "", str(reader.path))
    assert told["reason"] in ended.error


@pytest.mark.soak
async def test_without_keys_it_proves_that_the_server_takes_it(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = await tried(FileReader(plain), tmp_path, ())

    assert outcome.note.passed
    assert "restored at index" in outcome.note.proved
    assert "sealed" in outcome.note.proved


@pytest.mark.soak
async def test_the_keys_of_another_cluster_fail_it(
    start_bao: StartBao, plain: Path, closed_in: Path, tmp_path: Path
) -> None:
    other = start_bao()
    outcome = await tried(FileReader(plain), tmp_path, other.unseal_keys)

    assert outcome.note.reason == "the unseal keys do not open it"
    assert outcome.error is not None
    assert other.unseal_keys[0] not in str(outcome.error)


@pytest.mark.soak
async def test_a_cluster_that_a_kms_unseals_is_told_and_passes_without_keys(
    closed_in: Path, tmp_path: Path
) -> None:
    key = base64.b64encode(os.urandom(32)).decode()
    seal = {"seal": {"static": {"current_key_id": "k", "current_key": key}}}
    node = OpenBaoNode("kms", tmp_path / "kms", NodeOptions(server=seal))
    try:
        await in_thread(node.start)
        made = node.api("PUT", "sys/init", {"recovery_shares": 1, "recovery_threshold": 1})
        await in_thread(node.wait_active)
        snapshot = tmp_path / "kms.snap"
        headers = {"X-Vault-Token": made["root_token"]}
        url = f"{node.address}/v1/sys/storage/raft/snapshot"
        answer = await in_thread(lambda: urllib3.request("GET", url, headers=headers))
        snapshot.write_bytes(answer.data)
    finally:
        node.discard()

    outcome = await tried(FileReader(snapshot), tmp_path, ())
    assert outcome.note.passed
    with pytest.raises(ConfigError, match="is unsealed by a KMS"):
        await tried(FileReader(snapshot), tmp_path, tuple(made["recovery_keys_base64"]))


@pytest.mark.soak
async def test_a_canary_that_is_gone_fails_it(
    bao: OpenBaoCluster, plain: Path, closed_in: Path, tmp_path: Path
) -> None:
    canary = CanarySettings(path="secret/nowhere", field="a", matches=".*")
    outcome = await tried(FileReader(plain), tmp_path, bao.unseal_keys, canaries=(canary,))

    assert outcome.note.reason == "canary 1 of 1 is missing"


def test_a_login_that_is_bound_to_addresses_proves_nothing(tmp_path: Path) -> None:
    node = OpenBaoNode("copy", tmp_path / "copy", host=NodeHost(socket=True))
    try:
        node.start()
        made = node.init(1, 1)
        node.unseal(made.unseal_keys)
        node.wait_active()
        copy = LivingCopy(node, made.root_token)
        for path, body in (
            ("sys/auth/approle", {"type": "approle"}),
            ("sys/auth/userpass", {"type": "userpass"}),
            ("auth/approle/role/web", {"secret_id_bound_cidrs": "127.0.0.0/8"}),
            ("auth/approle/role/web/role-id", {"role_id": "web"}),
            ("auth/approle/role/web/custom-secret-id", {"secret_id": VALUE}),
            ("auth/userpass/users/ann", {"password": VALUE, "token_bound_cidrs": "127.0.0.0/8"}),
        ):
            assert copy.ask("POST", path, body).status // 100 == 2
        for login in (
            {"method": "approle", "role_id": "web", "secret_id": VALUE},
            {"method": "userpass", "username": "ann", "password": VALUE},
        ):
            document = {"unseal": {"keys": ["key"]}, "login": login}
            settings = DrillSettings.model_validate(document)
            with pytest.raises(ConfigError, match=r"drill\.login is bound to addresses"):
                list(prove(copy, settings, datetime.now(UTC)))
    finally:
        node.discard()


@pytest.mark.soak
async def test_a_full_disk_is_told_as_such(
    bao: OpenBaoCluster, plain: Path, closed_in: Path, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    # Room for the copy, and little for the server.
    with small_disk(spool, "96k"), pytest.raises(SpoolError, match="no space for the drill"):
        await tried(FileReader(plain), tmp_path, bao.unseal_keys)


async def test_one_that_is_given_up_waits_for_no_server(
    plain: Path, closed_in: Path, tmp_path: Path
) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 600\n")
    silent.chmod(0o700)
    folder = tmp_path / "drill"
    choice = ServerChoice(program=silent)

    async def hold() -> None:
        async with restored(plain, ("key",), folder, choice=choice):
            raise AssertionError

    with anyio.fail_after(40):  # it would wait for a minute
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hold)
            waited = partial(until, (folder / "server.log").exists, "it runs", within=60)
            await in_thread(waited)
            tasks.cancel_scope.cancel()
    assert not [one for one in left_behind(folder) if " " in one]  # no process


@pytest.mark.soak
def test_the_daemon_holds_them_beside_its_snapshots(
    bao: OpenBaoCluster, closed_in: Path, tmp_path: Path
) -> None:
    ground = Ground(bao, tmp_path / "agent", prepare_agent(bao))
    ground.drill = {
        "schedule": {"every": "1h"},
        "unseal": {"keys": list(bao.unseal_keys)},
        "canaries": [{"path": "secret/nowhere", "field": "a", "matches": ".*"}],
    }
    assert ground.call("save").code == 0
    file = ground.folder / "agent.json"
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, "schedule": {"every": "1s"}}))
    log = tmp_path / "log"
    with log.open("wb") as written:
        agent = subprocess.Popen(
            [*AGENT, "run", "-c", str(file)], env=environment(), stderr=written
        )
    try:
        said = "failed: canary 1 of 1"
        until(lambda: said in log.read_text(), "the drill failed", within=120)
    finally:
        agent.terminate()
        assert agent.wait(60) == 0
    # The one that was held took longer than the snapshots beside it.
    assert log.read_text().partition(said)[0].count("Successfully created") > 3
    assert len([*(ground.folder / "snapshots").glob("*.drill")]) == 1
    assert left_behind(ground.spool) == []


def test_one_that_is_killed_leaves_no_server_and_the_next_start_wipes_it(
    bao: OpenBaoCluster, plain: Path, closed_in: Path, tmp_path: Path
) -> None:
    ground = Ground(bao, tmp_path / "agent", prepare_agent(bao))
    ground.drill = {"unseal": {"keys": list(bao.unseal_keys)}}
    assert ground.call("save").code == 0
    file = ground.folder / "agent.json"
    argv = [*AGENT, "drill", str(plain), "-c", str(file)]
    with subprocess.Popen(argv, env=environment(), stderr=subprocess.PIPE) as agent:
        until(lambda: [*ground.spool.glob("*.drill/data/raft")], "the server runs", within=60)
        os.kill(agent.pid, signal.SIGKILL)

    def files_alone() -> bool:
        return bool(left := left_behind(ground.spool)) and all(
            one.startswith("/") and " " not in one for one in left
        )

    until(files_alone, "the server is gone with the agent", within=90)

    assert ground.call("save").code == 0  # any start does; the call looks for what is left
