"""Which certificates a pool of connections loads."""

from __future__ import annotations

from pathlib import Path

import pytest

from raft_snapshot_agent.network import pools
from raft_snapshot_agent.network.pools import Pools, open_pool
from raft_snapshot_agent.network.proxies import Proxy
from raft_snapshot_agent.network.trust import TlsOptions, context

TRUST = TlsOptions(ca_file=Path(__file__))  # nothing is read of it here


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[TlsOptions]:
    """The options of every context that was made."""
    made: list[TlsOptions] = []

    def note(trust: TlsOptions) -> object:
        made.append(trust)
        return context(TlsOptions())

    monkeypatch.setattr(pools, "context", note)
    return made


@pytest.mark.parametrize("url", ["http://store:9000", "HTTP://store:9000"])
@pytest.mark.parametrize("proxy", [None, Proxy.parse("http://proxy:3128", "test")])
def test_a_store_without_tls_loads_none(
    loaded: list[TlsOptions], url: str, proxy: Proxy | None
) -> None:
    Pools(TRUST).pool(url, proxy)
    assert loaded == []


@pytest.mark.parametrize("url", ["https://store", "HTTPS://store"])
def test_a_store_with_tls_loads_its_own_even_after_one_without(
    loaded: list[TlsOptions], url: str
) -> None:
    one = Pools(TRUST)
    plain = one.pool("http://store", None)
    assert one.pool(url, None) is not plain
    assert one.pool(url, None) is one.pool(url, None)
    assert loaded == [TRUST]


def test_a_proxy_with_tls_is_verified_where_the_store_has_none(loaded: list[TlsOptions]) -> None:
    open_pool(TRUST, Proxy.parse("https://proxy:3128", "test"), tls=False)
    assert loaded == [TRUST.of_proxy()]
    assert TRUST.of_proxy().ca_file == TRUST.ca_file
