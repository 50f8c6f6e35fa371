"""Temporary keys of AWS roles, from where a platform hands them out."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.aws_roles import IDENTITY, POD_PATH, POD_TOKEN, ROLE_ARN, TASK_PATH, Roles
from tests.contract.sources import MIB, put_of
from tests.http_proxy import Behaviour, Exchange, Request, hang, pass_through, status
from tests.moto_store import MotoStore
from tests.s3_faults import S3Faults

from raft_snapshot_agent.errors import StorageDenied, StorageError, StorageUnavailable
from raft_snapshot_agent.storage.base import BytesSource, Storage
from raft_snapshot_agent.storage.s3 import roles as s3_roles
from raft_snapshot_agent.storage.s3.s3 import S3Settings, connect

NAME = "raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap"
DENIED = (
    b"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>"
    b"Not authorized to perform sts:AssumeRoleWithWebIdentity</Message></Error></ErrorResponse>"
)
Environment = Callable[[Roles, pytest.MonkeyPatch, Path], None]


@pytest.fixture(scope="module")
def store() -> Iterator[MotoStore]:
    with MotoStore.start() as store:
        yield store


@pytest.fixture
def bucket(store: MotoStore) -> str:
    name = f"test-{secrets.token_hex(6)}"
    store.create_bucket(name)
    return name


@pytest.fixture
def faults(store: MotoStore) -> Iterator[S3Faults]:
    with S3Faults(store.endpoint) as faults:
        yield faults


@pytest.fixture
def roles() -> Iterator[Roles]:
    with Roles() as roles:
        yield roles


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own profiles out."""
    monkeypatch.setenv("HOME", str(tmp_path))


def opened(faults: S3Faults, bucket: str, **more: Any) -> Storage:
    common = {"type": "s3", "bucket": bucket, "endpoint": faults.address, "timeout": "20s"}
    return S3Settings.model_validate({**common, **more}).open()


def web_identity(roles: Roles, environment: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "token").write_text(IDENTITY)
    environment.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(folder / "token"))
    environment.setenv("AWS_ROLE_ARN", ROLE_ARN)
    environment.setenv("AWS_ROLE_SESSION_NAME", "agent")
    environment.setenv("AWS_ENDPOINT_URL_STS", roles.over_tls(folder / "ca.pem"))
    environment.setenv("AWS_CA_BUNDLE", str(folder / "ca.pem"))


def pod(roles: Roles, environment: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "token").write_text(POD_TOKEN)
    environment.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", roles.address + POD_PATH)
    environment.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(folder / "token"))


def task(roles: Roles, environment: pytest.MonkeyPatch, _: Path) -> None:
    """Reach what is only there in a task."""
    environment.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", TASK_PATH)
    environment.setattr(s3_roles, "TASK_ENDPOINT", roles.address)


def instance(roles: Roles, environment: pytest.MonkeyPatch, _: Path) -> None:
    environment.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", roles.address)


def instance_of_other_tools(roles: Roles, environment: pytest.MonkeyPatch, _: Path) -> None:
    environment.setenv("AWS_METADATA_ENDPOINT", roles.address)


PLATFORMS = pytest.mark.parametrize(
    "platform", [web_identity, pod, task, instance, instance_of_other_tools]
)


def signed_with(requests: list[Request]) -> list[str]:
    """Tell the numbers of the temporary keys; key and session token belong together."""
    numbers = []
    for request in requests:
        key = re.search(r"Credential=ASIATEMPORARY(\d+)/", request.headers["Authorization"])
        assert key is not None
        assert request.headers["x-amz-security-token"] == f"temporary-token-{key[1]}"
        assert "x-amz-security-token" in request.headers["Authorization"]
        numbers.append(key[1])
    return numbers


def of(requests: list[Request], method: str) -> list[Request]:
    return [request for request in requests if request.method == method]


@PLATFORMS
async def test_a_snapshot_is_stored_with_temporary_keys(
    platform: Environment,
    roles: Roles,
    faults: S3Faults,
    store: MotoStore,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    platform(roles, monkeypatch, tmp_path)
    await opened(faults, bucket).put(NAME, BytesSource(b"snapshot"))
    stored = store.client.get_object(Bucket=bucket, Key=NAME)
    assert stored["Body"].read() == b"snapshot"
    assert signed_with(of(faults.requests, "PUT")) == ["001"]
    assert len(signed_with(faults.requests)) == 2


async def test_a_web_identity_is_shown_to_sts_as_it_is_now(
    roles: Roles, faults: S3Faults, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web_identity(roles, monkeypatch, tmp_path)
    storage = opened(faults, bucket)
    await storage.entries()
    (form,) = roles.forms
    duration = int(form.pop("DurationSeconds"))
    assert 900 <= duration <= 3600
    assert form == {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": ROLE_ARN,
        "RoleSessionName": "agent",
        "WebIdentityToken": IDENTITY,
    }
    (tmp_path / "token").write_text("a token of another issuer")
    with pytest.raises(StorageDenied, match="400 InvalidIdentityToken") as caught:
        await storage.entries()
    assert roles.forms[-1]["WebIdentityToken"] == "a token of another issuer"
    assert "another issuer" not in str(caught.value)


async def test_a_pod_shows_its_token(
    roles: Roles, faults: S3Faults, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod(roles, monkeypatch, tmp_path)
    await opened(faults, bucket).entries()
    (asked,) = roles.requests
    assert (asked.method, asked.target) == ("GET", POD_PATH)
    assert asked.headers["Authorization"] == POD_TOKEN


def test_a_task_has_an_address_of_its_own() -> None:
    assert s3_roles.TASK_ENDPOINT == "http://169.254.170.2"


async def test_a_task_asks_at_its_own_address(
    roles: Roles, faults: S3Faults, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task(roles, monkeypatch, tmp_path)
    await opened(faults, bucket).entries()
    (asked,) = roles.requests
    assert (asked.method, asked.target) == ("GET", TASK_PATH)


async def test_an_instance_asks_imds_version_2(
    roles: Roles, faults: S3Faults, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance(roles, monkeypatch, tmp_path)
    await opened(faults, bucket).entries()
    token, name, keys = roles.requests
    assert (token.method, token.target) == ("PUT", "/latest/api/token")
    assert int(token.headers["X-aws-ec2-metadata-token-ttl-seconds"]) > 0
    assert name.target == "/latest/meta-data/iam/security-credentials/"
    assert keys.target == "/latest/meta-data/iam/security-credentials/backup"
    assert name.headers["X-aws-ec2-metadata-token"] == "AQAEALyZ-an-imds-token"
    assert keys.headers["X-aws-ec2-metadata-token"] == "AQAEALyZ-an-imds-token"


def late(exchange: Exchange) -> None:
    """Let some time pass before a part is taken."""
    exchange.pause(0.3)
    pass_through(exchange)


@PLATFORMS
async def test_keys_that_are_about_to_expire_are_exchanged_during_an_upload(
    platform: Environment,
    roles: Roles,
    faults: S3Faults,
    store: MotoStore,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    platform(roles, monkeypatch, tmp_path)
    faults.behave(lambda request: "partNumber" in request.query, late)

    async def keys_of_an_upload() -> set[str]:
        before = len(faults.requests)
        assert await put_of(opened(faults, bucket), tmp_path, 26 * MIB) == 26 * MIB
        made = [request for request in faults.requests[before:] if request.method != "HEAD"]
        assert len(made) == 5
        return set(signed_with(made))

    assert len(await keys_of_an_upload()) == 1
    roles.lifetime = timedelta(seconds=90)
    assert len(await keys_of_an_upload()) > 1
    assert store.client.head_object(Bucket=bucket, Key=NAME)["ContentLength"] == 26 * MIB


async def failing(
    platform: Environment, answer: Behaviour | None, faults: S3Faults, folder: Path
) -> StorageError:
    """Store something where the platform answers so; without an answer it is not there at all."""
    with Roles() as roles, pytest.MonkeyPatch.context() as environment:
        platform(roles, environment, folder)
        roles.answer = answer
        if answer is None:
            roles.stop()
        storage = opened(faults, "backups", timeout="1s")
        with anyio.fail_after(30), pytest.raises(StorageError) as caught:
            await storage.put(NAME, BytesSource(b"snapshot"))
    assert faults.requests == []
    assert "\n" not in str(caught.value)
    assert IDENTITY not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "Connection refused"),
        (hang, "no answer in time"),
        (status(500), "the answer was 500"),
    ],
)
@pytest.mark.parametrize("platform", [web_identity, pod, task])
async def test_a_platform_that_does_not_answer_is_told_soon(
    platform: Environment,
    answer: Behaviour | None,
    why: str,
    faults: S3Faults,
    tmp_path: Path,
) -> None:
    error = await failing(platform, answer, faults, tmp_path)
    assert isinstance(error, StorageUnavailable)
    assert "no keys for the role" in error.message
    assert why in error.message
    assert "AWS_*" in error.hint


@pytest.mark.parametrize("answer", [None, hang, status(500), status(403)])
async def test_a_host_without_a_role_is_told_soon(
    answer: Behaviour | None, faults: S3Faults, tmp_path: Path
) -> None:
    error = await failing(instance, answer, faults, tmp_path)
    assert isinstance(error, StorageDenied)
    assert "there are no credentials" in error.message
    assert "access_key_id" in error.hint


async def test_an_instance_that_does_not_answer_is_waited_for_once(
    roles: Roles, faults: S3Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance(roles, monkeypatch, tmp_path)
    roles.answer = hang
    for storage in (opened(faults, "backups"), opened(faults, "others")):
        with anyio.fail_after(10), pytest.raises(StorageDenied) as caught:
            await storage.entries()
        assert "instance metadata service: no answer in time from 127.0.0.1" in str(caught.value)
        assert "raise the hop limit to 2" in caught.value.hint
        assert "timeout" not in caught.value.hint
    assert len(roles.requests) == 1


async def test_an_instance_that_is_not_to_be_asked_is_not_asked(
    roles: Roles, faults: S3Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance(roles, monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "True")
    with pytest.raises(StorageDenied, match="no credentials, and AWS_EC2_METADATA_DISABLED"):
        await opened(faults, "backups").entries()
    assert roles.requests == []


@pytest.mark.parametrize(
    ("platform", "answer", "why"),
    [
        (
            web_identity,
            status(403, DENIED),
            "refused (403 AccessDenied Not authorized to perform sts:AssumeRoleWithWebIdentity)",
        ),
        (pod, status(401, {"message": "Unauthorized"}), "refused (401 Unauthorized)"),
        (task, status(404, {"Message": "no such task"}), "refused (404 no such task)"),
    ],
)
async def test_a_role_that_is_refused_is_told_with_the_reason(
    platform: Environment, answer: Behaviour, why: str, faults: S3Faults, tmp_path: Path
) -> None:
    error = await failing(platform, answer, faults, tmp_path)
    assert isinstance(error, StorageDenied)
    assert f"no keys for the role: {why}" in error.message
    assert "trusts" in error.hint


@pytest.mark.parametrize("platform", [web_identity, pod])
async def test_a_token_file_that_is_missing_is_told(
    platform: Environment,
    roles: Roles,
    faults: S3Faults,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    platform(roles, monkeypatch, tmp_path)
    (tmp_path / "token").unlink()
    with pytest.raises(StorageDenied) as caught:
        await opened(faults, "backups").entries()
    assert "environment" in caught.value.hint


@pytest.mark.parametrize("key", [{}, {"proxy": "http://proxy.example.org:3128"}])
def test_a_proxy_is_not_asked_for_what_is_this_hosts_own(
    key: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told by the route: the addresses are real on some hosts, and not to be asked by tests."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.org:3128")
    settings = S3Settings.model_validate({"type": "s3", "bucket": "backups", **key})
    pools = connect(settings).http._pools
    assert pools.through("https://backups.s3.us-east-1.amazonaws.com") is not None
    for address in ("169.254.169.254", "169.254.170.2", "169.254.170.23", "[fd00:ec2::254]"):
        assert pools.through(f"http://{address}/") is None
