"""Any key of a server is accepted by its fingerprint, and a server is asked no more than needed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.sftp import host_key
from raft_snapshot_agent.storage.sftp.sftp import SftpSettings
from raft_snapshot_agent.storage.sftp.ssh import session

KINDS = ("ssh-rsa", "ecdsa-sha2-nistp256", "ssh-ed25519")
KEYS = {kind: asyncssh.generate_private_key(kind) for kind in KINDS}
FOREIGN = "SHA256:" + "A" * 43


@dataclass(slots=True)
class Server:
    """An SSH server with keys of three types, as sshd has them, and no files."""

    port: int = 0
    connections: int = 0
    most: int = 9
    """Connections that it takes; it drops any other."""


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_key, "_types", {})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    there = Server()

    class Asked(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            there.connections += 1
            if there.connections > there.most:
                conn.abort()

        def begin_auth(self, username: str) -> bool:
            return False

    async with asyncssh.listen(
        "127.0.0.1", 0, server_factory=Asked, server_host_keys=[*KEYS.values()], sftp_factory=True
    ) as listening:
        there.port = listening.get_port()
        yield there


async def log_in(server: Server, fingerprint: str | None, known: Path | None = None) -> None:
    given = {
        "type": "sftp",
        "host": "127.0.0.1",
        "port": server.port,
        "username": "agent",
        "password": "secret",
        "host_key": fingerprint,
        "known_hosts_file": known,
        "path": "/",
    }
    async with session("cannot log in", SftpSettings.model_validate(given)):
        pass


@pytest.mark.parametrize("kind", KINDS)
async def test_any_key_of_the_server_may_be_configured(server: Server, kind: str) -> None:
    fingerprint = KEYS[kind].get_fingerprint()
    await log_in(server, fingerprint)
    assert server.connections <= len(KINDS)

    before = server.connections
    await log_in(server, fingerprint)
    assert server.connections == before + 1


@pytest.mark.parametrize("known", [False, True])
async def test_of_an_unknown_server_the_ed25519_key_is_shown(
    server: Server, tmp_path: Path, known: bool
) -> None:
    (tmp_path / "known").touch()
    expected = (None, tmp_path / "known") if known else (FOREIGN, None)
    with pytest.raises(StorageError) as raised:
        await log_in(server, *expected)
    shown = KEYS["ssh-ed25519"].get_fingerprint()
    assert f"the server's host key, ssh-ed25519 {shown}, is not" in raised.value.message
    assert server.connections == (1 if known else len(KINDS) + 1)


async def test_a_server_that_drops_further_connections_is_not_called_unreachable(
    server: Server,
) -> None:
    server.most = 1
    with pytest.raises(StorageError) as raised:
        await log_in(server, FOREIGN)
    assert "the server's host key, ssh-ed25519" in raised.value.message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pattern", ["[127.0.0.1]:{port}", "127.0.0.1"])
async def test_of_a_known_server_the_known_key_is_asked_for(
    server: Server, tmp_path: Path, kind: str, pattern: str
) -> None:
    public = KEYS[kind].export_public_key().decode()
    known = tmp_path / "known"
    known.write_text(f"{pattern.format(port=server.port)} {public}")
    await log_in(server, None, known)
    assert server.connections == 1
