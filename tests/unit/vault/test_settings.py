from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.vault.auth.approle import AppRoleAuth
from raft_snapshot_agent.vault.auth.token import TokenAuth
from raft_snapshot_agent.vault.environment import environment_token
from raft_snapshot_agent.vault.settings import TlsSettings, VaultSettings, checked_address

TOKEN = "hvs.CAESIJ1pOMGtQgbwLhRmCXKV8tdTnNoKhm0K"
APPROLE = {"method": "approle", "role_id": "r", "secret_id": "env://SECRET_ID"}


def settings(**given: Any) -> VaultSettings:
    return VaultSettings.model_validate(given)


def completed(environment: dict[str, str], **given: Any) -> VaultSettings:
    return settings(**given).with_environment(environment)


def complaint(environment: dict[str, str], **given: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        completed(environment, **given)
    line = str(raised.value)
    assert line.isprintable()
    assert line.startswith("the environment (BAO_* or VAULT_*) cannot be used: ")
    return line


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("https://vault.example.com:8200", "https://vault.example.com:8200"),
        ("https://vault.example.com", "https://vault.example.com"),
        ("http://127.0.0.1:8200/", "http://127.0.0.1:8200"),
        ("https://[::1]:8200", "https://[::1]:8200"),
        ("https://[fe80::1%eth0]:8200", "https://[fe80::1%eth0]:8200"),
        ("https://vault_1.exämple:8200", "https://vault_1.exämple:8200"),
        ("https://proxy/vault/", "https://proxy/vault"),
        ("HTTPS://Vault:8200/", "https://Vault:8200"),
        ("Http://127.0.0.1:8200", "http://127.0.0.1:8200"),
        ("unix:///run/openbao/api.sock", "unix:///run/openbao/api.sock"),
        ("unix:///run/odd@name.sock", "unix:///run/odd@name.sock"),
        (" https://vault:8200\n", "https://vault:8200"),
    ],
)
def test_addresses_that_are_understood(given: str, address: str) -> None:
    assert checked_address(given) == address
    assert settings(address=given).addresses == (address,)
    assert settings(nodes=[given, "http://b"]).addresses == (address, "http://b")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("vault.example.com:8200", "such as https://vault.example.com:8200"),
        ("127.0.0.1", "such as https://127.0.0.1"),
        ("", "such as https://127.0.0.1:8200"),
        ("ftp://vault:21", "such as https://vault:21"),
        ("https://", "write it with its scheme"),
        ("https://:8200", "write it with its scheme"),
        ("https://vault:port", "[Pp]ort"),
        ("https://vault:99999", "[Pp]ort"),
        ("https://vault:0", "is not an address"),
        ("https://[::1", "an IPv6 address stands in brackets"),
        ("unix:run/bao.sock", "write a socket as unix:///run/"),
        ("unix:/run/bao.sock", "write a socket as unix:///run/"),
        ("unix://run/bao.sock", "write a socket as unix:///run/"),
        ("/run/bao.sock", "write a socket as unix:///run/"),
        ("https://vault :8200", "write one host and no spaces"),
        ("https://a,https://b", "several nodes are given as a list, nodes"),
        ("https://a:8200,b:8200", "is not an address"),
        ("https://vault:8200/v1/sys", "it ends before /v1"),
        ("https://vault:8200/v1", "it ends before /v1"),
        ("https://vault:8200/?a=b", "it ends before . and #"),
        ("https://vault:8200/#/ui", "it ends before . and #"),
    ],
)
def test_addresses_that_are_not(address: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        checked_address(address)
    with pytest.raises(ValidationError, match="(?s)address.*" + why):
        settings(address=address)
    with pytest.raises(ValidationError, match="(?s)nodes.*" + why):
        settings(nodes=["http://a", address])


@pytest.mark.parametrize(
    "address",
    [
        "https://me:hunter2@vault:8200",
        "me:hunter2@vault:8200",
        "ftp://me:hunter2@vault",
        "https://me:hunter2@[::1",
        "https://hunter2@vault",
    ],
)
def test_an_address_with_a_password_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(ValueError, match="holds no user name or password") as raised:
        checked_address(address)
    assert "hunter2" not in str(raised.value)
    assert "hunter2" not in complaint({"VAULT_ADDR": address})
    with pytest.raises(ValidationError) as invalid:
        settings(address=address)
    assert "hunter2" not in str(invalid.value)


def test_one_address_or_several_but_not_both() -> None:
    with pytest.raises(ValidationError, match="give address or nodes, not both"):
        settings(address="https://a", nodes=["https://b"])


def test_the_default_is_the_servers_own_default() -> None:
    plain = completed({})
    assert plain.addresses == ("https://127.0.0.1:8200",)
    assert plain.tls == TlsSettings()
    assert plain.tls.skip_verify is False
    assert (plain.auth, plain.namespace) == (None, None)


def test_everything_can_come_from_vaults_environment() -> None:
    found = completed(
        {
            "VAULT_ADDR": "https://vault:8200/",
            "VAULT_TOKEN": TOKEN,
            "VAULT_NAMESPACE": "team",
            "VAULT_CACERT": "/ca.pem",
            "VAULT_CAPATH": "/cas",
            "VAULT_CLIENT_CERT": "/cert.pem",
            "VAULT_CLIENT_KEY": "/key.pem",
            "VAULT_TLS_SERVER_NAME": "vault.internal",
            "VAULT_SKIP_VERIFY": "true",
            "VAULT_CLIENT_TIMEOUT": "7",
        }
    )
    assert found.addresses == ("https://vault:8200",)
    assert isinstance(found.auth, TokenAuth)
    assert found.auth.token.resolve() == TOKEN
    assert found.namespace == "team"
    assert found.timeout == timedelta(seconds=7)
    assert found.tls == TlsSettings(
        ca_file=Path("/ca.pem"),
        ca_path=Path("/cas"),
        client_cert=Path("/cert.pem"),
        client_key=Path("/key.pem"),
        server_name="vault.internal",
        skip_verify=True,
    )


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({"VAULT_ADDR": "https://v"}, "https://v"),
        ({"BAO_ADDR": "https://b", "VAULT_ADDR": "https://v"}, "https://b"),
        ({"BAO_ADDR": "", "VAULT_ADDR": "https://v"}, "https://127.0.0.1:8200"),
        ({"VAULT_AGENT_ADDR": "https://a", "VAULT_ADDR": "https://v"}, "https://a"),
        ({"VAULT_ADDR": ""}, "https://127.0.0.1:8200"),
    ],
)
def test_bao_goes_before_vault_even_where_it_is_empty(
    environment: dict[str, str], address: str
) -> None:
    assert completed(environment).addresses == (address,)


def test_an_empty_bao_token_hides_vaults() -> None:
    assert environment_token({"BAO_TOKEN": "b", "VAULT_TOKEN": "v"}) == "b"
    assert environment_token({"BAO_TOKEN": "", "VAULT_TOKEN": "v"}) is None
    assert environment_token({"VAULT_TOKEN": "v"}) == "v"
    assert environment_token({"VAULT_TOKEN": "\n"}) is None
    assert completed({"BAO_TOKEN": "", "VAULT_TOKEN": TOKEN}).auth is None


def test_the_file_goes_before_the_environment_field_by_field() -> None:
    found = completed(
        {
            "VAULT_ADDR": "https://v",
            "VAULT_TOKEN": TOKEN,
            "VAULT_CACERT": "/env.pem",
            "VAULT_TLS_SERVER_NAME": "env.internal",
            "VAULT_SKIP_VERIFY": "true",
            "VAULT_CLIENT_TIMEOUT": "7s",
            "VAULT_NAMESPACE": "env",
        },
        address="https://file",
        auth=APPROLE,
        namespace="file",
        timeout="3s",
        stall_timeout="1m30s",
        tls={"ca_file": "/file.pem", "skip_verify": False},
    )
    assert found.addresses == ("https://file",)
    assert isinstance(found.auth, AppRoleAuth)
    assert found.namespace == "file"
    assert (found.timeout, found.stall_timeout) == (timedelta(seconds=3), timedelta(seconds=90))
    assert found.tls == TlsSettings(
        ca_file=Path("/file.pem"), server_name="env.internal", skip_verify=False
    )


@pytest.mark.parametrize(
    ("variable", "given"),
    [
        ("SKIP_VERIFY=maybe", {"tls": {"skip_verify": False}}),
        ("CACERT=\n", {"tls": {"ca_file": "/ca.pem"}}),
        ("TLS_SERVER_NAME=a b", {"tls": {"server_name": "x"}}),
        ("CLIENT_TIMEOUT=soon", {"timeout": "5s"}),
        ("PROXY_ADDR=proxy:3128", {"proxy": "http://proxy:3128"}),
        ("TOKEN=<token>", {"auth": APPROLE}),
        ("NAMESPACE=a\nb", {"namespace": "team"}),
        ("ADDR=vault", {"address": "https://vault:8200"}),
        ("ADDR=vault", {"nodes": ["https://vault:8200"]}),
    ],
)
def test_a_variable_that_is_not_used_may_hold_anything(
    variable: str, given: dict[str, Any]
) -> None:
    name, _, value = variable.partition("=")
    assert completed({f"VAULT_{name}": value}, **given) == settings(**given).with_environment({})


@pytest.mark.parametrize("given", ["team/a", " team/a\n", "\tteam/a "])
def test_a_namespace_is_stripped(given: str) -> None:
    assert completed({"VAULT_NAMESPACE": given}).namespace == "team/a"
    assert settings(namespace=given).namespace == "team/a"


def test_a_blank_namespace_is_none() -> None:
    assert completed({"VAULT_NAMESPACE": " \n"}).namespace is None
    assert settings(namespace=" root ").in_root


def test_a_namespace_that_no_header_carries_is_refused() -> None:
    said = complaint({"BAO_NAMESPACE": "a\nb"})
    assert "BAO_NAMESPACE: must be the path of a namespace: text of one line" in said
    with pytest.raises(ValidationError, match="must be the path of a namespace"):
        settings(namespace="a\x7fb")


def test_nodes_in_the_file_go_before_an_address_in_the_environment() -> None:
    nodes = ("https://a", "https://b")
    assert completed({"VAULT_ADDR": "https://v"}, nodes=nodes).addresses == nodes


@pytest.mark.parametrize("value", ["1", "t", "T", "true", "TRUE", "True"])
def test_skip_verify_on(value: str) -> None:
    assert completed({"VAULT_SKIP_VERIFY": value}).tls.skip_verify is True


@pytest.mark.parametrize("value", ["0", "f", "F", "false", "FALSE", "False", ""])
def test_skip_verify_off(value: str) -> None:
    assert completed({"BAO_SKIP_VERIFY": value}).tls.skip_verify is False


@pytest.mark.parametrize("value", ["yes", "2", " ", "tRUE", "on"])
def test_skip_verify_is_never_guessed(value: str) -> None:
    assert f"SKIP_VERIFY is {value!r}, not true or false" in complaint({"BAO_SKIP_VERIFY": value})


@pytest.mark.parametrize(
    ("value", "seconds"), [("60", 60), ("60s", 60), ("1m30s", 90), ("500ms", 0.5), ("", 10)]
)
def test_time_outs_are_seconds_or_durations(value: str, seconds: float) -> None:
    assert completed({"VAULT_CLIENT_TIMEOUT": value}).timeout.total_seconds() == seconds


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"VAULT_CLIENT_TIMEOUT": "soon"}, "VAULT_CLIENT_TIMEOUT: 'soon' is not a duration"),
        ({"VAULT_CLIENT_TIMEOUT": "-5"}, "CLIENT_TIMEOUT: '-5' is not a duration"),
        ({"VAULT_CLIENT_TIMEOUT": "²"}, "CLIENT_TIMEOUT: '²' is not a duration"),
        ({"VAULT_CLIENT_TIMEOUT": "0"}, "VAULT_CLIENT_TIMEOUT: must be longer than zero"),
        ({"VAULT_ADDR": "vault:8200"}, "VAULT_ADDR: 'vault:8200' is not an address"),
        ({"BAO_AGENT_ADDR": "v", "VAULT_ADDR": "w"}, "BAO_AGENT_ADDR: 'v' is not an address"),
        ({"BAO_ADDR": "v", "VAULT_ADDR": "w"}, "BAO_ADDR: 'v' is not an address"),
        ({"VAULT_SKIP_VERIFY": "maybe"}, "VAULT_SKIP_VERIFY is 'maybe'"),
        ({"BAO_TLS_SERVER_NAME": "ä b"}, "BAO_TLS_SERVER_NAME: must be a host name or an IP"),
        ({"BAO_TOKEN": "<token>"}, "BAO_TOKEN: this is a placeholder"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(environment: dict[str, str], why: str) -> None:
    assert why in complaint(environment)


def test_a_token_from_the_environment_is_never_shown() -> None:
    assert TOKEN not in repr(completed({"VAULT_TOKEN": TOKEN}))
    assert TOKEN not in completed({"VAULT_TOKEN": TOKEN}).model_dump_json()


def test_an_unknown_way_to_log_in_is_refused() -> None:
    with pytest.raises(ValidationError, match="approle"):
        settings(auth={"method": "telepathy"})


PROXY, OTHER = "http://proxy.example:3128", "http://other.example:3128"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"BAO_PROXY_ADDR": PROXY, "VAULT_PROXY_ADDR": OTHER}, (PROXY, "BAO_PROXY_ADDR")),
        ({"VAULT_PROXY_ADDR": PROXY, "VAULT_HTTP_PROXY": OTHER}, (PROXY, "VAULT_PROXY_ADDR")),
        ({"VAULT_PROXY_ADDR": PROXY, "BAO_HTTP_PROXY": OTHER}, (PROXY, "VAULT_PROXY_ADDR")),
        ({"BAO_HTTP_PROXY": PROXY, "VAULT_HTTP_PROXY": OTHER}, (PROXY, "BAO_HTTP_PROXY")),
        ({"VAULT_HTTP_PROXY": PROXY}, (PROXY, "VAULT_HTTP_PROXY")),
        ({"BAO_PROXY_ADDR": "", "VAULT_PROXY_ADDR": OTHER}, None),
        ({"BAO_PROXY_ADDR": "", "VAULT_HTTP_PROXY": PROXY}, (PROXY, "VAULT_HTTP_PROXY")),
    ],
)
def test_the_servers_proxy_is_found_in_the_official_order(
    environment: dict[str, str], expected: tuple[str, str] | None
) -> None:
    found = VaultSettings().with_environment(environment).proxy
    proxy = found and found.proxy("vault.proxy")
    assert (proxy and (proxy.address, proxy.source)) == expected


def test_the_files_proxy_comes_before_the_environments() -> None:
    settings = VaultSettings.model_validate({"proxy": f"http://me:password@{PROXY[7:]}"})
    found = settings.with_environment({"BAO_PROXY_ADDR": OTHER}).proxy
    assert found is not None
    assert found.proxy("vault.proxy").source == "vault.proxy"
    assert found.proxy("vault.proxy").password == "password"
    dumped = settings.with_environment({}).model_dump(mode="json")
    assert dumped["proxy"] == PROXY


@pytest.mark.parametrize("name", ["BAO_PROXY_ADDR", "VAULT_PROXY_ADDR", "VAULT_HTTP_PROXY"])
def test_a_variable_without_a_scheme_is_told(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: 'proxy.example:3128' is not the URL of a prox"):
        VaultSettings().with_environment({name: "proxy.example:3128"})
