"""The throw-away servers are real ones, and can be broken in every way."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import obstore
import pytest
import trustme
from obstore.exceptions import BaseError, PermissionDeniedError
from obstore.store import S3Store
from tests.contract.destinations import S3
from tests.contract.sources import MIB, bytes_of, content, put_of
from tests.elections import standbys, step_down

from raft_snapshot_agent.errors import ConfigError, ServerError, StorageError, Unreachable
from raft_snapshot_agent.servers.key_tokens import make_root_token
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.node_options import NodeOptions, TlsFiles
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster, fill, prepare_agent
from raft_snapshot_agent.servers.process import (
    ServerProcess,
    free_ports,
    program,
    release_ports,
    until,
)
from raft_snapshot_agent.servers.seaweedfs import S3Identity, SeaweedFS

StartBao = Callable[..., OpenBaoCluster]
SNAPSHOT = "sys/storage/raft/snapshot"
_ROOT_BY_KEYS = {"disable_unauthed_generate_root_endpoints": False}


def login(node: OpenBaoNode, approle: AppRole) -> str:
    body = {"role_id": approle.role_id, "secret_id": approle.secret_id}
    answer = node.api("POST", "auth/approle/login", body)
    return str(answer["auth"]["client_token"])


def s3(store: SeaweedFS, bucket: str, identity: S3Identity) -> S3Store:
    return S3Store(
        bucket,
        endpoint=store.endpoint,
        region=store.region,
        access_key_id=identity.access_key_id,
        secret_access_key=identity.secret_access_key,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )


def test_single_node_leads_and_keeps_secrets(bao: OpenBaoCluster) -> None:
    assert bao.leader() is bao.nodes[0]
    assert bao.leader().seal_status()["sealed"] is False
    bao.write_secret("team/database", {"password": "correct horse"})
    assert bao.read_secret("team/database") == {"password": "correct horse"}


def test_the_members_of_a_started_cluster_do_not_change(bao3: StartBao) -> None:
    """A leader with a change of its members under way refuses snapshots."""
    log = bao3().leader().process.log_path
    changes = log.read_text().count("updating configuration")
    time.sleep(0.3)  # two of autopilot's rounds
    assert log.read_text().count("updating configuration") == changes


def test_approle_reads_a_snapshot_and_nothing_else(bao: OpenBaoCluster, approle: AppRole) -> None:
    node = bao.leader()
    token = login(node, approle)
    assert node.request("GET", SNAPSHOT, token=token).status == 200
    for method, path in [
        ("POST", SNAPSHOT),
        ("GET", "secret/data/team/database"),
        ("GET", "sys/storage/raft/configuration"),
        ("PUT", "sys/step-down"),
    ]:
        assert node.request(method, path, {}, token).status == 403, path


def test_role_parameters_reach_the_role(start_bao: StartBao) -> None:
    cluster = start_bao()
    approle = prepare_agent(cluster, token_ttl="7m", secret_id_num_uses=1)
    body = {"role_id": approle.role_id, "secret_id": approle.secret_id}
    first = cluster.leader().api("POST", "auth/approle/login", body)
    assert first["auth"]["lease_duration"] == 420
    with pytest.raises(ServerError, match="answered 400: invalid role or secret ID"):
        login(cluster.leader(), approle)


def test_shares_and_threshold_are_as_asked_and_a_restarted_node_needs_unsealing(
    start_bao: StartBao,
) -> None:
    cluster = start_bao(shares=3, threshold=2)
    node = cluster.leader()
    assert (node.seal_status()["n"], node.seal_status()["t"]) == (3, 2)
    assert len(cluster.unseal_keys) == 3
    cluster.write_secret("kept", {"a": 1})
    node.restart()
    assert node.seal_status()["sealed"] is True
    assert not node.is_leader()
    node.unseal(cluster.unseal_keys[1:])
    node.wait_active()
    assert cluster.read_secret("kept") == {"a": 1}


def test_three_nodes_elect_another_leader_after_kill_and_after_stepping_down(
    bao3: StartBao,
) -> None:
    cluster = bao3()
    cluster.write_secret("kept", {"a": 1})
    killed = cluster.leader()
    assert len(standbys(cluster)) == 2
    killed.kill()
    assert cluster.leader() is not killed
    assert cluster.read_secret("kept") == {"a": 1}

    cluster.restart(killed)
    assert killed in standbys(cluster)
    before = cluster.leader()
    assert step_down(cluster) is not before


def test_suspended_leader_answers_nothing_until_it_is_resumed(start_bao: StartBao) -> None:
    cluster = start_bao()
    node = cluster.leader()
    node.suspend()
    assert node.process.alive
    with pytest.raises(Unreachable):
        node.request("GET", "sys/health", timeout=0.2)
    node.resume()
    node.wait_active()


@pytest.fixture
def tls_files(tmp_path: Path) -> TlsFiles:
    """A certificate for this host, and the authority that has issued it."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    files = TlsFiles(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem")
    issued.cert_chain_pems[0].write_to_path(files.cert)
    issued.private_key_pem.write_to_path(files.key)
    authority.cert_pem.write_to_path(files.ca)
    return files


def test_options_and_tls_files_reach_the_server(start_bao: StartBao, tls_files: TlsFiles) -> None:
    options = NodeOptions(
        tls=tls_files,
        listener={"telemetry": {"unauthenticated_metrics_access": True}},
        server={"disable_standby_reads": True},
    )
    cluster = start_bao(nodes=2, options=options)
    (standby,) = standbys(cluster)
    assert standby.address.startswith("https://")
    assert cluster.leader().request("GET", "sys/metrics").status == 200
    # With standby reads, it would answer 200 itself.
    assert standby.request("GET", SNAPSHOT, token=cluster.root_token).status == 307


def test_fill_grows_the_snapshot_by_the_size_asked_for(start_bao: StartBao) -> None:
    cluster = start_bao()
    fill(cluster, 2_000_000)
    keys = cluster.api("LIST", "fill")["data"]["keys"]
    sizes = [len(cluster.api("GET", f"fill/{key}")["data"]["value"]) for key in keys]
    assert sum(sizes) == pytest.approx(2_000_000, rel=0.01)


def test_s3_takes_and_lists_objects_with_the_owners_keys(seaweed: SeaweedFS, bucket: str) -> None:
    store = s3(seaweed, bucket, seaweed.owner)
    obstore.put(store, "a/big", bytes(12_000_000), use_multipart=True)
    obstore.put(store, "a/small", b"x")
    listed = {entry["path"]: entry["size"] for entry in store.list().collect()}
    assert listed == {"a/big": 12_000_000, "a/small": 1}


async def test_s3_over_tls_takes_a_snapshots_parts(tls_files: TlsFiles, tmp_path: Path) -> None:
    with SeaweedFS.start(tmp_path / "seaweed", tls=tls_files) as store:
        store.create_bucket("over-tls")
        s3 = S3(store, "over-tls", tmp_path)
        storage = s3.open(ca_file=str(tls_files.ca))
        assert await put_of(storage, tmp_path, 13 * MIB) == 13 * MIB
        assert await content(storage) == bytes_of(13 * MIB)
        with pytest.raises(StorageError, match="certificate"):
            await s3.open().entries()


def test_s3_keeps_no_connection_that_the_server_may_close(seaweed: SeaweedFS, bucket: str) -> None:
    """A bucket is created by a POST, which is not repeated when a connection turns out closed."""
    pools = seaweed._pool.pools
    pooled = [pools[key].pool for key in pools.keys()]  # noqa: SIM118 - it is no mapping
    kept = [one for queued in pooled if queued is not None for one in queued.queue]
    assert [one for one in kept if one is not None and one.sock is not None] == []


def test_s3_refuses_wrong_keys_and_missing_buckets(seaweed: SeaweedFS, bucket: str) -> None:
    stranger = S3Identity.fresh("stranger")
    forger = S3Identity("owner", seaweed.access_key_id, "not the key")
    for identity in (stranger, forger):
        with pytest.raises(BaseError, match=r"403|privileges"):
            obstore.put(s3(seaweed, bucket, identity), "x", b"x")
    with pytest.raises(FileNotFoundError):
        obstore.put(s3(seaweed, "no-such-bucket", seaweed.owner), "x", b"x")


def test_s3_uploader_may_write_but_neither_read_nor_list(seaweed: SeaweedFS, bucket: str) -> None:
    store = s3(seaweed, bucket, seaweed.identities[1])
    obstore.put(store, "x", b"x")
    with pytest.raises(PermissionDeniedError):
        obstore.get(store, "x")
    with pytest.raises(BaseError, match="403"):
        store.list().collect()


def test_early_end_is_told_with_the_last_words(tmp_path: Path) -> None:
    argv = ["/bin/sh", "-c", "echo the port is taken >&2; exit 3"]
    with ServerProcess("toy", argv, tmp_path / "log", {}) as server:
        until(lambda: not server.alive, "toy ended", within=60)
        with pytest.raises(ServerError, match="toy ended with status 3: the port is taken"):
            server.check()


def test_misconfigured_node_says_why_at_once(tmp_path: Path) -> None:
    node = OpenBaoNode("bao0", tmp_path / "bao0", NodeOptions(server={"api_addr": "no scheme"}))
    try:
        with pytest.raises(ServerError, match=r"bao0 ended with status 1: .*must include scheme"):
            node.start()
    finally:
        node.discard()


def test_process_that_ignores_termination_is_killed(tmp_path: Path) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    log = tmp_path / "log"
    with ServerProcess("deaf", ["/bin/sh", "-c", script], log, {}) as server:
        until(lambda: b"ready" in log.read_bytes(), "the trap is set", within=60)
        server.terminate(grace=0.1)
        assert not server.alive


def test_server_dies_with_a_killed_starter(tmp_path: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path;"
        "from raft_snapshot_agent.servers.process import ServerProcess;"
        "server = ServerProcess('toy', ['/bin/sleep', '300'], Path(sys.argv[1]), {});"
        "server.start(); print(server.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    starter = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "log")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
    )
    assert starter.returncode == -signal.SIGKILL
    until(lambda: _gone(int(starter.stdout)), "the server is gone too", within=60)


def test_claimed_ports_are_free_with_their_twins_and_given_out_once() -> None:
    ports = free_ports(20)
    try:
        assert len(set(ports)) == 20
        for port in ports:
            socket.create_server(("127.0.0.1", port)).close()
            socket.create_server(("127.0.0.1", port + 10_000)).close()
        assert claimed_elsewhere(ports) == [False] * 20
    finally:
        release_ports(ports)


def test_missing_program_is_a_configuration_error_with_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"no-such-server .*demo extra"):
        program("no-such-server")


def test_a_key_that_is_given_twice_is_told_as_that(start_bao: StartBao) -> None:
    cluster = start_bao(shares=3, threshold=2, options=NodeOptions(listener=_ROOT_BY_KEYS))
    one, two, _ = cluster.unseal_keys
    in_hex = base64.b64decode(one).hex()
    for twice in ([one, one], [one, in_hex]):
        with pytest.raises(ConfigError, match="the same unseal key is given twice"):
            make_root_token(cluster.nodes[0], twice)
        cluster.nodes[0].api("DELETE", "sys/generate-root/attempt")
    assert make_root_token(cluster.nodes[0], [one, two])


def claimed_elsewhere(ports: list[int]) -> list[bool]:
    """Try to claim the very same ports in another process."""
    code = (
        "from raft_snapshot_agent.servers.process import _claim;"
        f"print([_claim(port) for port in {ports}])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    output = subprocess.check_output([sys.executable, "-c", code], env=environment)
    return [bool(claimed) for claimed in json.loads(output.lower())]


def _gone(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"
