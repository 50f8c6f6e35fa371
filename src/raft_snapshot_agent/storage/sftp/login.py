"""Connects to an SSH server, checks its host key, and logs in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import asyncssh
from anyio import fail_after

from raft_snapshot_agent.errors import ConfigError, reason_of
from raft_snapshot_agent.network.dial import dial
from raft_snapshot_agent.small_file import LARGEST_BUNDLE, read_file, read_text
from raft_snapshot_agent.storage.sftp.host_key import HostKeyGuard
from raft_snapshot_agent.storage.sftp.options import SftpOptions
from raft_snapshot_agent.threads import in_thread

_KEEP_ALIVE = 15
"""Seconds between two packets to a server that sends nothing."""


async def log_in(settings: SftpOptions, guard: HostKeyGuard) -> asyncssh.SSHClientConnection:
    """Connect to the server and log in.

    A server with keys of several types shows one for each connection, so that a fingerprint may
    take as many.

    Raises:
        ConfigError: A file with a key or with known hosts cannot be used.
        asyncssh.HostKeyNotVerifiable: None of the server's keys is trusted.
        asyncssh.Error: The server refuses.
        OSError: There is no connection.
    """
    key = await in_thread(partial(read_key, settings))
    known = await in_thread(partial(read_known_hosts, settings))
    password = None if settings.password is None else settings.password.resolve()
    seconds = settings.timeout.total_seconds()
    connect = partial(
        asyncssh.connect,
        settings.host,
        settings.port,
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
    work = partial(dial, settings.host, settings.port, seconds)
    with fail_after(seconds):
        while True:
            wanted: Sequence[str] = ()
            try:
                connected = await in_thread(work, abandon=True)
                connected.setblocking(False)
                if not _is_known(known, settings, connected.getpeername()[0]):
                    wanted = guard.algorithms
                return await connect(sock=connected, server_host_key_algs=wanted)
            except asyncssh.HostKeyNotVerifiable:
                if not guard.may_show_another(wanted):
                    raise
            except (asyncssh.Error, OSError):
                if not guard.has_only_refused:
                    raise
                # The server has no key of another type, or takes no more connections to show it.
                raise asyncssh.HostKeyNotVerifiable("no key is trusted") from None


def _is_known(known: asyncssh.SSHKnownHosts, settings: SftpOptions, ip: str) -> bool:
    """Return whether the known hosts have a key of the server, whose type is asked for then."""
    port = None if settings.port == asyncssh.DEFAULT_PORT else settings.port
    return any(known.match(settings.host, ip, port)[:2])


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
