"""One server of each kind for all tests of a process, and an empty place in it for each test."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncssh
import pytest
import urllib3
from tests.stores.running import LOOPBACK, PASSWORD, SWIFT_USER, USERNAME, running

from raft_snapshot_agent.servers.process import free_ports, release_ports


@dataclass(frozen=True, slots=True)
class Served:
    """A folder of this host that a server offers."""

    root: Path
    port: int
    path: str
    """Of the folder, as the server names it."""

    def made(self) -> Served:
        """Make an empty folder in it."""
        name = secrets.token_hex(6)
        (self.root / name).mkdir()
        return Served(self.root / name, self.port, f"{self.path}/{name}")


@dataclass(frozen=True, slots=True)
class Sshd:
    """An SSH server."""

    port: int
    fingerprint: str
    username: str
    key: Path
    """Logs in without a password."""


@pytest.fixture(scope="session")
def sftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One that takes `PASSWORD`, too."""
    folder = tmp_path_factory.mktemp("sftp")
    host, own = folder / "host", folder / "own"
    for path in (host, own):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(path)
        path.chmod(0o600)
        key.write_public_key(f"{path}.pub")
    arguments = (str(host), f"{own}.pub", USERNAME, PASSWORD)
    with running("serve_sftp.py", folder / "log", *arguments) as line:
        port, fingerprint = line.split()
        yield Sshd(int(port), fingerprint, USERNAME, own)


_SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
# As root it wants a folder that its package's service makes.
HAS_SSHD = _SSHD is not None and (os.geteuid() != 0 or Path("/run/sshd").is_dir())
"""Whether this host has OpenSSH's own server."""


@pytest.fixture(scope="session")
def openssh_server(sftp_server: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """OpenSSH's own, with the keys of the other and for our own user."""
    folder = tmp_path_factory.mktemp("openssh")
    (port,) = free_ports(1)
    options = {
        "Port": port,
        "ListenAddress": LOOPBACK,
        "HostKey": sftp_server.key.with_name("host"),
        "AuthorizedKeysFile": f"{sftp_server.key}.pub",
        "StrictModes": "no",
        "PermitRootLogin": "yes",
        "PidFile": "none",
        "MaxStartups": 100,
        "Subsystem": "sftp internal-sftp",
    }
    config, log = folder / "config", folder / "log"
    config.write_text("".join(f"{key} {value}\n" for key, value in options.items()))
    with subprocess.Popen([str(_SSHD), "-D", "-f", config, "-E", log]) as server:
        try:
            _answers(server, port, log)
            username = pwd.getpwuid(os.geteuid()).pw_name
            yield Sshd(port, sftp_server.fingerprint, username, sftp_server.key)
        finally:
            server.terminate()
            release_ports([port])


def _answers(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"sshd does not answer: {log.read_text() if log.exists() else ''}")


@dataclass(frozen=True, slots=True)
class Account:
    """An account at a Swift of our own."""

    auth_url: str
    storage_url: str
    token: str

    def ask(self, method: str, path: str, body: bytes | None = None, query: str = "") -> bytes:
        """Do something there, behind the storage's back."""
        url = f"{self.storage_url}/{quote(path)}{query}"
        headers = {"x-auth-token": self.token}
        answer = urllib3.request(method, url, headers=headers, body=body)
        assert answer.status < 300, (method, url, answer.status, answer.data)
        return answer.data


@pytest.fixture(scope="session")
def swift_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("swift")
    with running("serve_swift.py", folder / "log", str(folder), SWIFT_USER, PASSWORD) as port:
        url = f"http://{LOOPBACK}:{port}/auth/v1.0"
        headers = {"x-auth-user": SWIFT_USER, "x-auth-key": PASSWORD.encode().decode("latin-1")}
        answer = urllib3.request("GET", url, headers=headers)
        assert answer.status == 200, answer.data
        yield Account(url, answer.headers["x-storage-url"], answer.headers["x-auth-token"])


@pytest.fixture
def container(swift_server: Account) -> str:
    """The name of an empty container at `swift_server`."""
    name = f"test-{secrets.token_hex(6)}"
    swift_server.ask("PUT", name)
    return name


@pytest.fixture(scope="session")
def webdav_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("webdav")
    root = folder / "root"
    root.mkdir()
    with running("serve_webdav.py", folder / "log", str(root), USERNAME, PASSWORD) as port:
        yield Served(root, int(port), "/dav")


@pytest.fixture
def webdav(webdav_server: Served) -> Served:
    return webdav_server.made()
