"""Every kind of connection goes through the same proxies and trusts the same certificates."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from tests.connections import ALL, BY_KEY, Way, error_of, said
from tests.deaf import deaf, give_addresses
from tests.forward_proxy import (
    HERE,
    KINDS,
    PASSWORD,
    USER,
    Forward,
    answering,
    forward_proxy,
    forwarding,
    tls_forward_proxy,
    url,
)
from tests.http_proxy import HttpProxy, status
from tests.tls_proxy import TlsProxy

from raft_snapshot_agent.errors import ServerError, StorageError
from raft_snapshot_agent.network.idle import close_idle
from raft_snapshot_agent.servers.process import LOOPBACK, free_ports, release_ports

every_kind = pytest.mark.parametrize("kind", ALL)
# The library asks STS by TLS only.
plain_kinds = pytest.mark.parametrize("kind", [one for one in ALL if one != "sts"])
EVERY_WAY = [
    (one, scheme) for one in ALL for scheme in ("http", "https") if (one, scheme) != ("sts", "http")
]
every_way = pytest.mark.parametrize(("kind", "scheme"), EVERY_WAY)
NOT_FOUND = status(404, {"errors": []})


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Without any proxy of the host's own."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.fixture
def origin() -> Iterator[HttpProxy]:
    """Who is asked in the end."""
    with HttpProxy("http://127.0.0.1:1", lambda _: NOT_FOUND) as server:
        yield server


@pytest.fixture(scope="module", params=KINDS)
def proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Forward]:
    with forward_proxy(request.param, tmp_path_factory.mktemp("proxy")) as running:
        yield running


@pytest.fixture
def way(tmp_path: Path, environment: pytest.MonkeyPatch, origin: HttpProxy) -> Way:
    port = urlsplit(origin.address).port
    return Way(f"http://{HERE}:{port}", tmp_path, environment)


@plain_kinds
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_the_proxy_of_the_environment_is_used(
    kind: str, variable: str, way: Way, origin: HttpProxy, proxy: Forward
) -> None:
    way.monkeypatch.setenv(variable, url(proxy))
    way.monkeypatch.setenv("NO_PROXY", f"10.0.0.0/8,.example,{HERE}:1,localhost")
    before = len(proxy.asked)
    await said(ALL[kind], way)
    assert origin.requests
    assert "Proxy-Authorization" not in origin.requests[0].headers
    assert len(proxy.asked) > before
    assert proxy.asked[-1].startswith(way.address)


@plain_kinds
@pytest.mark.parametrize(
    ("variable", "entry"),
    [
        ("NO_PROXY", "0.0.0.0/8"),
        ("no_proxy", "a.example,*"),
        ("NO_PROXY", "{host}:{port}"),
        ("no_proxy", " 0.0.0.0 ,x"),
    ],
)
async def test_what_is_left_out_is_asked_directly(
    kind: str, variable: str, entry: str, way: Way, origin: HttpProxy
) -> None:
    parts = urlsplit(way.address)
    with answering(status(502)) as proxy:
        way.monkeypatch.setenv("http_proxy", url(proxy))
        way.monkeypatch.setenv("ALL_PROXY", url(proxy))
        way.monkeypatch.setenv(variable, entry.format(host=parts.hostname, port=parts.port))
        await said(ALL[kind], way)
        assert proxy.asked == []
    assert origin.requests


@plain_kinds
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_loopback_is_never_asked_through_the_environments_proxy(
    kind: str, host: str, way: Way, origin: HttpProxy, tmp_path: Path
) -> None:
    port = urlsplit(origin.address).port
    with answering(status(502)) as proxy:
        way.monkeypatch.setenv("HTTP_PROXY", url(proxy))
        await said(ALL[kind], Way(f"http://{host}:{port}", tmp_path, way.monkeypatch))
        assert proxy.asked == []
    assert origin.requests


@plain_kinds
async def test_names_are_left_out_by_their_domain(kind: str, way: Way, tmp_path: Path) -> None:
    with answering(status(502)) as proxy:
        way.monkeypatch.setenv("HTTP_PROXY", url(proxy))
        way.monkeypatch.setenv("NO_PROXY", ".store.invalid")
        inside, outside = "http://a.store.invalid:81", "http://store.invalid:81"
        error = await said(ALL[kind], Way(inside, tmp_path, way.monkeypatch, timeout="1s"))
        assert error
        assert f":{proxy.port}" not in error
        assert proxy.asked == []
        await said(ALL[kind], Way(outside, tmp_path, way.monkeypatch, timeout="1s"))
        assert proxy.asked


@plain_kinds
async def test_a_password_may_hold_any_character(kind: str, way: Way, origin: HttpProxy) -> None:
    user, password = "me@corp", "pä$s@w/o:r#d%41?"
    with answering(forwarding(user, password)) as proxy:
        way.monkeypatch.setenv("HTTP_PROXY", url(proxy, user, password))
        error = await said(ALL[kind], way)
        assert origin.requests, error
        assert proxy.asked


@pytest.mark.parametrize("kind", BY_KEY)
async def test_the_configured_proxy_comes_before_the_environment(
    kind: str, way: Way, origin: HttpProxy, proxy: Forward, tmp_path: Path
) -> None:
    """And leaves no host out, this one included."""
    way.monkeypatch.setenv("HTTP_PROXY", "http://nobody.invalid:1")
    way.monkeypatch.setenv("NO_PROXY", "*")
    before = len(proxy.asked)
    address = origin.address
    await said(BY_KEY[kind], Way(address, tmp_path, way.monkeypatch, proxy=url(proxy)))
    assert origin.requests
    assert len(proxy.asked) > before


@plain_kinds
async def test_one_address_of_several_is_enough(kind: str, way: Way, origin: HttpProxy) -> None:
    """As with `bao`: names often have an IPv6 address to which no route leads."""
    port = urlsplit(origin.address).port
    assert port is not None
    give_addresses(way.monkeypatch, "several.test", ["127.0.0.2", LOOPBACK])
    with deaf("127.0.0.2", port):
        began = time.monotonic()
        error = await said(ALL[kind], replace(way, address=f"http://several.test:{port}"))
        assert origin.requests, error
        assert time.monotonic() - began < 5, "as if each address had to run into its time-out"


class Chain:
    """An authority, one below it, and a server that the latter signed for."""

    def __init__(self, folder: Path) -> None:
        self.root = trustme.CA()
        self.intermediate = self.root.create_child_ca()
        self.folder = folder

    def file(self, *authorities: trustme.CA) -> Path:
        """Write certificates into one file, with words between them."""
        path = self.folder / "authorities.pem"
        texts = (b"# an authority\n" + one.cert_pem.bytes() for one in authorities)
        path.write_bytes(b"\n".join(texts))
        return path


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path)


@pytest.fixture
def secure(chain: Chain) -> Iterator[TlsProxy]:
    """The same over TLS."""
    with TlsProxy("http://127.0.0.1:1", lambda _: NOT_FOUND, chain.intermediate, HERE) as server:
        yield server


def over_tls(way: Way, secure: HttpProxy, ca_file: Path) -> Way:
    address = f"https://{HERE}:{urlsplit(secure.address).port}"
    return Way(address, way.folder, way.monkeypatch, ca_file, timeout=way.timeout)


@every_kind
@pytest.mark.parametrize("trusted", ["root", "intermediate", "several"])
async def test_any_authority_of_the_chain_is_enough(
    kind: str, trusted: str, way: Way, chain: Chain, secure: HttpProxy
) -> None:
    names = {"root": [chain.root], "intermediate": [chain.intermediate]}
    several = [trustme.CA(), chain.intermediate, trustme.CA()]
    ca_file = chain.file(*names.get(trusted, several))
    error = await said(ALL[kind], over_tls(way, secure, ca_file))
    assert "trusted" not in error
    assert secure.requests


@every_kind
async def test_a_chain_that_is_not_trusted_is_told(
    kind: str, way: Way, chain: Chain, secure: HttpProxy
) -> None:
    error = await said(ALL[kind], over_tls(way, secure, chain.file(trustme.CA())))
    assert secure.requests == []
    assert "certificate" in error
    assert kind in {"voucher", "kubernetes"} or "ca_file" in error


@every_kind
async def test_an_authority_that_was_renewed_is_trusted(
    kind: str, way: Way, chain: Chain, secure: TlsProxy
) -> None:
    """Certificates are renewed while the agent runs, often by a program that tells nobody."""
    other = trustme.CA()
    async with ALL[kind](over_tls(way, secure, chain.file(chain.root))) as ask:
        assert "certificate" not in await error_of(ask)
        close_idle(0)
        secure.renew(other)
        assert "certificate" in await error_of(ask)
        chain.file(other)
        assert "certificate" not in await error_of(ask)
        close_idle(0)
        # To those that ask again, an error of the configuration would be the end.
        chain.file().write_text("as of a program that has written half of it")
        with pytest.raises((ServerError, StorageError)):
            await ask()


@every_kind
async def test_tls_goes_through_a_tunnel(
    kind: str, way: Way, chain: Chain, secure: HttpProxy, proxy: Forward
) -> None:
    way.monkeypatch.setenv("HTTPS_PROXY", url(proxy))
    way.monkeypatch.setenv("HTTP_PROXY", "http://nobody.invalid:1")
    before = len(proxy.asked)
    through = over_tls(way, secure, chain.file(chain.intermediate))
    await said(ALL[kind], through)
    assert secure.requests
    assert len(proxy.asked) > before
    assert proxy.asked[-1] == urlsplit(through.address).netloc


@every_way
async def test_a_proxy_may_be_reached_by_tls(
    kind: str, scheme: str, way: Way, chain: Chain, secure: HttpProxy, origin: HttpProxy
) -> None:
    ca_file = chain.file(chain.root)
    way.monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    tls = scheme == "https"
    asked = over_tls(way, secure, ca_file) if tls else way
    with tls_forward_proxy(chain.root) as proxy:
        way.monkeypatch.setenv("ALL_PROXY", url(proxy).replace("http:", "https:"))
        error = await said(ALL[kind], asked)
        assert proxy.asked, error
    assert (secure if tls else origin).requests, error
    with tls_forward_proxy(trustme.CA()) as stranger:
        way.monkeypatch.setenv("ALL_PROXY", url(stranger).replace("http:", "https:"))
        error = await said(ALL[kind], asked)
        assert stranger.asked == []
    assert f"the proxy {LOOPBACK}:{stranger.port} (set by ALL_PROXY)" in error
    assert "certificate" in error


def blamed(error: str, port: int, variable: str = "ALL_PROXY") -> str:
    """Return what is said after naming the proxy, once and without its password."""
    assert error.isprintable()
    assert PASSWORD not in error
    assert "wrong-word" not in error
    before, name, reason = error.partition(
        f" through the proxy {LOOPBACK}:{port} (set by {variable}): "
    )
    assert name, error
    assert "the store " not in reason
    assert before
    return reason


@every_way
async def test_a_real_proxy_that_wants_a_login_is_told(
    kind: str, scheme: str, way: Way, proxy: Forward, tmp_path: Path
) -> None:
    asked = Way(f"{scheme}://{HERE}:1", tmp_path, way.monkeypatch, timeout="5s")
    way.monkeypatch.setenv("ALL_PROXY", url(proxy, None))
    reason = blamed(await said(ALL[kind], asked), proxy.port)
    assert "demand" in reason
    assert "a user name and" in reason


@every_way
async def test_a_proxy_that_wants_a_login_is_told(
    kind: str, scheme: str, way: Way, tmp_path: Path
) -> None:
    asked = Way(f"{scheme}://{HERE}:1", tmp_path, way.monkeypatch, timeout="5s")
    with answering(forwarding()) as proxy:
        way.monkeypatch.setenv("ALL_PROXY", url(proxy, None))
        reason = blamed(await said(ALL[kind], asked), proxy.port)
        assert "the proxy demands a user name and a password (407" in reason
        assert "(write USER:PASSWORD@ before the host in ALL_PROXY" in reason
        way.monkeypatch.setenv("ALL_PROXY", url(proxy, USER, "wrong-word-of-proxy"))
        reason = blamed(await said(ALL[kind], asked), proxy.port)
        assert "the proxy refuses the user name and password (407" in reason
        assert "(correct them in ALL_PROXY)" in reason


@every_kind
@pytest.mark.parametrize("code", [403, 502])
async def test_a_proxy_that_makes_no_connection_is_told(
    kind: str, code: int, way: Way, tmp_path: Path
) -> None:
    asked = Way(f"https://{HERE}:1", tmp_path, way.monkeypatch, timeout="2s")
    with answering(status(code)) as proxy:
        way.monkeypatch.setenv("ALL_PROXY", url(proxy))
        reason = blamed(await said(ALL[kind], asked), proxy.port)
    assert f"{HERE}:1" in reason
    assert "NO_PROXY" in reason


@every_way
async def test_a_proxy_that_is_down_is_told(
    kind: str, scheme: str, way: Way, tmp_path: Path
) -> None:
    asked = Way(f"{scheme}://{HERE}:1", tmp_path, way.monkeypatch, timeout="2s")
    (port,) = free_ports(1)
    try:
        way.monkeypatch.setenv("ALL_PROXY", f"http://{USER}:{PASSWORD}@{LOOPBACK}:{port}")
        reason = blamed(await said(ALL[kind], asked), port)
    finally:
        release_ports([port])
    assert "the proxy does not accept the connection: connect" in reason
    assert "(check that the proxy runs, and ALL_PROXY)" in reason


@pytest.mark.parametrize(
    ("kind", "scheme"),
    [
        pytest.param(*way, marks=[pytest.mark.soak] if way[0] == "kubernetes" else [])
        for way in EVERY_WAY  # the library for Kubernetes waits for ten seconds
    ],
)
async def test_a_proxy_that_hangs_is_named(
    kind: str, scheme: str, way: Way, tmp_path: Path
) -> None:
    asked = Way(f"{scheme}://{HERE}:1", tmp_path, way.monkeypatch, timeout="1s")
    way.monkeypatch.setattr("raft_snapshot_agent.vault.auth.cloud_identity._SECONDS", 1.0)
    with socket.create_server((LOOPBACK, 0)) as silent:
        port = silent.getsockname()[1]
        way.monkeypatch.setenv("ALL_PROXY", f"http://{USER}:{PASSWORD}@{LOOPBACK}:{port}")
        blamed(await said(ALL[kind], asked), port)


@pytest.mark.parametrize("kind", BY_KEY)
async def test_an_error_names_the_key_that_sets_the_proxy(
    kind: str, way: Way, tmp_path: Path
) -> None:
    key = "vault.proxy" if kind in {"server", "snapshot"} else "the storage's key proxy"
    with answering(status(403)) as proxy:
        configured = url(proxy)
        asked = Way(f"https://{HERE}:1", tmp_path, way.monkeypatch, proxy=configured, timeout="2s")
        reason = blamed(await said(BY_KEY[kind], asked), proxy.port, key)
    assert f"or remove {key}" in reason
