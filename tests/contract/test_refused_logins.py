"""A refused login is a failure of every storage; a missing right to list is none."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from tests.azurite import Azurite
from tests.contract.conftest import _place
from tests.contract.destinations import SETTINGS
from tests.http_proxy import status
from tests.lying import S3Faults
from tests.stores.fixtures import Account
from tests.stores.keystone import PROJECT, running_keystone
from tests.stores.running import PASSWORD, USERNAME

from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.holdings import look_at
from raft_snapshot_agent.doctor.results import CheckResult, Status
from raft_snapshot_agent.doctor.stores import judge
from raft_snapshot_agent.errors import LoginRefused
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

pytestmark = pytest.mark.anyio

NOW = datetime.now(UTC)
SECRET = "wrong-one-wrong-one"
S3_CODES = {
    "ExpiredToken": 400,
    "InvalidToken": 400,
    "RequestTimeTooSkewed": 403,
    "InvalidAccessKeyId": 403,
    "SignatureDoesNotMatch": 403,
    "RequestExpired": 400,
}
AZURE_CODES = {"AuthenticationFailed": 403, "InvalidAuthenticationInfo": 400, "Other": 401}


async def said_of(settings: dict[str, Any]) -> CheckResult:
    """What the doctor says of a storage that cannot be listed."""
    opened = SETTINGS.validate_python({"name": "store", "timeout": "20s", **settings})
    destination = Destination("store", opened.open(), prunes=opened.prune)
    (result,) = judge(await look_at(destination, ScheduleSpec(Every(timedelta(hours=1))), NOW), NOW)
    assert SECRET not in f"{result}"
    return result


async def refused(settings: dict[str, Any]) -> CheckResult:
    with pytest.raises(LoginRefused):
        await SETTINGS.validate_python(settings).open().entries()
    result = await said_of(settings)
    assert (result.status, result.exit_code) == (Status.FAILURE, 2)
    assert result.advice
    return result


def other_key(folder: Path) -> str:
    path = folder / "other-key"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(path)
    path.chmod(0o600)
    return str(path)


SAS = "sv=2023-11-03&sr=c&sp=rl&se=2020-01-01T00:00:00Z&sig=" + SECRET

WRONG: list[Any] = [
    pytest.param("s3", {"secret_access_key": SECRET}, id="s3-secret"),
    pytest.param("s3", {"access_key_id": "nobody"}, id="s3-key"),
    pytest.param("s3", {"secret_access_key": "env://NOT_SET"}, id="s3-missing"),
    pytest.param(
        "azure",
        {"account_key": base64.b64encode(SECRET.encode()).decode()},
        id="azure-key",
    ),
    pytest.param("azure", {"account_key": None, "sas_token": SAS}, id="azure-sas"),
    pytest.param("azure", {"account_key": "env://NOT_SET"}, id="azure-missing"),
    pytest.param("sftp", {"private_key_file": None, "password": SECRET}, id="sftp-password"),
    pytest.param("sftp", lambda folder: {"private_key_file": other_key(folder)}, id="sftp-key"),
    pytest.param("sftp", {"private_key_file": "/nonexistent"}, id="sftp-missing"),
    pytest.param(
        "sftp",
        {"username": "nobody-here", "private_key_file": None, "password": PASSWORD},
        id="sftp-user",
    ),
    pytest.param("webdav", {"password": SECRET}, id="webdav-password"),
    pytest.param("webdav", {"username": None, "password": None}, id="webdav-nobody"),
    pytest.param("webdav", {"password": "env://NOT_SET"}, id="webdav-missing"),
    pytest.param("swift", {"password": SECRET}, id="swift-password"),
    pytest.param("swift", {"password": "env://NOT_SET"}, id="swift-missing"),
    pytest.param(
        "s3",
        {"access_key_id": None, "secret_access_key": None, "profile": "nobody"},
        id="s3-profile",
    ),
    pytest.param(
        "webdav", {"username": None, "password": None, "token": SECRET}, id="webdav-token"
    ),
]


@pytest.mark.parametrize(("kind", "wrong"), WRONG)
async def test_wrong_credentials_fail(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, wrong: Any
) -> None:
    more = wrong(tmp_path) if callable(wrong) else wrong
    settings = {**_place(kind, request).settings(), **more}
    await refused({key: value for key, value in settings.items() if value is not None})


@pytest.fixture
def s3_faults(seaweed: SeaweedFS) -> Iterator[S3Faults]:
    with S3Faults(seaweed.endpoint) as faults:
        yield faults


@pytest.mark.parametrize("code", S3_CODES)
async def test_what_s3_says_of_a_login_fails(
    request: pytest.FixtureRequest, s3_faults: S3Faults, code: str
) -> None:
    body = f"<Error><Code>{code}</Code><Message>so it is</Message></Error>"
    s3_faults.behave(lambda _: True, status(S3_CODES[code], body.encode()))
    await refused({**_place("s3", request).settings(), "endpoint": s3_faults.address})


@pytest.mark.parametrize("code", AZURE_CODES)
async def test_what_azure_says_of_a_login_fails(
    request: pytest.FixtureRequest, azurite: Azurite, code: str
) -> None:
    body = f"<Error><Code>{code}</Code><Message>so it is</Message></Error>"
    settings = _place("azure", request).settings()
    with S3Faults("http://127.0.0.1:1") as faults:
        faults.behave(lambda _: True, status(AZURE_CODES[code], body.encode()))
        await refused({**settings, "endpoint": f"{faults.address}/backups"})


async def test_google_that_knows_no_such_login_fails(request: pytest.FixtureRequest) -> None:
    body = {"error": {"code": 401, "message": "Invalid Credentials"}}
    with S3Faults("http://127.0.0.1:1") as faults:
        faults.behave(lambda _: True, status(401, body))
        await refused({**_place("gcs", request).settings(), "endpoint": faults.address})


async def test_a_keystone_that_refuses_fails(swift_server: Account) -> None:
    with running_keystone(swift_server) as keystone:
        settings = {
            "type": "swift",
            "container": "backups",
            "auth_url": keystone.url,
            "username": USERNAME,
            "password": SECRET,
            "project_name": PROJECT,
        }
        await refused(settings)


async def test_a_token_of_swift_that_has_ended_fails(swift_server: Account, container: str) -> None:
    settings = {
        "type": "swift",
        "container": container,
        "storage_url": swift_server.storage_url,
        "auth_token": SECRET,
    }
    await refused(settings)


async def test_who_may_only_write_to_s3_is_warned(
    request: pytest.FixtureRequest, seaweed: SeaweedFS
) -> None:
    uploader = seaweed.identities[1]
    settings = {
        **_place("s3", request).settings(),
        "access_key_id": uploader.access_key_id,
        "secret_access_key": uploader.secret_access_key,
    }
    assert (await said_of(settings)).status is Status.WARNING
    result = await said_of({**settings, "prune": False})
    assert result.status is Status.SKIPPED
    assert "may only write" in result.message


async def test_who_may_only_write_to_azure_is_warned(
    request: pytest.FixtureRequest, azurite: Azurite
) -> None:
    settings = _place("azure", request).settings()
    sas = azurite.sas(settings["container"], "cw")
    settings.pop("account_key")
    assert (await said_of({**settings, "sas_token": sas})).status is Status.WARNING


@pytest.mark.parametrize("kind", ["webdav", "swift"])
async def test_what_answers_403_to_a_list_is_warned_of(
    request: pytest.FixtureRequest, kind: str
) -> None:
    settings = _place(kind, request).settings()
    with S3Faults("http://127.0.0.1:1") as faults:
        faults.behave(lambda _: True, status(403, b""))
        if kind == "webdav":
            settings["url"] = f"{faults.address}/dav"
        else:
            settings |= {"storage_url": f"{faults.address}/v1/there", "auth_token": "given"}
        assert (await said_of(settings)).status is Status.WARNING
