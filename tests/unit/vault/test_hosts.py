from __future__ import annotations

import socket
from typing import Any

import pytest

from raft_snapshot_agent.vault import hosts
from raft_snapshot_agent.vault.hosts import doubt_own_host, is_local, is_own

_LOOKUP = socket.getaddrinfo


def own_address() -> str:
    """An address of this host that is not loopback, or the next best."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.7", 9))  # nothing is sent
        except OSError:
            return "127.0.1.7"
        return str(probe.getsockname()[0])


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, ...]]:
    """Names and their addresses, as DNS or /etc/hosts would have them."""
    known: dict[str, tuple[str, ...]] = {}

    def look_up(host: str, *rest: Any, **more: Any) -> list[Any]:
        if host in known:
            return [entry for ip in known[host] for entry in _LOOKUP(ip, *rest, **more)]
        if host.replace(".", "").isdigit() or ":" in host or len(host) > 63:
            return _LOOKUP(host, *rest, **more)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    known["localhost"] = ("127.0.0.1",)
    return known


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8200",
        "https://127.8.9.1",
        "https://[::1]:8200",
        "https://[::ffff:127.0.0.1]:8200",
        "http://0.0.0.0:8200",
        "http://[::]:8200",
        "http://localhost:8200",
        "http://localhost.:8200",
        "unix:///run/bao.sock",
    ],
)
@pytest.mark.usefixtures("names")
def test_loopback_is_local_but_names_no_host_of_its_own(address: str) -> None:
    assert is_local(address)
    assert not is_own(address)


def test_an_address_of_this_host_is_both(names: dict[str, tuple[str, ...]]) -> None:
    names["vault-0"] = (own_address(),)
    for address in ("https://vault-0:8200", "https://VAULT-0", "https://vault-0.:8200"):
        assert is_local(address)
        assert is_own(address)
    if not own_address().startswith("127."):
        assert is_local(f"https://{own_address()}:8200")
        assert is_own(f"https://{own_address()}:8200")


@pytest.mark.parametrize(
    "address",
    [
        "https://203.0.113.7:8200",
        "https://[2001:db8::1]:8200",
        "https://[::ffff:203.0.113.7]:8200",
        "https://224.0.0.1:8200",
        "https://[ff02::1]:8200",
        "https://no-such-host.invalid:8200",
        f"https://{'long' * 20}.invalid",
        "https://",
        "https://[",
        "https://x:y",
        "",
    ],
)
@pytest.mark.usefixtures("names")
def test_foreign_addresses_and_nonsense_are_neither(address: str) -> None:
    assert not is_local(address)
    assert not is_own(address)


@pytest.mark.parametrize("ip", ["127.0.1.1", "127.0.0.1", "::1"])
def test_a_name_that_resolves_to_loopback_here_is_this_hosts_name(
    names: dict[str, tuple[str, ...]], ip: str
) -> None:
    names["vault-0.internal"] = (ip,)
    assert is_local("https://vault-0.internal:8200")
    assert is_own("https://vault-0.internal:8200")


def test_a_name_of_several_hosts_is_own_where_one_of_them_is_this(
    names: dict[str, tuple[str, ...]],
) -> None:
    names["vault"] = ("203.0.113.7", "203.0.113.8")
    assert not is_own("https://vault")
    names["vault"] = ("203.0.113.7", "2001:db8::1", own_address())
    assert is_own("https://vault")


@pytest.mark.parametrize("other", ["203.0.113.7", "2001:db8::1", "::ffff:203.0.113.7"])
def test_a_name_of_several_hosts_is_not_local(
    names: dict[str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    monkeypatch.setattr(hosts, "has_route", lambda _: True)
    for addresses in ((other,), (own_address(), other), (other, own_address())):
        names["vault"] = addresses
        assert not is_local("https://vault")


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1", "::1"),
        ("127.0.1.1", own_address()),
        (own_address(), "::1"),
        ("::1", f"::ffff:{own_address()}"),
    ],
)
def test_a_name_with_several_addresses_of_this_host_is_local(
    names: dict[str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    monkeypatch.setattr(hosts, "has_route", lambda _: True)
    names["vault-0"] = addresses
    assert is_local("https://vault-0")


@pytest.mark.parametrize("useless", ["fe80::1", "2001:db8::1"])
def test_an_address_without_a_route_makes_no_name_another_hosts(
    names: dict[str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, useless: str
) -> None:
    if useless.startswith("2001"):
        monkeypatch.setattr(hosts, "has_route", lambda _: False)
    names["vault-0"] = (own_address(), useless)
    assert is_local("https://vault-0")
    names["vault-0"] = (useless,)
    assert not is_local("https://vault-0")


@pytest.mark.parametrize(
    ("announced", "doubted"),
    [
        ("https://203.0.113.7:8200", True),
        ("https://lb.example.com", True),
        ("https://127.0.0.1:8200", False),
        ("http://localhost:8200", False),
        ("https://vault-0:8200", False),
        ("", False),
    ],
)
def test_a_leader_at_loopback_that_announces_another_host_is_doubted(
    names: dict[str, tuple[str, ...]], announced: str, doubted: bool
) -> None:
    names["vault-0"] = (own_address(),)
    assert bool(doubt_own_host("http://127.0.0.1:8200", announced, proxied=False)) is doubted
    assert bool(doubt_own_host("unix:///run/proxy.sock", announced, proxied=True)) is doubted
    assert doubt_own_host("unix:///run/bao.sock", announced, proxied=False) is None
