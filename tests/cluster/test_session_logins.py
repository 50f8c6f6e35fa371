"""Ways to log in to a real server, and what is said where it refuses."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from tests.cluster.recording import LOGIN, RENEWAL, REVOCATION, SNAPSHOT, Clock, Server, recorded
from tests.http_proxy import status
from tests.tls_proxy import TlsProxy

from raft_snapshot_agent.errors import ConfigError, Denied, ServerError
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.vault.auth.approle import AppRoleAuth
from raft_snapshot_agent.vault.auth.kubernetes import KubernetesAuth
from raft_snapshot_agent.vault.auth.token import TokenAuth
from raft_snapshot_agent.vault.session import Session


@pytest.fixture
def server(bao: OpenBaoCluster, approle: AppRole) -> Iterator[Server]:
    with recorded(bao) as server:
        yield server


def test_a_wrong_secret_id_is_told_at_once(server: Server) -> None:
    role = server.role()
    wrong = AppRoleAuth.model_validate(
        {"method": "approle", "role_id": role.role_id, "secret_id": "hunter2"}
    )
    with pytest.raises(Denied) as raised:
        Session(wrong).with_token(server.node, server.snapshot)
    line = str(raised.value)
    assert line.startswith(f"login with approle at {server.node.address} was refused (auth/")
    assert "invalid role or secret ID (check role_id, secret_id and mount;" in line
    assert "hunter2" not in line
    assert role.role_id.resolve() not in line
    assert server.asked() == [LOGIN]


def test_a_refused_login_is_sent_again_too_seldom_to_lock_anybody_out(server: Server) -> None:
    clock = Clock()
    wrong = {"role_id": server.role().role_id, "secret_id": "hunter2"}
    session = Session(AppRoleAuth.model_validate({"method": "approle", **wrong}), clock=clock)
    sent: list[float] = []
    # As the daemon does at worst, for two hours.
    for _ in range(0, 7200, 5):
        # To the server it is all within a second: in the end it really locks the role out.
        with pytest.raises(Denied, match="was refused") as raised:
            session.token(server.node)
        assert "hunter2" not in str(raised.value)
        sent += [clock.now] * len(server.asked())
        clock.now += 5
    assert len(sent) >= 5
    for at in sent:
        assert len([one for one in sent if at <= one < at + 900]) <= 4
    assert "login paused for" in str(raised.value)


def test_another_secret_is_tried_at_once(server: Server, tmp_path: Path) -> None:
    role, file = server.role(), tmp_path / "secret_id"
    assert role.secret_id is not None
    file.write_text("hunter2")
    given = {"role_id": role.role_id, "secret_id": f"file://{file}"}
    session = Session(AppRoleAuth.model_validate({"method": "approle", **given}))
    with pytest.raises(Denied):
        session.token(server.node)
    file.write_text(role.secret_id.resolve())
    assert session.with_token(server.node, server.snapshot)


def test_a_secret_in_quotes_is_told(server: Server) -> None:
    role = server.role()
    assert role.secret_id is not None
    quoted = Secret(f'"{role.secret_id.resolve()}"')
    with pytest.raises(Denied, match="a value stands in quotes, which are sent as a part of it"):
        Session(role.model_copy(update={"secret_id": quoted})).token(server.node)


def test_a_limited_token_is_replaced_before_it_is_refused(server: Server) -> None:
    session = Session(server.role(token_num_uses=2))
    for _ in range(4):
        assert session.with_token(server.node, server.snapshot)
    session.keep(server.node)
    session.revoke(server.node)
    assert server.asked() == [LOGIN, SNAPSHOT, SNAPSHOT] * 2


def test_a_token_that_a_download_may_outlive_is_renewed_before(server: Server) -> None:
    clock = Clock()
    session = Session(server.role(token_ttl="90s"), clock=clock)
    session.with_token(server.node, server.snapshot, lasting=3600)
    clock.now += 20
    session.with_token(server.node, server.snapshot, lasting=3600)
    assert server.asked() == [LOGIN, SNAPSHOT, SNAPSHOT]
    clock.now += 20
    session.with_token(server.node, server.snapshot, lasting=10)
    assert server.asked() == [SNAPSHOT]
    session.with_token(server.node, server.snapshot, lasting=3600)
    assert server.asked() == [RENEWAL, SNAPSHOT]


def test_a_token_made_in_a_namespace_is_called_that(server: Server) -> None:
    name = f"team{secrets.token_hex(3)}"
    server.bao.api("POST", f"sys/namespaces/{name}", {})
    server.bao.api("POST", f"{name}/sys/auth/approle", {"type": "approle"})
    server.bao.api("POST", f"{name}/auth/approle/role/agent", {})
    ids = {
        "role_id": server.bao.api("GET", f"{name}/auth/approle/role/agent/role-id"),
        "secret_id": server.bao.api("POST", f"{name}/auth/approle/role/agent/secret-id"),
    }
    given = {key: answer["data"][key] for key, answer in ids.items()}
    auth = AppRoleAuth.model_validate({"method": "approle", **given})
    session = Session(auth, namespace=name)
    with pytest.raises(Denied, match=r"made in a namespace \(snapshots exist in the root"):
        session.with_token(server.node, server.snapshot)
    sent = [one.headers.get("X-Vault-Namespace") for one in server.proxy.requests]
    assert server.asked() == [LOGIN, SNAPSHOT]
    assert sent == [name, None]


def test_a_secret_id_that_is_used_up_is_told_at_once(server: Server) -> None:
    session = Session(server.role(secret_id_num_uses=1))
    server.revoke(session.token(server.node))
    server.asked()
    with pytest.raises(Denied, match="a secret ID may have expired or be used up"):
        session.with_token(server.node, server.snapshot)
    assert server.asked() == [SNAPSHOT, REVOCATION, LOGIN]


def test_a_missing_policy_is_told_after_one_more_login_and_leaves_no_token(
    server: Server,
) -> None:
    before = server.tokens()
    session = Session(server.role(token_policies=["default"]))
    for _ in range(2):
        with pytest.raises(Denied, match=r"needs read on sys/storage/raft/snapshot"):
            session.with_token(server.node, server.snapshot)
    assert session.logins == 3
    again = [SNAPSHOT, REVOCATION, LOGIN, SNAPSHOT]
    assert server.asked() == [LOGIN, *again, *again]
    session.revoke(server.node)
    assert server.tokens() <= before


def test_batch_tokens_are_replaced_as_they_cannot_be_renewed(server: Server) -> None:
    clock = Clock()
    session = Session(server.role(token_type="batch", token_ttl="90s"), clock=clock)
    assert session.with_token(server.node, server.snapshot)
    clock.now += 60
    session.keep(server.node)
    assert session.with_token(server.node, server.snapshot)
    assert server.asked() == [LOGIN, SNAPSHOT, LOGIN, SNAPSHOT]


def test_a_token_that_may_not_renew_itself_is_replaced(server: Server) -> None:
    clock = Clock()
    session = Session(server.role(token_ttl="90s", token_no_default_policy=True), clock=clock)
    assert session.with_token(server.node, server.snapshot)
    clock.now += 60
    assert session.with_token(server.node, server.snapshot)
    assert server.asked() == [LOGIN, SNAPSHOT, RENEWAL, LOGIN, SNAPSHOT]


def test_a_token_in_a_file_may_rotate_and_is_never_ended(server: Server, tmp_path: Path) -> None:
    sink = tmp_path / "token"
    session = Session(TokenAuth.model_validate({"method": "token", "token": f"file://{sink}"}))
    made = [_token(server.bao), _token(server.bao)]
    for token in made:
        sink.write_text(f"{token}\n")
        assert session.with_token(server.node, server.snapshot)
        session.keep(server.node)
        session.revoke(server.node)
    assert server.snapshot(made[0])
    assert server.asked() == [SNAPSHOT] * 3

    server.revoke(made[1])
    with pytest.raises(Denied, match="permission denied"):
        session.with_token(server.node, server.snapshot)
    assert server.asked() == [SNAPSHOT]
    sink.unlink()
    with pytest.raises(ConfigError, match="cannot read the secret in"):
        session.with_token(server.node, server.snapshot)
    assert session.logins == 0


def test_an_answer_without_a_token_is_of_another_path(server: Server) -> None:
    session = Session(server.role())
    server.proxy.override("/v1/auth/approle/login", 200, {"data": {}})
    with pytest.raises(Denied, match=r"gave no token \(likely vault.auth.mount is not where"):
        session.token(server.node)


@pytest.mark.parametrize("code", [200, 500])
def test_a_login_that_gives_no_token_is_told(server: Server, code: int) -> None:
    session = Session(server.role())
    said = {"auth": {"client_token": "", "mfa_requirement": {"mfa_request_id": "x"}}}
    server.proxy.override("/v1/auth/approle/login", code, said)
    why = "wants a second factor" if code == 200 else "answers auth/approle/login with 500"
    with pytest.raises(ServerError, match=why):
        session.token(server.node)
    assert server.asked() == [LOGIN]


def test_nothing_to_log_in_with_is_a_matter_of_configuration(server: Server) -> None:
    with pytest.raises(ConfigError, match=r"no login is configured \(set vault\.auth"):
        Session(None).token(server.node)


def test_kubernetes_logs_in_with_the_pods_token(
    server: Server, kubernetes: Kubernetes, tmp_path: Path
) -> None:
    jwt = tmp_path / "token"
    session = Session(kubernetes.auth(jwt))
    jwt.write_text(f"{service_account_token('agent')}\n")
    assert session.with_token(server.node, server.snapshot)
    assert server.asked() == [f"POST /v1/auth/{kubernetes.mount}/login", SNAPSHOT]
    assert kubernetes.reviewed == ["/apis/authentication.k8s.io/v1/tokenreviews"]


def test_kubernetes_says_why_a_login_was_refused(
    server: Server, kubernetes: Kubernetes, tmp_path: Path
) -> None:
    jwt = tmp_path / "token"
    session = Session(kubernetes.auth(jwt))
    for token in (service_account_token("stranger"), "eyJ.no.token"):
        jwt.write_text(token)
        with pytest.raises(Denied) as raised:
            session.with_token(server.node, server.snapshot)
        line = str(raised.value)
        assert line.startswith(f"login with kubernetes at {server.node.address} was refused (auth/")
        assert "(check role, mount and the service account the role is bound to)" in line
        assert token not in line
    assert server.asked() == [f"POST /v1/auth/{kubernetes.mount}/login"] * 2


def service_account_token(name: str) -> str:
    """Make a token as a cluster would; only the token review can tell that nobody signed it."""
    now = int(time.time())
    claims = {
        "iss": "https://kubernetes.default.svc.cluster.local",
        "sub": f"system:serviceaccount:vault:{name}",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "kubernetes.io": {"namespace": "vault", "serviceaccount": {"name": name, "uid": "u-1"}},
    }
    parts = ({"alg": "RS256", "kid": "1"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts]
    return ".".join(part.rstrip(b"=").decode() for part in [*encoded, b"c2lnbmF0dXJl"])


@dataclass(frozen=True)
class Kubernetes:
    """A mount of the method, and the API server it asks about tokens."""

    mount: str
    api: TlsProxy

    @property
    def reviewed(self) -> list[str]:
        return [request.path for request in self.api.requests]

    def auth(self, jwt: Path) -> KubernetesAuth:
        given = {"mount": self.mount, "role": "snapshot", "jwt": f"file://{jwt}"}
        return KubernetesAuth.model_validate({"method": "kubernetes", **given})


@pytest.fixture
def kubernetes(bao: OpenBaoCluster) -> Iterator[Kubernetes]:
    authority = trustme.CA()
    user = {"username": "system:serviceaccount:vault:agent", "uid": "u-1"}
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "status": {"authenticated": True, "user": user},
    }
    with TlsProxy("http://nowhere", lambda _: status(201, review), authority) as api:
        mount = f"k8s-{secrets.token_hex(4)}"
        bao.api("POST", f"sys/auth/{mount}", {"type": "kubernetes"})
        settings = {
            "kubernetes_host": api.address,
            "kubernetes_ca_cert": authority.cert_pem.bytes().decode(),
            "token_reviewer_jwt": service_account_token("reviewer"),
            "disable_local_ca_jwt": True,
        }
        bao.api("POST", f"auth/{mount}/config", settings)
        role = {
            "bound_service_account_names": ["agent"],
            "bound_service_account_namespaces": ["vault"],
            "token_policies": ["snapshot"],
        }
        bao.api("POST", f"auth/{mount}/role/snapshot", role)
        yield Kubernetes(mount, api)


def _token(bao: OpenBaoCluster) -> str:
    answer = bao.api("POST", "auth/token/create", {"policies": ["snapshot"]})
    return str(answer["auth"]["client_token"])
