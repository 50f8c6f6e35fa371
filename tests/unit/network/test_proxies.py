"""Which proxy a URL goes through, by the rules of Go's httpproxy."""

from __future__ import annotations

import pytest
from botocore.session import get_session
from botocore.utils import IMDSFetcher

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.network.proxies import Proxy, check_environment, route
from raft_snapshot_agent.vault.auth.aws import AwsAuth

PROXY = "http://proxy.example:3128"
OTHER = "http://other.example:3128"


def through(url: str, **environ: str) -> str | None:
    proxy = route(url, environ=environ)
    return None if proxy is None else f"{proxy.address} {proxy.source}"


@pytest.mark.parametrize(
    ("environ", "url", "expected"),
    [
        ({}, "https://a.example", None),
        ({"HTTPS_PROXY": PROXY}, "https://a.example", f"{PROXY} HTTPS_PROXY"),
        ({"https_proxy": PROXY}, "https://a.example", f"{PROXY} https_proxy"),
        ({"HTTPS_PROXY": PROXY, "https_proxy": OTHER}, "https://a.example", f"{PROXY} HTTPS_PROXY"),
        ({"HTTPS_PROXY": "", "https_proxy": OTHER}, "https://a.example", f"{OTHER} https_proxy"),
        ({"HTTPS_PROXY": PROXY}, "http://a.example", None),
        ({"HTTP_PROXY": PROXY}, "https://a.example", None),
        ({"HTTP_PROXY": PROXY}, "http://a.example", f"{PROXY} HTTP_PROXY"),
        ({"http_proxy": PROXY}, "http://a.example", f"{PROXY} http_proxy"),
        ({"ALL_PROXY": PROXY}, "http://a.example", f"{PROXY} ALL_PROXY"),
        ({"all_proxy": PROXY}, "https://a.example", f"{PROXY} all_proxy"),
        ({"ALL_PROXY": OTHER, "https_proxy": PROXY}, "https://a.example", f"{PROXY} https_proxy"),
        ({"ALL_PROXY": PROXY, "no_proxy": "a.example"}, "https://a.example", None),
        ({"HTTPS_PROXY": "proxy.example:3128"}, "https://a.example", f"{PROXY} HTTPS_PROXY"),
        ({"HTTPS_PROXY": "https://p.example"}, "https://a.example", "https://p.example:443 HTTPS_PROXY"),
        ({"HTTPS_PROXY": "http://p.example/"}, "https://a.example", "http://p.example:80 HTTPS_PROXY"),
        ({"HTTPS_PROXY": "http://[2001:db8::5]:3128"}, "https://a.example", "http://[2001:db8::5]:3128 HTTPS_PROXY"),
        ({"HTTPS_PROXY": PROXY, "REQUEST_METHOD": "GET"}, "https://a.example", f"{PROXY} HTTPS_PROXY"),
        ({"ALL_PROXY": PROXY, "REQUEST_METHOD": "GET"}, "http://a.example", f"{PROXY} ALL_PROXY"),
        # never through the environment's proxy, whatever it says
        ({"HTTP_PROXY": PROXY}, "http://localhost:8200", None),
        ({"HTTP_PROXY": PROXY}, "http://LOCALHOST:8200", None),
        ({"HTTPS_PROXY": PROXY}, "https://127.0.0.1:8200", None),
        ({"HTTPS_PROXY": PROXY}, "https://127.8.9.1", None),
        ({"HTTPS_PROXY": PROXY}, "https://[::1]:8200", None),
        ({"HTTPS_PROXY": PROXY}, "https://[::ffff:127.0.0.1]:8200", None),
        ({"HTTP_PROXY": PROXY}, "http://169.254.169.254/latest", None),
        ({"HTTP_PROXY": PROXY}, "http://[fd00:ec2::254]/latest", None),
        ({"HTTP_PROXY": PROXY}, "http://metadata.google.internal/x", None),
        ({"HTTP_PROXY": PROXY}, "unix:///run/vault.sock", None),
    ],
)  # fmt: skip
def test_the_environment_is_read_as_go_reads_it(
    environ: dict[str, str], url: str, expected: str | None
) -> None:
    assert through(url, **environ) == expected


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize(
    ("entry", "excluded", "included"),
    [
        ("*", ["http://a.example", "http://10.0.0.1", "http://[2001:db8::1]"], []),
        ("b.example, *", ["http://a.example", "http://10.0.0.1:8200"], []),
        ("a.example", ["http://a.example", "http://x.a.example:99", "http://A.Example"], ["http://ba.example", "http://a.example.org"]),
        (" A.EXAMPLE ", ["http://a.example"], []),
        (".a.example", ["http://x.a.example", "http://y.x.a.example"], ["http://a.example", "http://xa.example"]),
        ("*.a.example", ["http://x.a.example"], ["http://a.example"]),
        ("a.example:8200", ["http://a.example:8200", "http://x.a.example:8200"], ["http://a.example", "http://a.example:8201"]),
        (".a.example:80", ["http://x.a.example"], ["http://a.example", "http://x.a.example:81"]),
        ("*.a.example:443", ["https://x.a.example"], ["http://x.a.example"]),
        ("10.0.0.0/8", ["http://10.1.2.3", "http://10.255.0.1:9"], ["http://11.0.0.1", "http://ten.example"]),
        ("10.1.2.3/8", ["http://10.9.9.9"], ["http://11.0.0.1"]),
        ("10.0.0.1", ["http://10.0.0.1", "http://10.0.0.1:99"], ["http://10.0.0.10"]),
        ("10.0.0.1:99", ["http://10.0.0.1:99"], ["http://10.0.0.1", "http://10.0.0.1:9"]),
        ("2001:db8::/32", ["http://[2001:db8::9]:80"], ["http://[2001:db9::1]"]),
        ("2001:db8::1", ["http://[2001:db8::1]", "http://[2001:db8:0::1]:7"], ["http://[2001:db8::2]"]),
        ("[2001:db8::1]", ["http://[2001:db8::1]"], ["http://[2001:db8::2]"]),
        ("[2001:db8::1]:80", ["http://[2001:db8::1]"], ["http://[2001:db8::1]:81"]),
        ("::ffff:10.0.0.1", ["http://10.0.0.1"], ["http://10.0.0.2"]),
        ("x.example,10.0.0.0/8,,", ["http://10.0.0.1", "http://x.example"], ["http://y.example"]),
        ("bücher.example", ["http://bücher.example", "http://xn--bcher-kva.example"], []),
        (".0.0.1", [], ["http://10.0.0.1"]),
        ("0.0.1", [], ["http://10.0.0.1"]),
        ("a.example b.example", [], ["http://a.example", "http://b.example"]),
        ("a.example/8", [], ["http://a.example"]),
        (":80", [], ["http://a.example"]),
        ("10.0.0.0/99", [], ["http://10.0.0.1"]),
    ],
)  # fmt: skip
def test_exceptions_are_read_as_go_reads_them(
    variable: str, entry: str, excluded: list[str], included: list[str]
) -> None:
    environ = {"ALL_PROXY": PROXY, variable: entry}
    assert [url for url in excluded if through(url, **environ)] == []
    assert [url for url in included if not through(url, **environ)] == []


def test_the_upper_case_exceptions_come_first() -> None:
    environ = {"ALL_PROXY": PROXY, "NO_PROXY": "b.example", "no_proxy": "a.example"}
    assert through("http://a.example", **environ)
    assert not through("http://b.example", **environ)


def test_a_header_of_a_cgi_request_names_no_proxy() -> None:
    with pytest.raises(ConfigError, match="HTTP_PROXY is not used where REQUEST_METHOD is set"):
        through("http://a.example", HTTP_PROXY=PROXY, REQUEST_METHOD="GET")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("socks5://proxy.example:1080", "SOCKS proxy"),
        ("ftp://proxy.example", "not the URL of a proxy"),
        ("http://", "not the URL of a proxy"),
        ("http://proxy.example:port", "not the URL of a proxy"),
        ("http://proxy.example:0", "not the URL of a proxy"),
        ("http://proxy.example:3128/path", "ends after its port"),
        ("http://me:ab#hunter@proxy.example:3128", "not the URL of a proxy"),
        ("http://me:ab/hunter@proxy.example:3128", "not the URL of a proxy"),
        ("http://me:ab?hunter@proxy.example:3128", "not the URL of a proxy"),
        ("ftp://me:hunter@proxy.example", "not the URL of a proxy"),
    ],
)
def test_a_variable_that_cannot_be_used_is_told_with_its_name(value: str, why: str) -> None:
    with pytest.raises(ConfigError) as raised:
        through("https://a.example", HTTPS_PROXY=value)
    assert raised.value.message.startswith("HTTPS_PROXY: ")
    assert why in raised.value.message
    assert "hunter" not in str(raised.value)
    with pytest.raises(ConfigError, match="HTTPS_PROXY"):
        check_environment({"HTTPS_PROXY": value})
    # nobody is hindered who does not need it
    assert through("https://127.0.0.1:8200", HTTPS_PROXY=value) is None
    assert through("https://a.example", HTTPS_PROXY=value, NO_PROXY="a.example") is None


def test_the_configured_proxy_leaves_no_host_out_but_the_platforms_own() -> None:
    configured = Proxy.parse(PROXY, "vault.proxy")
    environ = {"NO_PROXY": "*", "HTTPS_PROXY": OTHER}
    for url in ("https://a.example", "http://127.0.0.1:8200", "http://localhost"):
        assert route(url, configured, environ) == configured
    for url in ("http://169.254.169.254/x", "unix:///run/s"):
        assert route(url, configured, environ) is None


def test_credentials_are_decoded_for_the_proxy_and_shown_to_nobody() -> None:
    proxy = Proxy.parse("http://me%40corp:p%23%C3%A4ss@proxy.example:3128", "HTTPS_PROXY")
    assert proxy.headers == {"proxy-authorization": "Basic bWVAY29ycDpwI8Okc3M="}
    assert proxy.url == "http://me%40corp:p%23%C3%A4ss@proxy.example:3128"
    assert str(proxy) == "the proxy proxy.example:3128 (set by HTTPS_PROXY)"
    assert "corp" not in repr(proxy)
    assert Proxy.parse("http://p.example", "x").headers == {}
    only_a_name = Proxy.parse("http://me@p.example", "x")
    assert only_a_name.headers == {"proxy-authorization": "Basic bWU6"}


def test_amazons_library_reads_the_environment_as_all_others_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A role that is assumed, over an instance that vouches."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, PROXY)
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    auth = AwsAuth.model_validate({"method": "aws", "role": "backup"})
    assert "iam_request_url" in auth.login().body
    sts = get_session().create_client("sts", "eu-central-1")
    assert sts._endpoint.http_session._proxy_config._proxies == {"https": PROXY}
    sts = get_session().create_client("sts", "eu-central-1", endpoint_url="https://10.1.2.3")
    assert not sts._endpoint.http_session._proxy_config._proxies
    assert not IMDSFetcher()._session._proxy_config._proxies
