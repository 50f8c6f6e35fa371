"""The throw-away server: nobody else speaks to it, and it speaks to nobody."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import pytest

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.restore.drill import restored
from raft_snapshot_agent.servers import private
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.openbao import OpenBaoCluster
from raft_snapshot_agent.servers.private import (
    Isolation,
    private_node,
)
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.servers.throw_away import throw_away_folder
from raft_snapshot_agent.threads import in_thread

PROGRAM = """
import os, pathlib, socket, sys
def tried(what, *how):
    try:
        return what(*how)
    except OSError as error:
        return error.strerror
abstract = socket.socket(socket.AF_UNIX)
print(tried(abstract.connect, "\\0" + sys.argv[1]))
print(tried(socket.socket(socket.AF_UNIX).connect, sys.argv[2]))
print(tried(socket.create_connection, ("127.0.0.1", int(sys.argv[3]))))
print(tried(socket.getaddrinfo, "example.org", 443))
print(tried(socket.create_connection, ("192.0.2.1", 443)))
print(sorted(os.listdir("/")))
print(tried(open, "/etc/passwd"), tried(open, "/usr/planted", "w"))
print(tried(os.unshare, 0x20000) if hasattr(os, "unshare") else "")
print(os.umask(0o77) and "" or "", tried(os.mkdir, "written"))
"""


@pytest.fixture
def node(closed_in: Path) -> Iterator[OpenBaoNode]:
    made = private_node("drill", closed_in, must_be_isolated=True)
    try:
        yield made
    finally:
        made.discard()


def listening(kind: int, address: object) -> socket.socket:
    server = socket.socket(kind)
    server.bind(address)  # type: ignore[arg-type]
    server.listen()
    return server


def test_nothing_gets_out(closed_in: Path, system_python: str, tmp_path: Path) -> None:
    name = f"raft-test-{os.getpid()}"
    path = str(tmp_path / "s")
    with (
        listening(socket.AF_UNIX, f"\0{name}") as abstract,
        listening(socket.AF_UNIX, path) as named,
        listening(socket.AF_INET, ("127.0.0.1", 0)) as tcp,
    ):
        port = str(tcp.getsockname()[1])
        done = subprocess.run(
            [*private._enter(closed_in), system_python, "-c", PROGRAM, name, path, port],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        for server in (abstract, named, tcp):
            server.settimeout(0)
            with pytest.raises(BlockingIOError):
                server.accept()

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["Connection refused", "No such file or directory"]
    assert lines[2] == "Connection refused"
    assert "resolution" in lines[3] or "not known" in lines[3]
    assert lines[4] == "Network is unreachable"
    top = {"bin", "dev", "lib", "lib32", "lib64", "libx32", "sbin", "usr", closed_in.parts[1]}
    assert set(eval(lines[5])) <= top
    assert lines[6] == "No such file or directory Read-only file system"
    assert (closed_in / "written").exists()


def test_a_server_works_in_there(node: OpenBaoNode, closed_in: Path) -> None:
    node.start()
    made = node.init(1, 1)
    node.unseal(made.unseal_keys)
    node.wait_active()
    node.restart()
    assert node.seal_status()["sealed"]
    node.unseal(made.unseal_keys)
    node.wait_active()

    assert node.address == f"unix://{closed_in}/api.sock"
    assert (closed_in / "api.sock").stat().st_mode & 0o077 == 0
    assert closed_in.stat().st_mode & 0o077 == 0
    for space in ("net", "mnt", "user", "ipc"):
        ours = Path(f"/proc/self/ns/{space}").readlink()
        assert Path(f"/proc/{node.process.pid}/ns/{space}").readlink() != ours
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    for held in ("CapPrm", "CapEff", "CapBnd"):
        assert f"{held}:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


def test_its_folder_may_lie_deep(tmp_path: Path, closed_in: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60) / "drill"
    made = private_node("drill", deep, must_be_isolated=True)
    try:
        made.start()
        assert not made.seal_status()["initialized"]
    finally:
        made.discard()


def test_it_ends_with_whoever_started_it(closed_in: Path) -> None:
    code = (
        "import sys, pathlib, time; from raft_snapshot_agent.servers.private import private_node;"
        "node = private_node('drill', pathlib.Path(sys.argv[1]), must_be_isolated=True);"
        "node.start(); print(node.process.pid, flush=True); time.sleep(60)"
    )
    argv = [sys.executable, "-c", code, str(closed_in)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        server = int(agent.stdout.readline())
        agent.send_signal(signal.SIGKILL)
    until(lambda: not alive(server), "the server is gone", within=60)


def alive(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def test_a_killed_drills_folder_is_gone_at_the_next_start(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from raft_snapshot_agent.servers.throw_away import throw_away_folder;"
        "lent = throw_away_folder(pathlib.Path(sys.argv[1])); folder = lent.__enter__();"
        "(folder / 'data').mkdir(); (folder / 'data' / 'raft.db').write_text('x');"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert len([*tmp_path.rglob("raft.db")]) == 1

    with throw_away_folder(tmp_path) as living, throw_away_folder(tmp_path) as folder:
        assert [*tmp_path.rglob("raft.db")] == []
        assert living.is_dir()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert [*tmp_path.iterdir()] == []


def test_a_planted_folder_is_not_removed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / ".raft-snapshot-agent-x.drill-lock").touch()
    (tmp_path / ".raft-snapshot-agent-x.drill").symlink_to(precious)
    with throw_away_folder(tmp_path):
        assert precious.exists()


async def test_a_drill_uses_no_port_and_leaves_nothing(
    bao: OpenBaoCluster, closed_in: Path, tmp_path: Path
) -> None:
    with taken(8200) as seen:  # as production does, or a neighbour who waits for keys
        bao.write_secret("drill/private", {"value": "as it was"})
        snapshot = tmp_path / "s.snap"
        snapshot.write_bytes(download(bao))
        async with restored(snapshot, bao.unseal_keys, closed_in / "node") as node:
            answer = node.api("GET", "secret/data/drill/private", token=bao.root_token)
            assert answer["data"]["data"] == {"value": "as it was"}
            pid = node.process.pid
    assert seen == []
    assert pid is not None
    assert not alive(pid)


def download(bao: OpenBaoCluster) -> bytes:
    import urllib3

    url = f"{bao.leader().address}/v1/sys/storage/raft/snapshot"
    return urllib3.request("GET", url, headers={"X-Vault-Token": bao.root_token}).data


@contextlib.contextmanager
def taken(port: int) -> Iterator[list[bytes]]:
    """Take a port, and note what arrives at it; nothing where another has it."""
    seen: list[bytes] = []
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(("127.0.0.1", port))
    except OSError:
        server.close()
        yield seen
        return
    server.listen()
    server.settimeout(0.1)
    ended = threading.Event()

    def listen() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                seen.append(connection.recv(1000))
                connection.close()

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield seen
        time.sleep(0.2)
    finally:
        ended.set()
        thread.join()
        server.close()


class Rabbit:
    """As much of a RabbitMQ as makes and removes users; it notes whom it removed."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.answer()

            def do_DELETE(self) -> None:
                outer.removed.append(self.path)
                self.answer()

            def answer(self) -> None:
                self.send_response(204)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def leased(bao: OpenBaoCluster, rabbit: Rabbit) -> tuple[str, bytes]:
    """Lend a user for a moment, take a snapshot, and renew it for long; return its lease."""
    mount = f"rabbit{os.urandom(4).hex()}"
    bao.api("POST", f"sys/mounts/{mount}", {"type": "rabbitmq"})
    connection = {"connection_uri": rabbit.url, "username": "u", "password": "not-checked"}
    bao.api("POST", f"{mount}/config/connection", {**connection, "verify_connection": False})
    bao.api("POST", f"{mount}/config/lease", {"ttl": "4s", "max_ttl": "1h"})
    rights = '{"/": {"configure": ".*", "write": ".*", "read": ".*"}}'
    bao.api("POST", f"{mount}/roles/app", {"vhosts": rights})
    lease = str(bao.api("GET", f"{mount}/creds/app")["lease_id"])
    snapshot = download(bao)
    bao.api("POST", f"{mount}/config/lease", {"ttl": "600s", "max_ttl": "1h"})
    bao.api("PUT", "sys/leases/renew", {"lease_id": lease, "increment": 600})
    return lease, snapshot


@pytest.mark.soak
async def test_a_copy_revokes_nothing_that_production_renewed(
    bao: OpenBaoCluster, closed_in: Path, tmp_path: Path
) -> None:
    with Rabbit() as rabbit:
        lease, content = leased(bao, rabbit)
        snapshot = tmp_path / "s.snap"
        snapshot.write_bytes(content)
        folder = closed_in / "node"
        async with restored(snapshot, bao.unseal_keys, folder) as node:
            await tried_to_revoke(folder)
        assert node.process.pid is None
        assert rabbit.removed == []
        bao.api("PUT", "sys/leases/revoke", {"lease_id": lease, "sync": True})
        assert len(rabbit.removed) == 1


async def tried_to_revoke(folder: Path) -> None:
    """Wait until the copy has tried to take the user away."""

    def tried() -> bool:
        return "revoke" in (folder / "server.log").read_text()

    await in_thread(lambda: until(tried, "the copy tries to revoke", within=90))


# Where the host gives no namespaces.


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Isolation(works=False, why="unshare: Operation not permitted")
    monkeypatch.setattr(private, "isolation", lambda _: refused)


def test_production_is_not_brought_to_life_there(no_namespaces: None, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        private_node("drill", tmp_path / "drill", must_be_isolated=True)
    assert "unshare: Operation not permitted" in caught.value.message
    assert "user namespaces" in caught.value.hint


def test_what_is_not_production_gets_no_key_over_a_port(
    no_namespaces: None, tmp_path: Path
) -> None:
    made = private_node("drill", tmp_path / "drill", must_be_isolated=False)
    try:
        made.start()
        assert made.address.startswith("unix:///")
        given = made.init(1, 1)
        made.unseal(given.unseal_keys)
        made.wait_active()
    finally:
        made.discard()
