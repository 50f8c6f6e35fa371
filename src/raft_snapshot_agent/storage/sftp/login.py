"""Connects to an SSH server, checks its host key, and logs in."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import asyncssh
from anyio import fail_after

from raft_snapshot_agent.errors import ConfigError, StorageError, reason_of
from raft_snapshot_agent.network.dial import dial
from raft_snapshot_agent.small_file import LARGEST_BUNDLE, read_file, read_text
from raft_snapshot_agent.storage.sftp.options import SftpOptions
from raft_snapshot_agent.threads import in_thread

_KEEP_ALIVE = 15
"""Seconds between two packets to a server that sends nothing."""


class HostKeyGuard(asyncssh.SSHClient):
    """Checks the host key of a server that is not in `known_hosts`."""

    def __init__(self, expected: str | None) -> None:
        """Prepare for one connection.

        Arguments:
            expected: Fingerprint to accept; by default none.
        """
        self._expected = expected
        self._offered = ""
        self._kind = ""

    def validate_host_public_key(
        self,
        _host: str,
        _addr: str,
        _port: int,
        key: asyncssh.SSHKey,
    ) -> bool:
        self._offered, self._kind = key.get_fingerprint(), key.get_algorithm()
        return self._offered == self._expected

    def refusal(self, doing: str) -> StorageError:
        """Return an error with the key and how to accept it."""
        shown = f"{self._kind} {self._offered}" if self._offered else "a certificate"
        why = "is not the one in host_key" if self._expected else "is not in the known hosts"
        accept = f"set host_key: {self._offered}" if self._offered else "set known_hosts_file"
        return StorageError(
            f"{doing}: the server's host key, {shown}, {why}",
            hint=f"if that is the fingerprint ssh-keygen -lf shows on the server, {accept}",
        )


async def log_in(settings: SftpOptions, guard: HostKeyGuard) -> asyncssh.SSHClientConnection:
    """Connect to the server and log in.

    Raises:
        ConfigError: A file with a key or with known hosts cannot be used.
        asyncssh.Error: The server refuses.
        OSError: There is no connection.
    """
    key = await in_thread(partial(read_key, settings))
    known = await in_thread(partial(read_known_hosts, settings))
    password = None if settings.password is None else settings.password.resolve()
    seconds = settings.timeout.total_seconds()
    work = partial(dial, settings.host, settings.port, seconds)
    with fail_after(seconds):
        connected = await in_thread(work, abandon=True)
        connected.setblocking(False)
        return await asyncssh.connect(
            settings.host,
            settings.port,
            sock=connected,
            config=None,
            username=settings.username,
            password=password,
            client_keys=None if key is None else [key],
            agent_path=None,
            known_hosts=known,
            client_factory=lambda: guard,
            login_timeout=seconds,
            keepalive_interval=_KEEP_ALIVE,
        )


def read_key(settings: SftpOptions) -> asyncssh.SSHKey | None:
    """Read the private key.

    Raises:
        ConfigError: It cannot be used.
    """
    path, secret = settings.private_key_file, settings.private_key_passphrase
    if path is None:
        return None
    try:
        passphrase = None if secret is None else secret.resolve()
        return asyncssh.import_private_key(read_file(path), passphrase)
    except (OSError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        why = reason_of(error)
        raise ConfigError(
            f"cannot use the private key in {path}: {why}",
            hint="check private_key_file and private_key_passphrase",
        ) from error


def read_known_hosts(settings: SftpOptions) -> asyncssh.SSHKnownHosts:
    """Read the known hosts.

    Raises:
        ConfigError: They cannot be used.
    """
    path = settings.known_hosts_file
    if path is None:
        default = Path("~/.ssh/known_hosts").expanduser()
        usable = settings.host_key is None and default.exists()
        path = default if usable else None
    try:
        return asyncssh.import_known_hosts("" if path is None else read_text(path, LARGEST_BUNDLE))
    except (OSError, ValueError) as error:  # the library's text quotes the invalid line
        why = reason_of(error) if isinstance(error, OSError) else "it is no list of known hosts"
        raise ConfigError(
            f"cannot use the known hosts in {path}: {why}",
            hint="check known_hosts_file, or set host_key",
        ) from None
