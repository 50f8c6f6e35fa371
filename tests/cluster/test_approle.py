"""AppRoles against a real server: plain, wrapped, bound, limited, expired and rotated."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.recording import LOGIN, REVOCATION, SNAPSHOT, VALIDITY, Server, recorded

from raft_snapshot_agent.errors import AgentError, ConfigError, Denied, ServerError
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.vault.auth.approle import AppRoleAuth
from raft_snapshot_agent.vault.session import Session

LOOKUP = "POST /v1/sys/wrapping/lookup"
UNWRAP = "POST /v1/sys/wrapping/unwrap"


@pytest.fixture
def server(bao: OpenBaoCluster, approle: AppRole) -> Iterator[Server]:
    with recorded(bao) as server:
        yield server


@dataclass(frozen=True)
class Role:
    """A role of the test's own, whose secret ID lies in a file."""

    server: Server
    path: str
    role_id: str
    file: Path

    def hand_out(self, *, wrapped: bool = False, **parameters: Any) -> str:
        """Make a secret ID, put it into the file and return it."""
        leader = self.server.bao.leader()
        made = leader._pool.request(
            "POST",
            f"{leader.address}/v1/{self.path}/secret-id",
            json=parameters,
            headers={"X-Vault-Token": self.server.bao.root_token}
            | ({"X-Vault-Wrap-TTL": "5m"} if wrapped else {}),
        ).json()
        secret = made["wrap_info"]["token"] if wrapped else made["data"]["secret_id"]
        self.file.write_text(f"{secret}\n")
        return str(secret)

    def session(self, **more: Any) -> Session:
        given = {"role_id": self.role_id, "secret_id": f"file://{self.file}", **more}
        return Session(AppRoleAuth.model_validate({"method": "approle", **given}))

    def use(self, session: Session) -> bool:
        return session.with_token(self.server.node, self.server.snapshot)

    def refusal(self, session: Session, kind: type[AgentError] = Denied) -> str:
        with pytest.raises(kind) as raised:
            self.use(session)
        line = str(raised.value)
        assert "\n" not in line
        if self.file.exists():
            assert self.file.read_text().strip() not in line
        return line


@pytest.fixture
def role(server: Server, tmp_path: Path) -> Role:
    return make_role(server, tmp_path)


def make_role(server: Server, folder: Path, **parameters: Any) -> Role:
    path = f"auth/approle/role/role-{secrets.token_hex(4)}"
    server.bao.api("POST", path, {"token_policies": ["snapshot"], **parameters})
    role_id = server.bao.api("GET", f"{path}/role-id")["data"]["role_id"]
    return Role(server, path, role_id, folder / "secret_id")


def test_a_plain_secret_id(role: Role) -> None:
    role.hand_out()
    assert role.use(role.session())
    assert role.server.asked() == [LOGIN, SNAPSHOT]


def test_a_wrapped_secret_id_is_unwrapped_once_and_kept_for_later_logins(role: Role) -> None:
    role.hand_out(wrapped=True)
    session = role.session(wrapped=True)
    assert role.use(session)
    assert role.server.asked() == [LOOKUP, UNWRAP, LOGIN, SNAPSHOT]
    role.server.revoke(session.token(role.server.node))
    assert role.use(session)
    assert role.server.asked() == [SNAPSHOT, REVOCATION, VALIDITY, LOGIN, SNAPSHOT]


def test_an_unwrapped_secret_id_outlives_the_settings_that_a_reload_replaces(role: Role) -> None:
    role.hand_out(wrapped=True)
    assert role.use(role.session(wrapped=True))
    role.server.asked()
    assert role.use(role.session(wrapped=True))
    assert role.server.asked() == [LOGIN, SNAPSHOT]


def test_a_new_wrapping_token_in_the_file_is_unwrapped_when_the_old_secret_id_ends(
    role: Role,
) -> None:
    role.hand_out(wrapped=True)
    session = role.session(wrapped=True)
    assert role.use(session)
    role.hand_out(wrapped=True)
    role.server.revoke(session.token(role.server.node))
    role.server.asked()
    assert role.use(session)
    refused = [SNAPSHOT, REVOCATION, VALIDITY]
    assert role.server.asked() == [*refused, LOOKUP, UNWRAP, LOGIN, SNAPSHOT]


def test_a_wrapping_token_that_somebody_else_used_is_told_and_not_tried_further(
    role: Role,
) -> None:
    wrapping = role.hand_out(wrapped=True)
    role.server.bao.leader().api("POST", "sys/wrapping/unwrap", token=wrapping)
    line = role.refusal(role.session(wrapped=True))
    assert "cannot be looked up (400: wrapping token is not valid or does not exist)" in line
    assert "somebody else may have the secret ID: destroy that, and give a new one" in line
    assert role.server.asked() == [LOOKUP]


def test_a_wrapping_token_of_something_else_is_not_unwrapped(role: Role) -> None:
    wrapped = role.server.bao.leader()._pool.request(
        "POST",
        f"{role.server.bao.leader().address}/v1/sys/wrapping/wrap",
        json={"secret_id": "planted"},
        headers={"X-Vault-Token": role.server.bao.root_token, "X-Vault-Wrap-TTL": "5m"},
    )
    role.file.write_text(wrapped.json()["wrap_info"]["token"])
    line = role.refusal(role.session(wrapped=True))
    assert "was made by sys/wrapping/wrap, not by auth/approle/role/.../secret-id" in line
    assert role.server.asked() == [LOOKUP]


def test_a_wrapping_token_for_another_mount_is_not_unwrapped(role: Role) -> None:
    role.hand_out(wrapped=True)
    line = role.refusal(role.session(wrapped=True, mount="app"))
    assert f"was made by {role.path}/secret-id, not by auth/app/role/" in line


def test_a_server_in_trouble_is_no_reason_to_suspect_anybody(role: Role) -> None:
    role.hand_out(wrapped=True)
    session = role.session(wrapped=True)
    role.server.proxy.override("/v1/sys/wrapping/lookup", 500, {"errors": ["bad"]}, times=1)
    assert "500" in (line := role.refusal(session, ServerError)) or "bad" in line
    assert "somebody" not in line
    assert role.use(session)


def test_a_secret_id_bound_to_other_addresses_is_refused_with_the_reason(
    server: Server, tmp_path: Path
) -> None:
    role = make_role(server, tmp_path, secret_id_bound_cidrs=["192.0.2.0/24"])
    role.hand_out()
    assert "unauthorized by CIDR restrictions" in role.refusal(role.session())


def test_a_token_bound_to_other_addresses_is_refused_after_one_more_login(
    server: Server, tmp_path: Path
) -> None:
    role = make_role(server, tmp_path, token_bound_cidrs=["192.0.2.0/24"])
    role.hand_out()
    assert "permission denied" in role.refusal(role.session())
    assert server.asked().count(LOGIN) == 2


def test_a_secret_id_of_limited_uses_lasts_as_one_login_does(
    server: Server, tmp_path: Path
) -> None:
    role = make_role(server, tmp_path, secret_id_num_uses=2)
    role.hand_out()
    session = role.session()
    for _ in range(5):
        assert role.use(session)
    assert session.logins == 1
    server.revoke(session.token(server.node))
    assert role.use(session)
    server.revoke(session.token(server.node))
    assert "a secret ID may have expired or be used up" in role.refusal(session)


def test_an_expired_secret_id_is_told_and_its_successor_in_the_file_taken(
    server: Server, tmp_path: Path
) -> None:
    role = make_role(server, tmp_path, secret_id_ttl="1s")
    expired = role.hand_out()
    body = {"secret_id": expired}
    until(
        lambda: (
            server.bao.leader()
            .request("POST", f"{role.path}/secret-id/lookup", body, server.bao.root_token)
            .status
            != 200
        ),
        "the secret ID ends",
        within=60,
    )
    session = role.session()
    assert "a secret ID may have expired or be used up" in role.refusal(session)
    server.bao.api("POST", role.path, {"secret_id_ttl": "10m"})
    role.hand_out()
    assert role.use(session)


def test_a_secret_id_rotated_while_running_costs_no_snapshot(role: Role) -> None:
    old = role.hand_out()
    session = role.session()
    assert role.use(session)
    role.hand_out()
    role.server.bao.api("POST", f"{role.path}/secret-id/destroy", {"secret_id": old})
    role.server.revoke(session.token(role.server.node))
    assert role.use(session)
    role.file.unlink()
    role.server.revoke(session.token(role.server.node))
    assert "cannot read the secret in" in role.refusal(session, ConfigError)


def test_the_secret_id_may_be_a_credential_that_systemd_loaded(
    role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`LoadCredential=secret_id:/path` lays a copy into a folder that only the service sees."""
    role.hand_out()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(role.file.parent))
    assert role.use(role.session(secret_id=f"credential://{role.file.name}"))
    missing = role.refusal(role.session(secret_id="credential://missing"), ConfigError)
    assert "missing" in missing
