"""Every file that is read whole, with each of the things that its path may lead to instead."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.leaks import WATCH

from raft_snapshot_agent.config.drill import IssuerSettings
from raft_snapshot_agent.config.files import read as read_configuration
from raft_snapshot_agent.config.web import WebTls
from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.lease.kubeconfig import configuration
from raft_snapshot_agent.network.trust import TlsOptions, context
from raft_snapshot_agent.notify.memory_file import MemoryFile
from raft_snapshot_agent.restore.reader import FileReader
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.service.run_metrics import _read_earlier
from raft_snapshot_agent.small_file import (
    LARGEST_BUNDLE,
    UnfitFile,
    read_file,
    require_small_file,
)
from raft_snapshot_agent.storage.azure.identities import WorkloadIdentity
from raft_snapshot_agent.storage.gcs.federation import federated
from raft_snapshot_agent.storage.gcs.login import GcsLogin
from raft_snapshot_agent.storage.http.http import Http
from raft_snapshot_agent.storage.local.lease_store import LocalLeaseStore
from raft_snapshot_agent.storage.objectstore.aws_profile import ambient_region
from raft_snapshot_agent.storage.s3.roles import RoleKeys
from raft_snapshot_agent.storage.sftp import login
from raft_snapshot_agent.storage.sftp.sftp import SftpSettings
from raft_snapshot_agent.vault.auth.aws import AwsAuth
from raft_snapshot_agent.vault.auth.azure import AzureAuth
from raft_snapshot_agent.vault.auth.cf import CfAuth

CANARY = "hunter2-in-a-file"
Make = Callable[[Path], object]
Read = Callable[[Path, pytest.MonkeyPatch], object]
HTTP = Http(timedelta(seconds=5), TlsOptions())


def fifo(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def listening(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as bound:
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket is short
        bound.bind(path.name)
        os.chdir(here)
        yield


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def waiting(path: Path) -> None:
    """A terminal that nobody types at, and that would answer if it were asked for a password."""
    path.symlink_to("/dev/ptmx")


def circle(path: Path) -> None:
    path.symlink_to(path)


def one_too_many(path: Path) -> None:
    with path.open("wb") as file:
        file.write(f"{CANARY}\n".encode())
        file.truncate(LARGEST_BUNDLE + 1)


def no_text(path: Path) -> None:
    path.write_bytes(f"{CANARY}\xff\n".encode("latin-1"))


def nonsense(path: Path) -> None:
    path.write_text(f"@{CANARY}: [\n  '{CANARY}\n\t]: {{\n")


NO_FILES: list[Make] = [fifo, folder, listening, endless, waiting, one_too_many]


def kubeconfig(path: Path, **user: str) -> str:
    about = {"name": "one", "user": user}
    cluster = {"name": "one", "cluster": {"server": "https://127.0.0.1:1"}}
    if not user:
        cluster["cluster"]["certificate-authority"] = str(path)  # type: ignore[index]
    told = {
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "clusters": [cluster],
        "users": [about],
    }
    return str(told)  # which is YAML, too


def _named(*variables: str, read: Callable[[], object]) -> Read:
    def reading(path: Path, environment: pytest.MonkeyPatch) -> object:
        for variable in variables:
            environment.setenv(variable, str(path))
        return read()

    return reading


def _in_kubeconfig(key: str) -> Read:
    def reading(path: Path, environment: pytest.MonkeyPatch) -> object:
        file = path.with_name("kubeconfig")
        file.write_text(kubeconfig(path, **({key: str(path)} if key else {})))
        environment.setenv("KUBECONFIG", str(file))
        return configuration()

    return reading


def _sftp(key: str) -> Read:
    def reading(path: Path, _: pytest.MonkeyPatch) -> object:
        said: dict[str, Any] = {"password": "x", key: str(path)}
        settings = SftpSettings.model_validate(
            {"type": "sftp", "host": "a.example", "path": "/b", "username": "c", **said}
        )
        return (login.read_key if key == "private_key_file" else login.read_known_hosts)(settings)

    return reading


def _federated(path: Path, _: pytest.MonkeyPatch) -> object:
    document = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "http://127.0.0.1:1/token",
        "credential_source": {"file": str(path)},
    }
    return federated(HTTP, "cannot store", Path("credentials.json"), document)


def _authorities(path: Path, environment: pytest.MonkeyPatch) -> object:
    environment.setenv("SSL_CERT_FILE", str(path))
    return context(TlsOptions())


def _web(path: Path, _: pytest.MonkeyPatch) -> object:
    return WebTls(cert=path, key=path).open()


def _issuer(path: Path, _: pytest.MonkeyPatch) -> object:
    return IssuerSettings.model_validate({"mount": "pki", "root": str(path)}).read_roots()


def _credential(path: Path, environment: pytest.MonkeyPatch) -> object:
    environment.setenv("CREDENTIALS_DIRECTORY", str(path.parent))
    return Secret(f"credential://{path.name}").resolve()


def _workload(path: Path, _: pytest.MonkeyPatch) -> object:
    who = WorkloadIdentity("http://127.0.0.1:1", "tenant", "client", str(path))
    return who.get(HTTP, "cannot store")


AWS = AwsAuth.model_validate({"method": "aws", "role": "r"})
REFUSED: dict[str, Read] = {
    "secret": lambda path, _: Secret(f"file://{path}").resolve(),
    "secret of several lines": lambda path, _: Secret(f"file://{path}").resolve_lines(),
    "credential of systemd": _credential,
    "Cloud Foundry's certificate": _named(
        "CF_INSTANCE_CERT",
        "CF_INSTANCE_KEY",
        read=lambda: CfAuth.model_validate({"method": "cf", "role": "r"}).login(),
    ),
    "Azure's identity, to log in": _named(
        "AZURE_FEDERATED_TOKEN_FILE",
        read=lambda: AzureAuth.model_validate(
            {"method": "azure", "role": "r", "resource": "x"}
        ).login(),
    ),
    "Azure's identity, to store": _workload,
    "Google's credentials": lambda path, _: GcsLogin(HTTP, path).headers("cannot store"),
    "Google's, of the environment": _named(
        "GOOGLE_APPLICATION_CREDENTIALS",
        read=lambda: GcsLogin(HTTP, None).headers("cannot store"),
    ),
    "Google's source of a token": _federated,
    "AWS' configuration": _named("AWS_CONFIG_FILE", read=ambient_region),
    "AWS' credentials": _named("AWS_SHARED_CREDENTIALS_FILE", read=ambient_region),
    "AWS' identity": _named(
        "AWS_WEB_IDENTITY_TOKEN_FILE", read=lambda: RoleKeys(HTTP, "r")("cannot store")
    ),
    "AWS' token of a container": _named(
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", read=lambda: RoleKeys(HTTP, "r")("cannot store")
    ),
    "AWS' configuration, to log in": _named("AWS_CONFIG_FILE", read=AWS.login),
    "AWS' credentials, to log in": _named("AWS_SHARED_CREDENTIALS_FILE", read=AWS.login),
    "AWS' identity, to log in": _named("AWS_WEB_IDENTITY_TOKEN_FILE", read=AWS.login),
    "SSH key": _sftp("private_key_file"),
    "known hosts": _sftp("known_hosts_file"),
    "authorities": lambda path, _: context(TlsOptions(path)),
    "authorities of the system": _authorities,
    "certificate": lambda path, _: context(TlsOptions(client_cert=path)),
    "key of a certificate": lambda path, _: context(
        TlsOptions(client_cert=path.with_name("given.pem"), client_key=path)
    ),
    "certificate of the page": _web,
    "root of an issuer": _issuer,
    "kubeconfig": _named("KUBECONFIG", read=configuration),
    "authorities of Kubernetes": _in_kubeconfig(""),
    "token of Kubernetes": _in_kubeconfig("tokenFile"),
    "certificate of Kubernetes": _in_kubeconfig("client-certificate"),
    "key of Kubernetes": _in_kubeconfig("client-key"),
}
AS_TEXT = {
    "secret of several lines",
    "authorities",
    "authorities of the system",
    "authorities of Kubernetes",
    "certificate",
    "certificate of the page",
    "certificate of Kubernetes",
    "key of a certificate",
    "key of Kubernetes",
    "token of Kubernetes",
}
"""These are read by libraries, once it is known that they can be; what they hold is theirs."""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/x")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/keys")
    monkeypatch.setenv("AZURE_TENANT_ID", "tenant")
    monkeypatch.setenv("AZURE_CLIENT_ID", "client")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (tmp_path / "given.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    return tmp_path / "file"


def made(make: Make, path: Path) -> object:
    """Put it there; whatever has to stay open does as long as what is returned."""
    kept = make(path)
    if isinstance(kept, Iterator):
        next(kept)
    return kept


def refusal(read: Read, path: Path, environment: pytest.MonkeyPatch) -> str:
    with pytest.raises(AgentError) as raised:
        read(path, environment)
    said = str(raised.value)
    assert len(raised.value.lines) == 1
    assert len(said.splitlines()) == 1
    assert CANARY not in said
    WATCH.read(said)
    return said


@pytest.mark.parametrize("make", [fifo, folder, one_too_many], ids=lambda make: make.__name__)
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_small_file_is_refused_in_one_line(
    what: str, make: Make, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _kept = made(make, path)

    said = refusal(REFUSED[what], path, monkeypatch)

    assert str(path) in said
    assert any(why in said for why in ("expected a regular file", "a limit that is fixed"))


@pytest.mark.parametrize("make", [no_text, nonsense], ids=lambda make: make.__name__)
@pytest.mark.parametrize("what", [one for one in REFUSED if one not in AS_TEXT])
def test_what_it_holds_is_not_shown(
    what: str, make: Make, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(make, path)

    refusal(REFUSED[what], path, monkeypatch)


@pytest.mark.parametrize("what", REFUSED)
def test_what_may_not_be_read_is_told_with_its_path(
    what: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("x")
    opened = os.open

    def closed(file: Any, *given: Any, **named: Any) -> int:
        if file == path:
            raise PermissionError(13, "Permission denied", str(file))
        return opened(file, *given, **named)

    monkeypatch.setattr(os, "open", closed)

    said = refusal(REFUSED[what], path, monkeypatch)

    assert str(path) in said
    assert "Permission denied" in said


@pytest.mark.parametrize("make", NO_FILES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("read", [read_file, require_small_file], ids=lambda read: read.__name__)
def test_the_reader_itself_refuses_all_of_them(
    make: Make, read: Callable[[Path], object], path: Path
) -> None:
    _kept = made(make, path)

    with pytest.raises(UnfitFile):
        read(path)


def test_what_has_just_the_size_is_read_and_one_byte_more_is_not(path: Path) -> None:
    path.write_bytes(b"x" * 100)

    assert read_file(path, 100) == b"x" * 100
    with pytest.raises(UnfitFile, match="a limit that is fixed"):
        read_file(path, 99)
    with pytest.raises(UnfitFile, match="a path must not contain a NUL character"):
        read_file(Path("a\0b"))


def test_what_does_not_tell_its_size_is_bounded_all_the_same() -> None:
    """Files of the kernel say that they have none."""
    told = Path("/proc/self/maps")
    assert len(read_file(told)) > 4096 > told.stat().st_size

    with pytest.raises(UnfitFile, match="it has more than 4 KiB"):
        read_file(told, 4096)


# What is only a help: whatever lies there, it is not waited for, and work goes on.


def move(path: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    path.rename(target)


async def _record(path: Path) -> object:
    (path.parent / "lease").mkdir()
    move(path, path.parent / "lease" / "1.json")
    found = await LocalLeaseStore(path.parent, "lease").read()
    return found is not None and found.record.holder == "unknown"


async def _memory(path: Path) -> object:
    memory = MemoryFile(path.parent, "here")
    memory.merge({}, {})
    (file,) = path.parent.glob("raft-snapshot-notify-*.json")
    move(path, file)
    return memory.read() == {}


async def _manifest(path: Path) -> object:
    move(path, path.with_name("a.snap.json"))
    return (await FileReader(path.with_name("a.snap")).expected()).manifest is None


async def _metrics(path: Path) -> object:
    return _read_earlier(path) is not None


@pytest.mark.parametrize(
    "name", ["007.json", "\N{ARABIC-INDIC DIGIT SEVEN}.json", f"{'9' * 30}.json", "9", "1e5.json"]
)
async def test_a_foreign_file_beside_the_records_of_a_lease_is_no_record(
    name: str, tmp_path: Path
) -> None:
    store = LocalLeaseStore(tmp_path, "lease")
    record = Record("me", 1, 1, 30.0)
    assert await store.write(record, None) == "1"
    (tmp_path / "lease" / name).write_text("{}")

    found = await store.read()

    assert found is not None
    assert found.record.holder == "me"
    assert await store.write(record, found.version) == "2"


async def test_a_folder_in_the_place_of_a_record_is_passed_on_the_way_to_the_next(
    tmp_path: Path,
) -> None:
    store = LocalLeaseStore(tmp_path, "lease")
    (tmp_path / "lease" / "1.json").mkdir(parents=True)
    version: str | None = "1"
    for beat in range(30):
        version = await store.write(Record("me", 1, beat, 30.0), version)
        assert version == str(beat + 2)


HELPS = [_record, _memory, _manifest, _metrics]


@pytest.mark.parametrize(
    "make", [*NO_FILES, circle, no_text, nonsense], ids=lambda make: make.__name__
)
@pytest.mark.parametrize("read", HELPS, ids=lambda read: read.__name__)
async def test_what_is_only_a_help_is_not_waited_for(
    read: Callable[[Path], Any], make: Make, path: Path
) -> None:
    _kept = made(make, path)

    assert await read(path)


def test_nothing_may_be_named_for_no_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)

    assert ambient_region() is None
    assert _sftp("known_hosts_file")(Path(os.devnull), monkeypatch) is not None


def test_profiles_in_a_closed_folder_are_not_for_this_user(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(self: Path, **_: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", closed)

    assert ambient_region() is None


def test_a_named_configuration_may_come_through_a_pipe(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"vault: {}\n")
    os.close(writing)
    try:
        assert read_configuration(Path(f"/dev/fd/{reading}")).text == "vault: {}\n"
    finally:
        os.close(reading)
