"""A folder on an SSH server.

SFTP promises nothing of a file that is being written, so a snapshot goes to a hidden name first
and is renamed when it is whole and on the server's disk.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from anyio import move_on_after
from pydantic import AfterValidator, Field, model_validator

from raft_snapshot_agent.errors import ConfigError, StorageError
from raft_snapshot_agent.fields import require_extra
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.storage.base import Entry, Storage, UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers, fresh_partial, target_of_fresh
from raft_snapshot_agent.storage.names import not_found, require_plain_name
from raft_snapshot_agent.storage.settings import StorageSettings

if TYPE_CHECKING:
    from raft_snapshot_agent.storage.sftp.ssh import Files

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")
_GRACE = 5.0
"""Seconds that a failed upload gets to take back what it sent."""


def _fingerprint(text: str) -> str:
    if not _FINGERPRINT.fullmatch(text):
        raise ValueError("must be a fingerprint as ssh-keygen -l shows it: SHA256: and 43 letters")
    return text


def _host(host: str) -> str:
    if not _HOST.fullmatch(host):
        raise ValueError("must be a bare name or address; user, port and path have their own keys")
    return host


def _path(path: str) -> str:
    if not path or not path.isprintable():
        raise ValueError("must be a folder on the server")
    return path.rstrip("/") + "/"


class SftpSettings(StorageSettings):
    """Snapshots in a folder of an SSH server."""

    type: Literal["sftp"]
    host: Annotated[str, AfterValidator(_host)]
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    username: str
    password: Secret | None = None
    private_key_file: Path | None = None
    """A key in OpenSSH's format or PEM."""
    private_key_passphrase: Secret | None = None
    known_hosts_file: Path | None = None
    """The servers to trust; `~/.ssh/known_hosts` when missing."""
    host_key: Annotated[str, AfterValidator(_fingerprint)] | None = None
    """Instead of `known_hosts_file`: the fingerprint of the server's key."""
    path: Annotated[str, AfterValidator(_path)]
    """A folder that exists; without a slash in front it lies below the login's own."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.password is None and self.private_key_file is None:
            raise ValueError("set password or private_key_file")
        if self.private_key_passphrase is not None and self.private_key_file is None:
            raise ValueError("private_key_passphrase needs private_key_file")
        if self.host_key is not None and self.known_hosts_file is not None:
            raise ValueError("give either host_key or known_hosts_file")
        return self

    @property
    def folder(self) -> str:
        """Where the snapshots lie, the prefix included, with a slash at its end."""
        return self.path + self.prefix

    @property
    def url(self) -> str:
        """The folder as an operator would write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == 22 else f":{self.port}"
        return f"sftp://{self.username}@{host}{port}/{self.folder.lstrip('/')}"

    def open(self) -> Storage:
        return SftpStorage(self)

    def check(self) -> None:
        """Make sure that the library is there, and the files."""
        require_extra("asyncssh", self.type)
        for key in ("private_key_file", "known_hosts_file"):
            path: Path | None = getattr(self, key)
            if path is not None and not os.access(path, os.R_OK):
                why = "cannot be read" if path.exists() else "does not exist"
                raise ConfigError(
                    f"{key} {path} {why}", hint=f"the agent's user has uid {os.geteuid()}"
                )


class SftpStorage:
    """Snapshots as files on an SSH server, mode 0600; hidden until they are whole."""

    kind = "sftp"

    def __init__(self, settings: SftpSettings) -> None:
        self._settings = settings
        self._folder = settings.folder

    def location(self, name: str) -> str:
        return self._settings.url + name

    async def put(self, name: str, source: UploadSource) -> int:
        path, hidden = self._path(name), self._folder + fresh_partial(name)
        begun = False
        try:
            async with self._session(f"store {name}") as files:
                begun = True
                await files.make_folders(self._settings.path, self._settings.prefix)
                size = await files.write(hidden, source)
                await files.replace(hidden, path)
                return size
        except BaseException:
            if begun:
                await self._take_back(hidden)
            raise

    async def entries(self) -> list[Entry]:
        async with self._session("list snapshots") as files:
            listed = await files.listed(self._settings.path, self._settings.prefix)
        return [
            Entry(file.name, file.size) for file in listed if target_of_fresh(file.name) is None
        ]

    async def read(self, name: str) -> AsyncIterator[bytes]:
        async with self._session(f"read {name}") as files:
            file = await files.opened(path := self._path(name))
            if file is None:
                raise not_found(name, self._settings.url)
            async for piece in files.pieces(path, file):
                yield piece

    async def delete(self, name: str) -> None:
        async with self._session(f"delete {name}") as files:
            await files.remove(self._path(name))

    async def sweep(self, leftovers: Leftovers) -> int:
        now = datetime.now(UTC)
        async with self._session("sweep") as files:
            listed = await files.listed(self._settings.path, self._settings.prefix)
            dead = [
                file.name
                for file in listed
                if (name := target_of_fresh(file.name))
                and leftovers.is_abandoned(name, file.touched, now)
            ]
            for hidden in dead:
                await files.remove(self._folder + hidden)
        return len(dead)

    async def _take_back(self, hidden: str) -> None:
        """Remove what was begun, over a new connection: the old one may be what failed."""
        with move_on_after(_GRACE, shield=True), suppress(StorageError):
            async with self._session("remove what was begun") as files:
                await files.remove(hidden)

    def _session(self, doing: str) -> AbstractAsyncContextManager[Files]:
        doing = f"cannot {doing} in {self._settings.url}"
        try:
            require_extra("asyncssh", self.kind)
        except ConfigError as error:
            raise StorageError(f"{doing}: {error.message}") from error
        from raft_snapshot_agent.storage.sftp import ssh

        return ssh.session(doing, self._settings)

    def _path(self, name: str) -> str:
        return self._folder + require_plain_name(name, self._settings.url)
