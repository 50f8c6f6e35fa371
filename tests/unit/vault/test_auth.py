from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.redaction import redact
from raft_snapshot_agent.vault.auth import AnyAuth
from raft_snapshot_agent.vault.auth.base import Login
from raft_snapshot_agent.vault.auth.kubernetes import KubernetesAuth
from raft_snapshot_agent.vault.auth.token import TokenAuth
from raft_snapshot_agent.vault.token import Token

_ADAPTER: TypeAdapter[AnyAuth] = TypeAdapter(AnyAuth)


def auth(method: str, **given: Any) -> AnyAuth:
    return _ADAPTER.validate_python({"method": method, **given})


@pytest.mark.parametrize("mount", ["approle", "/approle", "approle/", "/approle/"])
def test_approle_sends_both_ids_to_its_mount(mount: str) -> None:
    login = auth("approle", role_id="r", secret_id="s", mount=mount).login()
    assert login == Login("auth/approle/login", {"role_id": "r", "secret_id": "s"})


def test_approle_may_do_without_a_secret_id() -> None:
    login = auth("approle", role_id="r", mount="team/agents").login()
    assert login == Login("auth/team/agents/login", {"role_id": "r"})


@pytest.mark.parametrize("mount", ["auth/approle", "../sys", "", "/", "a//b", "a?b", "a b", "."])
@pytest.mark.parametrize("method", ["approle", "userpass"])
def test_a_mount_that_is_none_is_refused(method: str, mount: str) -> None:
    with pytest.raises(ValidationError, match="must"):
        auth(method, role_id="r", username="u", password="p", mount=mount)


def test_a_mount_may_be_below_another() -> None:
    login = auth("jwt", role="r", jwt="j", mount="team/a.b-c_d/").login()
    assert login == Login("auth/team/a.b-c_d/login", {"role": "r", "jwt": "j"})


@pytest.mark.parametrize("text", ['"hvs.abc"', "hvs.a\u200bc", "hvs.ab c", "hvs.\u00a0abc"])
def test_a_token_that_cannot_be_one_is_told_with_its_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        auth("token", token=f"file://{file}").login()
    assert str(raised.value).startswith(f"the token in file://{file} is not one (it must be the")
    assert text not in str(raised.value)
    with pytest.raises(ConfigError, match=r"the token in vault\.auth is empty"):
        auth("token", token="\n").login()


def test_a_role_id_may_be_a_usual_word() -> None:
    auth("approle", role_id="snapshots", secret_id="s").login()
    assert redact("12 snapshots") == "12 snapshots"


def test_a_role_id_drawn_at_random_is_hidden() -> None:
    auth("approle", role_id="e5a7b66e-5d08", secret_id="s").login()
    assert redact("for e5a7b66e-5d08") == "for [hidden]"


def test_a_role_id_without_secret_id_is_the_secret() -> None:
    auth("approle", role_id="role-without-secret-id").login()
    assert redact("for role-without-secret-id") == "for [hidden]"


def test_approle_looks_its_secrets_up_at_each_login(tmp_path: Path) -> None:
    secret = tmp_path / "secret_id"
    method = auth("approle", role_id="r", secret_id=f"file://{secret}")
    for value in ("first", "second"):
        secret.write_text(f"{value}\n")
        login = method.login()
        assert isinstance(login, Login)
        assert login.body["secret_id"] == value
    secret.unlink()
    with pytest.raises(ConfigError, match="cannot read the secret in"):
        method.login()


def test_kubernetes_sends_role_and_the_present_projected_token(tmp_path: Path) -> None:
    projected = tmp_path / "token"
    method = auth("kubernetes", role="snapshot", mount="k8s/", jwt=f"file://{projected}")
    for value in ("eyJ.first.x", "eyJ.second.x"):
        projected.write_text(value)
        assert method.login() == Login("auth/k8s/login", {"role": "snapshot", "jwt": value})


def test_kubernetes_finds_its_token_where_pods_have_it() -> None:
    method = auth("kubernetes", role="snapshot")
    assert isinstance(method, KubernetesAuth)
    assert method.mount == "kubernetes"
    assert method.jwt.reference == "file:///var/run/secrets/kubernetes.io/serviceaccount/token"


def test_a_token_needs_no_login_and_may_rotate(tmp_path: Path) -> None:
    sink = tmp_path / "token"
    method = auth("token", token=f"file://{sink}")
    assert isinstance(method, TokenAuth)
    for value in ("hvs.first", "hvs.second"):
        sink.write_text(f"{value}\n")
        assert method.login() == value


@pytest.mark.parametrize(
    "given",
    [
        {"method": "approle"},
        {"method": "kubernetes"},
        {"method": "token"},
        {"method": "approle", "role_id": "r", "secretid": "s"},
        {"method": "approle", "role_id": "r", "wrapped": True},
        {"role_id": "r"},
    ],
)
def test_what_is_missing_or_unknown_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _ADAPTER.validate_python(given)


def test_secrets_are_not_shown() -> None:
    shown = repr(
        [
            Token("hunter2", granted=0, ttl=0),
            auth("approle", role_id="r", secret_id="hunter2").login(),
            auth("approle", role_id="hunter2", secret_id="hunter2"),
            auth("kubernetes", role="r", jwt="hunter2"),
            auth("token", token="hunter2"),
        ]
    )
    assert "hunter2" not in shown
