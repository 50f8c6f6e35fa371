"""The stream from the server: whole, or ended with a reason, and never left open."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.cluster.recording import settled
from tests.elections import standbys
from tests.http_proxy import Exchange, hang, status
from tests.lying import (
    Behaviour,
    LyingProxy,
    bitflip_state,
    cut_after,
    empty,
    halve,
    json_body,
    stale,
    stall_after,
    trailing,
    truncate,
    without_sealed,
)

from raft_snapshot_agent.core.snapshot_file.archive import ArchiveVerifier
from raft_snapshot_agent.core.snapshots.snapshot import Snapshot
from raft_snapshot_agent.errors import (
    Denied,
    Interrupted,
    Sealed,
    ServerError,
    StaleSnapshot,
    Unreachable,
    VerificationError,
)
from raft_snapshot_agent.servers.openbao import OpenBaoCluster, fill
from raft_snapshot_agent.transfer.download import verify
from raft_snapshot_agent.transfer.spool import Spool
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.settings import VaultSettings
from raft_snapshot_agent.vault.stream import SnapshotStream

MIB = 1 << 20
StartBao = Callable[..., OpenBaoCluster]


@pytest.fixture
def proxy(bao: OpenBaoCluster) -> Iterator[LyingProxy]:
    with LyingProxy(bao.leader().address) as lying:
        yield lying


@pytest.fixture
def node(proxy: LyingProxy) -> Iterator[Node]:
    one = Node(proxy.address, VaultSettings())
    yield one
    one.close()


@pytest.fixture
def impatient(proxy: LyingProxy) -> Iterator[Node]:
    """A client that waits half a second for the next byte."""
    one = Node(proxy.address, VaultSettings(stall_timeout=timedelta(seconds=0.5)))
    yield one
    one.close()


def verified(stream: SnapshotStream) -> Snapshot:
    verifier = ArchiveVerifier()
    for chunk in stream.chunks():
        verifier.feed(chunk)
    return verifier.finish()


def test_a_large_snapshot_comes_in_bounded_pieces(start_bao: StartBao) -> None:
    cluster = start_bao()
    fill(cluster, 5 * MIB)
    node = Node(cluster.leader().address, VaultSettings())
    chunks = list(node.open_snapshot(cluster.root_token).chunks())
    assert max(map(len, chunks)) <= MIB
    assert sum(map(len, chunks)) > 5 * MIB
    node.close()


def test_a_leader_that_dies_cuts_the_stream_off(start_bao: StartBao) -> None:
    cluster = start_bao()
    fill(cluster, 24 * MIB)
    leader = cluster.leader()
    node = Node(leader.address, VaultSettings())
    chunks = node.open_snapshot(cluster.root_token).chunks()
    received = [len(next(chunks))]
    leader.kill()
    with pytest.raises(Interrupted, match=f"from {leader.address} was cut off after") as raised:
        received.extend(map(len, chunks))
    assert f"after {sum(received)} bytes (the agent tries again;" in str(raised.value)
    node.close()


def test_a_token_without_the_right_is_told(node: Node, bao: OpenBaoCluster) -> None:
    answer = bao.api("POST", "auth/token/create", {"policies": ["default"]})
    with pytest.raises(Denied, match=r"403: permission denied \(likely the token needs read"):
        node.open_snapshot(answer["auth"]["client_token"])


@pytest.mark.parametrize(
    ("code", "errors", "kind", "hint"),
    [
        (503, ["Vault is sealed"], Sealed, "unseal it"),
        (429, ["rate limit quota exceeded"], ServerError, "rate limit"),
        (500, ["raft error: nothing new to snapshot"], ServerError, "has just started"),
        (500, ["cannot take snapshot now, wait until"], ServerError, "members of the cluster are"),
        (400, ["raft storage is not in use"], ServerError, "use integrated (raft) storage"),
        (204, [], ServerError, "check the server's log"),
    ],
)
def test_a_refusal_is_told_with_what_to_try(
    proxy: LyingProxy, node: Node, code: int, errors: list[str], kind: type[Exception], hint: str
) -> None:
    proxy.snapshot = status(code, {"errors": errors} if errors else b"")
    with pytest.raises(kind) as raised:
        node.open_snapshot("a-token")
    assert hint in str(raised.value)


@pytest.mark.parametrize("size", [0, 1, 10_000])
def test_a_cut_is_told_with_how_much_came(
    proxy: LyingProxy, node: Node, bao: OpenBaoCluster, size: int
) -> None:
    proxy.snapshot = cut_after(size)
    stream = node.open_snapshot(bao.root_token)
    with pytest.raises(Interrupted, match=f"was cut off after {size} bytes"):
        list(stream.chunks())


@pytest.mark.parametrize("size", [0, 10_000])
def test_silence_is_not_waited_out(proxy: LyingProxy, impatient: Node, size: int) -> None:
    def fall_silent(exchange: Exchange) -> None:
        exchange.begin(200, [("Transfer-Encoding", "chunked")])
        exchange.send(bytes(size))
        hang(exchange)

    proxy.snapshot = fall_silent
    stream = impatient.open_snapshot("a-token")
    with pytest.raises(Interrupted, match=rf"went silent for 0\.5 s after {size} bytes"):
        list(stream.chunks())


def test_a_server_that_never_answers_is_not_waited_for(proxy: LyingProxy, impatient: Node) -> None:
    proxy.snapshot = hang
    with pytest.raises(Unreachable, match=r"in time \(.* raise vault\.stall_timeout\)"):
        impatient.open_snapshot("a-token")


def test_a_reader_that_waits_can_be_stopped(
    proxy: LyingProxy, node: Node, bao: OpenBaoCluster
) -> None:
    proxy.snapshot = stall_after(10_000)
    stream = node.open_snapshot(bao.root_token)
    reading, ended = threading.Event(), threading.Event()

    def read() -> None:
        try:
            for _ in stream.chunks():
                reading.set()
        except Interrupted:
            ended.set()

    thread = threading.Thread(target=read)
    thread.start()
    assert reading.wait(30)
    stream.stop()
    assert ended.wait(30)
    thread.join()


def read_all(stream: SnapshotStream) -> None:
    with pytest.raises(Interrupted):
        list(stream.chunks())


def read_some(stream: SnapshotStream) -> None:
    chunks = stream.chunks()
    next(chunks)
    chunks.close()


@pytest.mark.parametrize("end", [read_all, read_some, SnapshotStream.stop])
def test_the_connection_is_closed_in_every_ending(end: Callable[[SnapshotStream], None]) -> None:
    """An open one could freeze the leader."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.settimeout(30)
                client.recv(4096)
                client.sendall(answer)
                seen.append(client.recv(1))

        thread = threading.Thread(target=serve)
        thread.start()
        node = Node(address, VaultSettings(stall_timeout=timedelta(seconds=1)))
        stream = node.open_snapshot("a-token")
        end(stream)
        thread.join()
        stream.stop()
        node.close()
    assert seen == [b""]


@pytest.mark.parametrize(
    "lie",
    [
        empty(),
        truncate(1),
        halve(),
        without_sealed(),
        bitflip_state(),
        trailing(b"\0"),
        json_body({"errors": []}),
    ],
    ids=["empty", "one short", "half", "unsealed", "flipped", "more", "json"],
)
def test_a_well_formed_answer_proves_nothing(
    proxy: LyingProxy, node: Node, bao: OpenBaoCluster, lie: Behaviour
) -> None:
    proxy.snapshot = lie
    with pytest.raises(VerificationError):
        verified(node.open_snapshot(bao.root_token))


def test_an_answer_without_length_that_ends_early_is_no_snapshot(
    proxy: LyingProxy, node: Node, bao: OpenBaoCluster
) -> None:
    def old_fashioned(exchange: Exchange) -> None:
        archive = exchange.forward().read()
        exchange.begin(200, [("Connection", "close")])
        exchange.send(archive[:-100])
        exchange.cut()

    proxy.snapshot = old_fashioned
    with pytest.raises(VerificationError, match="cut off after"):
        verified(node.open_snapshot(bao.root_token))


async def test_an_older_snapshot_than_the_leader_had_applied_is_stale(
    proxy: LyingProxy, node: Node, bao: OpenBaoCluster, tmp_path: Path
) -> None:
    old = b"".join(node.open_snapshot(bao.root_token).chunks())
    bao.write_secret("stale", {"a": 1})
    applied = node.leader_status().applied_index
    proxy.snapshot = stale(old)
    with pytest.raises(StaleSnapshot, match=f"the leader had applied {applied}"):
        await accepted(node.open_snapshot(bao.root_token), applied, tmp_path)
    assert await accepted(node.open_snapshot(bao.root_token), 0, tmp_path)


async def test_a_standby_that_lags_behind_is_caught(bao3: StartBao, tmp_path: Path) -> None:
    """Every standby does, for some milliseconds after a write."""
    cluster = bao3()
    settled(cluster.nodes)
    leader = cluster.leader()
    standby = Node(standbys(cluster)[0].address, VaultSettings())
    deadline = time.monotonic() + 60
    caught = ""
    while not caught:
        assert time.monotonic() < deadline
        cluster.write_secret("stale", {"a": 1})
        applied = leader.api("GET", "sys/leader")["raft_applied_index"]
        try:
            await accepted(standby.open_snapshot(cluster.root_token), applied, tmp_path)
        except ServerError:
            continue  # it has not applied the last change of the cluster's members yet
        except StaleSnapshot as error:
            caught = str(error)
    assert "(probably a standby answered instead of the leader; the agent tries again)" in caught
    standby.close()


@pytest.mark.parametrize("times", [6, pytest.param(40, marks=pytest.mark.soak)])
async def test_a_busy_leaders_snapshot_is_not_stale(
    bao3: StartBao, tmp_path: Path, times: int
) -> None:
    """What it has written down and not applied yet is in no snapshot, and answered to nobody."""
    cluster = bao3()
    node = Node(cluster.leader().address, VaultSettings())
    ended = threading.Event()

    def write(number: int) -> None:
        while not ended.is_set():
            cluster.write_secret(f"busy-{number}", {"a": 1})

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(times):
            applied = node.leader_status().applied_index
            stream = node.open_snapshot(cluster.root_token)
            assert (await accepted(stream, applied, tmp_path)).meta.index >= applied
    finally:
        ended.set()
        for writer in writers:
            writer.join()
        node.close()


async def accepted(stream: SnapshotStream, applied_index: int, folder: Path) -> Snapshot:
    with Spool.create(folder, "0a1b2c") as spool:
        for chunk in stream.chunks():
            spool.write(chunk)
        spool.complete()
        await verify(spool, applied_index=applied_index)
        if spool.error is not None:
            raise spool.error
        return spool.verdict()
