"""Logins of the clouds: who is asked for what, and what is sent to the server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import load_pem_x509_certificate
from pydantic import TypeAdapter
from tests.vouching import GRANTED, Voucher

from raft_snapshot_agent.errors import AgentError, ConfigError, Denied, ServerError, Unreachable
from raft_snapshot_agent.vault.auth import AnyAuth, gcp
from raft_snapshot_agent.vault.auth.base import Login
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.session import Session
from raft_snapshot_agent.vault.settings import VaultSettings

_ADAPTER: TypeAdapter[AnyAuth] = TypeAdapter(AnyAuth)
_JWT = "eyJhunter2hunter2.eyJhunter2hunter2.sig"
_KEY_ID, _KEY = "AKIAHUNTER2HUNTER2XX", "hunter2/secret/key"
_INSTANCE = "/latest/dynamic/instance-identity"
_ACCOUNTS = "/computeMetadata/v1/instance/service-accounts"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Voucher]:
    """The metadata servers of all clouds on loopback."""
    with Voucher() as cloud:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", cloud.address)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", cloud.address)
        monkeypatch.setenv("GCE_METADATA_HOST", cloud.address.removeprefix("http://"))
        yield cloud


def auth(method: str, **given: Any) -> AnyAuth:
    return _ADAPTER.validate_python({"method": method, **given})


def logged_in(method: AnyAuth) -> Login:
    login = method.login()
    assert isinstance(login, Login)
    return login


def refusal(method: AnyAuth, kind: type[AgentError]) -> str:
    with pytest.raises(kind) as raised:
        method.login()
    line = str(raised.value)
    assert "\n" not in line
    assert "hunter2" not in line.lower()
    assert raised.value.hint
    return line


def plain(encoded: str) -> str:
    return base64.b64decode(encoded).decode()


def signature(headers: dict[str, str], body: str, region: str) -> str:
    """Compute an AWS signature from the headers it is said to cover, as STS does."""
    names = headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    low = {name.lower(): value for name, value in headers.items()}
    lines = "".join(f"{name}:{low[name]}\n" for name in names.split(";"))
    digest = hashlib.sha256(body.encode()).hexdigest()
    canonical = f"POST\n/\n\n{lines}\n{names}\n{digest}"
    day = low["x-amz-date"][:8]
    scope = f"{day}/{region}/sts/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{low['x-amz-date']}\n{scope}\n{hashed}"
    key = f"AWS4{_KEY}".encode()
    for part in (day, region, "sts", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("region", "host", "signed_for"),
    [
        (None, "sts.amazonaws.com", "us-east-1"),
        ("eu-central-1", "sts.eu-central-1.amazonaws.com", "eu-central-1"),
        ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    ],
)
def test_aws_signs_a_question_to_sts(
    cloud: Voucher,
    monkeypatch: pytest.MonkeyPatch,
    region: str | None,
    host: str,
    signed_for: str,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", _KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", _KEY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-the-session")
    method = auth("aws", role="agent", region=region, server_id_header="vault.example")
    login = logged_in(method)
    body = dict(login.body)
    headers = {
        key: one for key, (one,) in json.loads(plain(body.pop("iam_request_headers"))).items()
    }
    question = plain(body.pop("iam_request_body"))
    assert login.path == "auth/aws/login"
    assert plain(body.pop("iam_request_url")) == f"https://{host}/"
    assert question == "Action=GetCallerIdentity&Version=2011-06-15"
    assert body == {"role": "agent", "iam_http_request_method": "POST"}
    assert headers["X-Vault-AWS-IAM-Server-ID"] == "vault.example"
    assert headers["Host"] == host
    assert headers["X-Amz-Security-Token"] == "of-the-session"
    authorization = headers["Authorization"]
    assert f"Credential={_KEY_ID}/" in authorization
    names = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert {"host", "x-vault-aws-iam-server-id", "x-amz-security-token"} <= set(names)
    assert authorization.endswith(f"Signature={signature(headers, question, signed_for)}")
    assert _KEY not in repr(login)


def test_aws_without_credentials_says_so(cloud: Voucher) -> None:
    line = refusal(auth("aws", role="agent"), ConfigError)
    assert "there are no AWS credentials to sign the login with (give this host a role" in line


def test_ec2_shows_its_identity_with_the_same_nonce_each_time(cloud: Voucher) -> None:
    cloud.says = {
        "/latest/api/token": (200, b"imds-token"),
        f"{_INSTANCE}/pkcs7": (200, b"MIIa\nMIIb\n"),
    }
    method = auth("aws", role="agent", type="ec2", mount="ec2")
    reloaded = auth("aws", role="agent", type="ec2", mount="ec2/")
    first, second, third = logged_in(method), logged_in(method), logged_in(reloaded)
    assert first == second == third
    assert first.path == "auth/ec2/login"
    assert first.body == {"role": "agent", "pkcs7": "MIIaMIIb", "nonce": first.body["nonce"]}
    assert len(first.body["nonce"]) == 32
    other = logged_in(auth("aws", role="agent", type="ec2", mount="other"))
    assert other.body["nonce"] != first.body["nonce"]
    assert cloud.lines[:2] == ["PUT /latest/api/token", f"GET {_INSTANCE}/pkcs7"]
    assert cloud.asked[0].headers["x-aws-ec2-metadata-token-ttl-seconds"] == "60"
    assert cloud.asked[1].headers["x-aws-ec2-metadata-token"] == "imds-token"


def test_ec2_may_show_its_document_and_signature(
    cloud: Voucher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NONCE", "once")
    cloud.says = {
        "/latest/api/token": (200, b"imds-token"),
        f"{_INSTANCE}/document": (200, b'{"instanceId": "i-1"}'),
        f"{_INSTANCE}/signature": (200, b"c2ln\nbmF0"),
        f"{_INSTANCE}/rsa2048": (200, b"cnNh\n"),
    }
    ec2 = {"role": "agent", "type": "ec2", "nonce": "env://NONCE"}
    body = logged_in(auth("aws", **ec2, signature="identity")).body
    assert plain(body.pop("identity")) == '{"instanceId": "i-1"}'
    assert body == {"role": "agent", "signature": "c2lnbmF0", "nonce": "once"}
    rsa = logged_in(auth("aws", **ec2, signature="rsa2048")).body
    assert rsa == {"role": "agent", "pkcs7": "cnNh", "nonce": "once"}


def test_azure_shows_a_managed_identity_and_its_machine(cloud: Voucher) -> None:
    compute = {
        "subscriptionId": "sub",
        "resourceGroupName": "group",
        "name": "vm-1",
        "vmScaleSetName": "",
    }
    cloud.says = {
        "/metadata/identity/oauth2/token": (200, {"access_token": _JWT}),
        "/metadata/instance": (200, {"compute": compute}),
    }
    login = logged_in(auth("azure", role="agent", resource="https://vault.example"))
    assert login.path == "auth/azure/login"
    assert login.body == {
        "role": "agent",
        "jwt": _JWT,
        "subscription_id": "sub",
        "resource_group_name": "group",
        "vm_name": "vm-1",
    }
    query = "api-version=2018-02-01&resource=https%3A%2F%2Fvault.example"
    assert cloud.lines == [
        f"GET /metadata/identity/oauth2/token?{query}",
        "GET /metadata/instance?api-version=2021-05-01",
    ]
    assert [asked.headers["metadata"] for asked in cloud.asked] == ["true", "true"]


def test_azure_shows_an_apps_identity(cloud: Voucher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{cloud.address}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "of-the-app")
    monkeypatch.setenv("AZURE_CLIENT_ID", "client-1")
    cloud.says = {"/msi/token": (200, {"access_token": _JWT})}
    login = logged_in(auth("azure", role="agent", resource="api://vault"))
    assert login.body == {"role": "agent", "jwt": _JWT}
    (asked,) = cloud.asked
    query = "api-version=2019-08-01&resource=api%3A%2F%2Fvault&client_id=client-1"
    assert asked.line == f"GET /msi/token?{query}"
    assert asked.headers["x-identity-header"] == "of-the-app"


def test_azure_shows_a_workloads_identity(
    cloud: Voucher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "federated"
    file.write_text("eyJfederated\n")
    given = {
        "AZURE_FEDERATED_TOKEN_FILE": str(file),
        "AZURE_AUTHORITY_HOST": f"{cloud.address}/",
        "AZURE_TENANT_ID": "tenant",
        "AZURE_CLIENT_ID": "client-1",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    method = auth("azure", role="agent", resource="api://vault")
    assert "Entra at http" in refusal(method, Denied)
    cloud.says = {"/tenant/oauth2/v2.0/token": (200, {"access_token": _JWT})}
    assert logged_in(method).body == {"role": "agent", "jwt": _JWT}
    assert cloud.asked[-1].form == {
        "grant_type": "client_credentials",
        "client_id": "client-1",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "eyJfederated",
        "scope": "api://vault/.default",
    }
    monkeypatch.setenv("AZURE_TENANT_ID", "")
    assert "AZURE_TENANT_ID is missing or empty" in refusal(method, ConfigError)
    file.unlink()
    assert f"cannot read the secret in {file}" in refusal(method, ConfigError)


@pytest.mark.parametrize("account", [None, "agent@p.iam.gserviceaccount.com"])
def test_gce_shows_the_instances_identity(cloud: Voucher, account: str | None) -> None:
    path = f"{_ACCOUNTS}/{(account or 'default').replace('@', '%40')}/identity"
    cloud.says = {path: (200, _JWT.encode())}
    login = logged_in(auth("gcp", role="agent", service_account=account))
    assert login == Login("auth/gcp/login", {"role": "agent", "jwt": _JWT})
    assert cloud.lines == [f"GET {path}?audience=http%3A%2F%2Fvault%2Fagent&format=full"]
    assert cloud.asked[0].headers["metadata-flavor"] == "Google"


@pytest.mark.parametrize("account", [None, "signer@p.iam.gserviceaccount.com"])
def test_gcp_has_a_service_account_sign(
    cloud: Voucher, monkeypatch: pytest.MonkeyPatch, account: str | None
) -> None:
    monkeypatch.setattr(gcp, "_SIGN", f"{cloud.address}/v1/projects/-/serviceAccounts")
    signer = account or "host@p.iam.gserviceaccount.com"
    sign = f"/v1/projects/-/serviceAccounts/{signer.replace('@', '%40')}:signJwt"
    cloud.says = {
        f"{_ACCOUNTS}/default/email": (200, b"host@p.iam.gserviceaccount.com"),
        f"{_ACCOUNTS}/default/token": (200, {"access_token": "ya29.hunter2"}),
        sign: (200, {"signedJwt": _JWT}),
    }
    login = logged_in(auth("gcp", role="agent", type="iam", service_account=account))
    assert login == Login("auth/gcp/login", {"role": "agent", "jwt": _JWT})
    asked = cloud.asked[-1]
    assert asked.line == f"POST {sign}"
    assert asked.headers["authorization"] == "Bearer ya29.hunter2"
    claims = json.loads(asked.document["payload"])
    assert (claims["sub"], claims["aud"]) == (signer, "vault/agent")
    assert time.time() + 500 < claims["exp"] <= time.time() + 600


def test_cf_signs_with_the_instances_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    issued = trustme.CA(key_type=trustme.KeyType.RSA).issue_cert(
        "instance", key_type=trustme.KeyType.RSA
    )
    method = auth("cf", role="agent")
    assert "needs CF_INSTANCE_CERT, which is missing" in refusal(method, ConfigError)
    monkeypatch.setenv("CF_INSTANCE_CERT", str(tmp_path / "crt"))
    monkeypatch.setenv("CF_INSTANCE_KEY", str(tmp_path / "key"))
    assert "cannot read the secret in" in refusal(method, ConfigError)
    issued.cert_chain_pems[0].write_to_path(tmp_path / "crt")
    (tmp_path / "key").write_text("hunter2")
    assert "holds no RSA key" in refusal(method, ConfigError)
    issued.private_key_pem.write_to_path(tmp_path / "key")
    body = logged_in(method).body
    certificate = (tmp_path / "crt").read_text().strip()
    assert (body["role"], body["cf_instance_cert"]) == ("agent", certificate)
    assert abs(time.time() - datetime.fromisoformat(body["signing_time"]).timestamp()) < 60
    version, _, encoded = body["signature"].partition(":")
    assert version == "v1"
    key = load_pem_x509_certificate(certificate.encode()).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(
        base64.b64decode(encoded),
        f"{body['signing_time']}{certificate}agent".encode(),
        padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO),
        hashes.SHA256(),
    )


@pytest.mark.parametrize(("method", "package"), [("aws", "botocore"), ("cf", "cryptography")])
def test_an_extra_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, method: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    line = refusal(auth(method, role="agent"), ConfigError)
    assert line.endswith(
        f"needs the extra {method}-auth (pip install 'raft-snapshot-agent[{method}-auth]')"
    )


_METHODS = [
    auth("aws", role="agent", type="ec2"),
    auth("azure", role="agent", resource="api://vault"),
    auth("gcp", role="agent"),
    auth("gcp", role="agent", type="iam"),
]


@pytest.mark.parametrize("method", _METHODS)
def test_an_unreachable_metadata_server_is_one_line(
    method: AnyAuth, cloud: Voucher, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{nobody}")
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://{nobody}")
        monkeypatch.setenv("GCE_METADATA_HOST", nobody)
        line = refusal(method, Unreachable)
    assert f"at http://{nobody}: connection refused (" in line


@pytest.mark.parametrize("method", _METHODS)
def test_a_refusing_metadata_server_is_one_line(method: AnyAuth, cloud: Voucher) -> None:
    assert "answers with 404" in refusal(method, Denied)


@pytest.mark.parametrize("answer", [b"<html>", {"access_token": ""}, [1]])
def test_nonsense_from_a_metadata_server_is_one_line(cloud: Voucher, answer: Any) -> None:
    cloud.says = {"/metadata/identity/oauth2/token": (200, answer)}
    refusal(auth("azure", role="agent", resource="api://vault"), ServerError)


def test_a_refused_login_tells_no_proof(cloud: Voucher) -> None:
    cloud.says = {
        f"{_ACCOUNTS}/default/identity": (200, _JWT.encode()),
        "/v1/auth/gcp/login": (400, {"errors": [f"bad {_JWT}"]}),
    }
    node = Node(cloud.address, VaultSettings())
    session = Session(auth("gcp", role="agent"))
    with pytest.raises(Denied) as raised:
        session.token(node)
    assert "(check role, mount, type and the accounts" in str(raised.value)
    assert _JWT not in str(raised.value)
    cloud.says["/v1/auth/gcp/login"] = (200, GRANTED)
    assert session.token(node) == "s.granted"
    node.close()
