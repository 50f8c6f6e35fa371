"""Every way to log in that a real server has built in, each to the end: a whole snapshot."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from pydantic import TypeAdapter

from raft_snapshot_agent.core.archive import ArchiveVerifier
from raft_snapshot_agent.errors import AgentError, Denied, ServerError
from raft_snapshot_agent.servers.node_options import NodeOptions, TlsFiles
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster, prepare_agent
from raft_snapshot_agent.servers.process import ServerProcess, program, until
from raft_snapshot_agent.vault.auth import AnyAuth
from raft_snapshot_agent.vault.leader import Cluster
from raft_snapshot_agent.vault.settings import VaultSettings

StartBao = Callable[..., OpenBaoCluster]
_ADAPTER: TypeAdapter[AnyAuth] = TypeAdapter(AnyAuth)


def agent(bao: OpenBaoCluster, method: str, **given: Any) -> Cluster:
    """An agent's side of the cluster, that logs in so."""
    auth = _ADAPTER.validate_python({"method": method, **given})
    return Cluster(VaultSettings(address=bao.leader().address, auth=auth), "anywhere")


def takes_a_snapshot(cluster: Cluster) -> bool:
    """Log in, take a whole snapshot and leave no token behind."""
    verifier = ArchiveVerifier()
    try:
        for chunk in cluster.open_snapshot(cluster.find_leader()).chunks():
            verifier.feed(chunk)
        cluster.revoke_token()
    finally:
        cluster.close()
    return verifier.finish().size > 0


def refusal(cluster: Cluster, kind: type[AgentError] = Denied) -> str:
    with pytest.raises(kind) as raised:
        takes_a_snapshot(cluster)
    line = str(raised.value)
    assert "\n" not in line
    return line


@pytest.fixture
def mount(bao: OpenBaoCluster, approle: AppRole) -> Callable[[str], str]:
    """Mount a method at a path of the test's own, on the cluster that knows the policy."""

    def mounted(method: str) -> str:
        path = f"{method}-{secrets.token_hex(4)}"
        bao.api("POST", f"sys/auth/{path}", {"type": method})
        return path

    return mounted


class Issuer:
    """Signs JWTs with a key of its own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def public_key(self) -> str:
        return (
            self._key.public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            .decode()
        )

    def jwt(self, audience: str = "vault", lasting: float = 600) -> str:
        now = int(time.time())
        claims = {"iss": "https://ci.example", "sub": "agent", "aud": audience}
        times = {"iat": now - 60, "nbf": now - 60, "exp": int(now + lasting)}
        parts = [_b64(json.dumps(one).encode()) for one in ({"alg": "ES256"}, claims | times)]
        signature = self._key.sign(".".join(parts).encode(), ec.ECDSA(hashes.SHA256()))
        raw = b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(signature))
        return ".".join([*parts, _b64(raw)])


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_userpass(bao: OpenBaoCluster, mount: Callable[[str], str]) -> None:
    where = mount("userpass")
    user = {"password": "hunter2-right", "token_policies": ["snapshot"]}
    bao.api("POST", f"auth/{where}/users/agent", user)
    given = {"mount": where, "username": "agent", "password": "hunter2-right"}
    assert takes_a_snapshot(agent(bao, "userpass", **given))

    line = refusal(agent(bao, "userpass", **{**given, "password": "hunter2-wrong"}))
    assert "invalid username or password (check username, password and mount;" in line
    assert "hunter2" not in line
    line = refusal(agent(bao, "userpass", **{**given, "mount": "nowhere"}))
    assert f"login with userpass at {bao.leader().address} was refused (auth/nowhere/" in line
    assert "hunter2" not in line


def test_jwt_is_read_anew_at_each_login(
    bao: OpenBaoCluster, mount: Callable[[str], str], tmp_path: Path
) -> None:
    where, issuer, file = mount("jwt"), Issuer(), tmp_path / "jwt"
    bao.api("POST", f"auth/{where}/config", {"jwt_validation_pubkeys": [issuer.public_key]})
    role = {
        "role_type": "jwt",
        "bound_audiences": ["vault"],
        "user_claim": "sub",
        "token_policies": ["snapshot"],
    }
    bao.api("POST", f"auth/{where}/role/snapshot", role)
    given = {"mount": where, "role": "snapshot", "jwt": f"file://{file}"}
    file.write_text(issuer.jwt(lasting=-600))
    line = refusal(agent(bao, "jwt", **given))
    assert "token is expired (check role and mount, the audience of the JWT" in line
    file.write_text(issuer.jwt(audience="someone"))
    assert "audience" in refusal(agent(bao, "jwt", **given))

    file.write_text(f"{issuer.jwt()}\n")
    assert takes_a_snapshot(agent(bao, "jwt", **given))
    assert "zip" in (line := refusal(agent(bao, "jwt", **{**given, "role": "zip"})))
    assert file.read_text().strip() not in line


def test_cert_is_the_one_of_the_connection(start_bao: StartBao, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    served = _issued(authority, tmp_path / "server", "127.0.0.1")
    bao = start_bao(options=NodeOptions(tls=TlsFiles(*served, tmp_path / "ca.pem")))
    prepare_agent(bao)
    bao.api("POST", "sys/auth/cert", {"type": "cert"})
    role = {
        "certificate": authority.cert_pem.bytes().decode(),
        "allowed_dns_sans": ["agent.example"],
        "token_policies": ["snapshot"],
    }
    bao.api("POST", "auth/cert/certs/snapshot", role)

    def known_as(name: str | None, role: str | None = None) -> Cluster:
        tls = {"ca_file": tmp_path / "ca.pem"}
        if name:
            pair = _issued(authority, tmp_path / f"client-{secrets.token_hex(3)}", name)
            tls |= {"client_cert": pair[0], "client_key": pair[1]}
        auth = {"method": "cert", "role": role}
        given = {"address": bao.leader().address, "tls": tls, "auth": auth}
        return Cluster(VaultSettings.model_validate(given), "anywhere")

    assert takes_a_snapshot(known_as("agent.example", "snapshot"))
    assert takes_a_snapshot(known_as("agent.example"))
    advice = "(check role, mount, vault.tls.client_cert and client_key)"
    for stranger in (known_as("else.example"), known_as("agent.example", "zip"), known_as(None)):
        assert refusal(stranger).endswith(advice)


def _issued(authority: trustme.CA, folder: Path, name: str) -> tuple[Path, Path]:
    folder.mkdir()
    issued = authority.issue_cert(name, common_name=name)
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def proxy_socket(bao: OpenBaoCluster, approle: AppRole, tmp_path: Path) -> Iterator[Path]:
    """The socket of a real node-local agent that logs in by itself and adds its token."""
    socket = tmp_path / "agent.sock"
    for name, value in (("role_id", approle.role_id), ("secret_id", approle.secret_id)):
        (tmp_path / name).write_text(value)
    (tmp_path / "proxy.hcl").write_text(
        f"""
        vault {{ address = "{bao.leader().address}" }}
        auto_auth {{
          method "approle" {{
            config = {{
              role_id_file_path = "{tmp_path}/role_id"
              secret_id_file_path = "{tmp_path}/secret_id"
              remove_secret_id_file_after_reading = false
            }}
          }}
        }}
        api_proxy {{ use_auto_auth_token = true }}
        listener "unix" {{
          address = "{socket}"
          tls_disable = true
          require_request_header = true
        }}
        """
    )
    command = [program("bao"), "proxy", f"-config={tmp_path / 'proxy.hcl'}"]
    process = ServerProcess(
        "proxy", command, tmp_path / "agent.log", {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    )
    process.start()
    try:
        until(lambda: _listens(process, socket), "the proxy listens", within=90)
        yield socket
    finally:
        process.kill()


def _listens(process: ServerProcess, socket: Path) -> bool:
    process.check()
    return socket.exists()


def test_none_leaves_the_token_to_a_proxy_on_a_unix_socket(proxy_socket: Path) -> None:
    given = {"address": f"unix://{proxy_socket}", "auth": {"method": "none"}}

    def works() -> bool:
        cluster = Cluster(VaultSettings.model_validate(given), "leader")
        try:
            leader = cluster.find_leader_for_this_agent()
            verifier = ArchiveVerifier()
            for chunk in cluster.open_snapshot(leader).chunks():
                verifier.feed(chunk)
            return verifier.finish().size > 0
        except ServerError:
            return False  # it has not logged in yet
        finally:
            cluster.close()

    assert until(works, "a snapshot comes through the proxy", within=60)
