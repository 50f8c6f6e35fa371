"""What an operator reads when a login does not work: one line, with a hint and no secret."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.command import call
from tests.cluster.recording import SNAPSHOT, Server, recorded

from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.vault.auth.token import TokenAuth
from raft_snapshot_agent.vault.session import Session

_SECRET = "hunter2-hunter2-hunter2"


@pytest.fixture(scope="module")
def methods(bao: OpenBaoCluster, approle: AppRole) -> OpenBaoCluster:
    """A cluster with further methods, and a user."""
    for method in ("userpass", "jwt", "cert"):
        bao.api("POST", f"sys/auth/errors-{method}", {"type": method})
    user = {"password": "right", "token_policies": ["snapshot"]}
    bao.api("POST", "auth/errors-userpass/users/agent", user)
    return bao


def told(bao: OpenBaoCluster, folder: Path, auth: Mapping[str, Any], **env: str) -> str:
    """Save with this login and return the one line that says why that failed."""
    file = folder / "agent.json"
    kept = [{"type": "local", "path": str(folder / "kept")}]
    vault = {"address": bao.leader().address, "auth": auth}
    file.write_text(json.dumps({"vault": vault, "storages": kept}))
    ended = call("save", "--config", file, env=env)
    assert ended.code in (1, 2)
    error = ended.error
    assert "(" in error
    assert error.endswith(")\n")
    assert "hunter2" not in error
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize(
    ("auth", "why"),
    [
        ({"method": "approle", "secret_id": _SECRET}, "invalid role or secret ID (check role_id"),
        ({"method": "approle", "role_id": _SECRET}, "invalid role or secret ID (check role_id"),
        ({"method": "approle", "mount": "nowhere"}, "was refused (auth/nowhere/login)"),
        (
            {"method": "approle", "secret_id": _SECRET, "wrapped": True},
            "wrapping token in secret_id cannot be looked up",
        ),
        (
            {"method": "userpass", "username": "agent", "password": _SECRET},
            "invalid username or password (check username",
        ),
        (
            {"method": "userpass", "username": "nobody", "password": _SECRET},
            "invalid username or password (check username",
        ),
        ({"method": "jwt", "role": "snapshot", "jwt": _SECRET}, "was refused (auth/errors-jwt/"),
        ({"method": "cert"}, "no client certificate found (check role, mount, vault.tls"),
        ({"method": "token", "token": _SECRET}, "permission denied (likely the token needs read"),
    ],
)
def test_a_refusal_is_one_line(
    methods: OpenBaoCluster, approle: AppRole, tmp_path: Path, auth: dict[str, Any], why: str
) -> None:
    if auth["method"] == "approle":
        auth = {"role_id": approle.role_id, "secret_id": approle.secret_id} | auth
    elif auth["method"] != "token":
        auth = {"mount": f"errors-{auth['method']}"} | auth
    error = told(methods, tmp_path, auth)
    assert why in error
    assert approle.secret_id not in error


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("file:///nowhere/secret", "cannot read the secret in /nowhere/secret: No such file"),
        ("env://EMPTY", "the secret in environment variable EMPTY is missing or empty"),
        ("credential://id", "$CREDENTIALS_DIRECTORY is not set"),
    ],
)
@pytest.mark.parametrize(
    ("key", "auth"),
    [
        ("secret_id", {"method": "approle", "role_id": "r"}),
        ("role", {"method": "aws"}),
        ("password", {"method": "ldap", "username": "u"}),
        ("jwt", {"method": "jwt", "role": "r"}),
        ("nonce", {"method": "aws", "type": "ec2", "role": "r"}),
    ],
)
def test_what_is_missing_here_is_named_with_its_key(
    bao: OpenBaoCluster, tmp_path: Path, key: str, auth: dict[str, str], reference: str, why: str
) -> None:
    error = told(bao, tmp_path, {**auth, key: reference}, EMPTY="")
    assert why in error
    assert f"vault.auth.{key}:" in error


@pytest.mark.parametrize(
    ("auth", "name"),
    [
        ({"method": "aws", "type": "ec2", "role": "r"}, "the EC2 metadata service"),
        ({"method": "azure", "role": "r", "resource": "api://x"}, "the Azure metadata service"),
        ({"method": "gcp", "role": "r"}, "Google's metadata server"),
    ],
)
def test_an_unreachable_metadata_server_is_named(
    bao: OpenBaoCluster, tmp_path: Path, auth: dict[str, str], name: str
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{unused.getsockname()[1]}"
        error = told(
            bao,
            tmp_path,
            auth,
            AWS_EC2_METADATA_SERVICE_ENDPOINT=f"http://{nobody}",
            AZURE_POD_IDENTITY_AUTHORITY_HOST=f"http://{nobody}",
            GCE_METADATA_HOST=nobody,
        )
    assert f"cannot reach {name} at http://{nobody}: connection refused (" in error


def test_a_token_refreshed_while_it_was_refused_is_read_again(
    bao: OpenBaoCluster, approle: AppRole, tmp_path: Path
) -> None:
    sink = tmp_path / "token"
    good = bao.api("POST", "auth/token/create", {"policies": ["snapshot"]})["auth"]
    sink.write_text("s.nobodysnobodysnobodysno")
    session = Session(TokenAuth(method="token", token=Secret(f"file://{sink}")))

    with recorded(bao) as server:
        assert session.with_token(server.node, lambda token: _refreshing(server, sink, token, good))
        assert server.asked() == [SNAPSHOT, SNAPSHOT]


def _refreshing(server: Server, sink: Path, token: str, good: dict[str, str]) -> bool:
    """Ask for a snapshot while another agent writes the file anew."""
    sink.write_text(good["client_token"])
    return server.snapshot(token)
