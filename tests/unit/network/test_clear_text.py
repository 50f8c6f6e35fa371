"""Where a secret may go without TLS."""

from __future__ import annotations

import pytest

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.network.clear_text import in_clear, issuer, refuse_plain_http
from raft_snapshot_agent.network.proxies import Proxy
from raft_snapshot_agent.storage.objectstore.aws_profile import sts


@pytest.mark.parametrize(
    ("url", "readable"),
    [
        ("https://vault.example.org:8200", False),
        ("unix:///run/vault.sock", False),
        ("http://127.0.0.1:8200", False),
        ("http://127.8.9.1", False),
        ("http://[::1]:8200", False),
        ("http://[::ffff:127.0.0.1]:8200", False),
        ("http://localhost:8200", False),
        ("http://0.0.0.0:8200", False),
        ("http://169.254.169.254/token", False),
        ("http://metadata.google.internal/token", False),
        ("http://192.0.2.7:8200", True),
        ("http://[2001:db8::7]:8200", True),
        ("http://vault:8200", True),
        ("http://localhost.example.org:8200", True),
        ("http://127.0.0.1.example.org:8200", True),
        ("HTTP://vault:8200", True),
        ("http://[broken", True),
        ("ftp://127.0.0.2", False),
        ("//vault", True),
        ("", True),
    ],
)
def test_what_others_could_read(url: str, readable: bool) -> None:
    assert in_clear(url) == readable


@pytest.mark.parametrize(
    ("url", "proxy", "readable"),
    [
        ("http://127.0.0.1:8200", "http://192.0.2.9:3128", True),
        ("http://192.0.2.7:8200", "http://127.0.0.1:3128", True),
        ("http://127.0.0.1:8200", "http://127.0.0.1:3128", False),
        ("https://192.0.2.7:8200", "http://192.0.2.9:3128", False),
    ],
)
def test_a_proxy_on_the_way_reads_along(url: str, proxy: str, readable: bool) -> None:
    assert in_clear(url, Proxy.parse(proxy, "test")) == readable


@pytest.mark.parametrize(
    ("allowed", "remote", "near"), [(None, True, False), (True, False, False), (False, True, True)]
)
def test_a_storage_says_what_it_allows(allowed: bool | None, remote: bool, near: bool) -> None:
    for url, refused in (("http://store:9000", remote), ("http://127.0.0.1:9000", near)):
        if not refused:
            refuse_plain_http(url, allowed)
            continue
        with pytest.raises(ValueError, match="is not encrypted"):
            refuse_plain_http(url.replace("http", "HTTP"), allowed)
        with pytest.raises(ValueError, match="is not encrypted: use https, or set allow_http"):
            refuse_plain_http(url, allowed)


def test_no_identity_goes_to_its_issuer_in_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://sts.example.org")
    with pytest.raises(ConfigError, match="an identity is not sent there without TLS"):
        sts("eu-central-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:4566")
    assert sts("eu-central-1") == issuer("AWS_ENDPOINT_URL_STS", "") == "http://127.0.0.1:4566"
    monkeypatch.delenv("AWS_ENDPOINT_URL_STS")
    assert sts("eu-central-1") == "https://sts.eu-central-1.amazonaws.com"
