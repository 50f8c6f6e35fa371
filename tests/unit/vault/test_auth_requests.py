"""The exact login requests of the documentation, at a server that only records them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from tests.vouching import GRANTED, Voucher

from raft_snapshot_agent.errors import ConfigError, Denied, ServerError
from raft_snapshot_agent.vault.auth import AnyAuth
from raft_snapshot_agent.vault.auth.ldap import LdapAuth
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.session import Session
from raft_snapshot_agent.vault.settings import VaultSettings

_ADAPTER: TypeAdapter[AnyAuth] = TypeAdapter(AnyAuth)
_PASSWORD = "hunter2 with spaces"


def auth(method: str, **given: Any) -> AnyAuth:
    return _ADAPTER.validate_python({"method": method, **given})


@pytest.fixture
def server() -> Iterator[Voucher]:
    with Voucher() as voucher:
        yield voucher


@pytest.fixture
def node(server: Voucher) -> Iterator[Node]:
    node = Node(server.address, VaultSettings())
    yield node
    node.close()


@pytest.mark.parametrize("method", ["userpass", "ldap", "radius"])
@pytest.mark.parametrize(
    ("mount", "user", "path"),
    [
        (None, "agent", "{method}/login/agent"),
        ("corp/users/", "agent", "corp/users/login/agent"),
        (None, "agent@corp.example", "{method}/login/agent%40corp.example"),
        (None, "corp\\a/b c", "{method}/login/corp%5Ca%2Fb%20c"),
    ],
)
def test_a_password_goes_to_the_path_of_its_user(
    server: Voucher, node: Node, method: str, mount: str | None, user: str, path: str
) -> None:
    target = f"/v1/auth/{path.format(method=method)}"
    server.says = {target: (200, GRANTED)}
    given = {"username": user, "password": _PASSWORD} | ({"mount": mount} if mount else {})
    assert Session(auth(method, **given)).token(node) == "s.granted"
    (asked,) = server.asked
    assert asked.line == f"POST {target}"
    assert asked.document == {"password": _PASSWORD}
    assert asked.headers["x-vault-request"] == "true"
    assert "x-vault-token" not in asked.headers


@pytest.mark.parametrize("method", ["userpass", "ldap", "radius"])
def test_a_user_and_a_password_may_be_references(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGIN_NAME", "agent")
    file = tmp_path / "password"
    made = auth(method, username="env://LOGIN_NAME", password=f"file://{file}")
    with pytest.raises(ConfigError, match=f"cannot read the secret in {file}"):
        made.login()
    file.write_text("hunter2\n")
    login = made.login()
    assert not isinstance(login, str)
    assert (login.path, login.body) == (f"auth/{method}/login/agent", {"password": "hunter2"})
    monkeypatch.setenv("LOGIN_NAME", "")
    with pytest.raises(ConfigError, match="environment variable LOGIN_NAME is missing or empty"):
        made.login()


@pytest.mark.parametrize("method", ["userpass", "ldap", "radius"])
def test_a_refused_password_is_one_line_with_advice(
    server: Voucher, node: Node, method: str
) -> None:
    said = {"errors": [f"invalid {method} login"]}
    server.says = {f"/v1/auth/{method}/login/agent": (400, said)}
    with pytest.raises(Denied) as raised:
        Session(auth(method, username="agent", password=_PASSWORD)).token(node)
    line = str(raised.value)
    assert line.startswith(f"login with {method} at {server.address} was refused")
    assert "(check username, password" in line
    assert "hunter2" not in line


def test_a_login_at_a_dr_secondary_blames_no_credentials(server: Voucher, node: Node) -> None:
    said = {"errors": ["Path disabled in replication DR secondary mode"]}
    server.says = {"/v1/auth/userpass/login/agent": (400, said)}
    session = Session(auth("userpass", username="agent", password=_PASSWORD))
    for _ in range(2):  # nobody is locked out by it, so it is asked again
        with pytest.raises(ServerError, match="belongs to a DR secondary") as raised:
            session.token(node)
        assert not isinstance(raised.value, Denied)
    assert len(server.asked) == 2


@pytest.mark.parametrize("role", ["snapshot", None])
def test_cert_names_its_role_or_none(server: Voucher, node: Node, role: str | None) -> None:
    server.says = {"/v1/auth/cert/login": (200, GRANTED)}
    assert Session(auth("cert", role=role)).token(node) == "s.granted"
    assert [asked.document for asked in server.asked] == [{"name": role} if role else {}]


def test_none_sends_no_token_and_logs_in_nowhere(server: Voucher, node: Node) -> None:
    server.says = {"/v1/sys/storage/raft/snapshot": (403, {"errors": ["permission denied"]})}
    session = Session(auth("none"))
    assert session.token(node) == ""
    with pytest.raises(Denied):
        session.with_token(node, node.open_snapshot)
    session.keep(node)
    session.revoke(node)
    assert server.lines == ["GET /v1/sys/storage/raft/snapshot"]
    assert "x-vault-token" not in server.asked[0].headers


def test_secrets_are_not_shown_and_names_are() -> None:
    made = auth("ldap", username="agent", password="hunter2")
    assert isinstance(made, LdapAuth)
    assert "hunter2" not in f"{made!r} {made.model_dump_json()} {made.login()!r}"
    assert made.model_dump()["username"] == "agent"
