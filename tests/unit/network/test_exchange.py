"""One request and its answer."""

from __future__ import annotations

import gc
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator

import pytest
import urllib3
from tests.raw_server import OK, RawServer, endless

from raft_snapshot_agent.network.connections import POOLS
from raft_snapshot_agent.network.exchange import Unacceptable, exchange

MIB = 1 << 20


def test_an_answer_that_is_too_long_is_let_go_before_its_error_is() -> None:
    """Otherwise a few tries in a row hold as many answers, until garbage is looked for."""
    gc.disable()
    tracemalloc.start()
    try:
        with RawServer(endless(OK + b"\r\n", b"x" * 65536)) as server:
            with urllib3.PoolManager() as pool, pytest.raises(Unacceptable) as caught:
                exchange(pool, "GET", server.address, seconds=60, most=8 * MIB)
            held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert "longer than" in str(caught.value)
    assert held < 2 * MIB


@pytest.mark.parametrize("size", [1, 16 << 10, MIB])
def test_no_head_is_sent_before_its_body_begins(size: int) -> None:
    """A store may take a head alone, of an agent that was killed, for an empty object."""
    received = b""

    def serve(listener: socket.socket) -> None:
        nonlocal received
        with listener.accept()[0] as one:
            while len(received.partition(b"\r\n\r\n")[2]) < size:
                if not (piece := one.recv(MIB)):
                    return
                received += piece
            one.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener, urllib3.PoolManager() as pool:

        def body() -> Iterator[bytes]:
            time.sleep(0.3)
            assert received == b""
            yield b"x" * size

        pool.pool_classes_by_scheme = POOLS
        server = threading.Thread(target=serve, args=(listener,), daemon=True)
        server.start()
        url, headers = (
            f"http://127.0.0.1:{listener.getsockname()[1]}",
            {"content-length": f"{size}"},
        )
        answer = exchange(pool, "PUT", url, seconds=60, body=body(), headers=headers)
        server.join(60)
    assert answer.status == 200
    head, _, sent = received.partition(b"\r\n\r\n")
    assert head.startswith(b"PUT / HTTP/1.1\r\n")
    assert sent == b"x" * size
