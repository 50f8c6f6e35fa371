"""One request and its answer."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
import urllib3
from tests.raw_server import OK, RawServer, endless

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
