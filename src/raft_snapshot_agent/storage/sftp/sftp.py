"""A folder on an SSH server.

SFTP guarantees nothing about a file that is being written, so a snapshot first gets a hidden name,
and is renamed when it is complete and on the server's disk.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import move_on_after

from raft_snapshot_agent.errors import ConfigError, StorageError, reason_of
from raft_snapshot_agent.fields import require_extra
from raft_snapshot_agent.small_file import LARGEST_BUNDLE, require_small_file
from raft_snapshot_agent.storage.base import Entry, Storage, UploadSource
from raft_snapshot_agent.storage.leftovers import Leftovers, fresh_partial, target_of_fresh
from raft_snapshot_agent.storage.names import not_found, require_plain_name
from raft_snapshot_agent.storage.sftp.options import SftpOptions

if TYPE_CHECKING:
    from raft_snapshot_agent.storage.sftp.ssh import Files

_GRACE = 5.0
"""Seconds for a failed upload to remove what it sent."""


class SftpSettings(SftpOptions):
    """Snapshots in a folder of an SSH server."""

    def open(self) -> Storage:
        return SftpStorage(self)

    def check(self) -> None:
        """Check that the library is installed, and that it can read key and known hosts."""
        _require_library()
        for key in ("private_key_file", "known_hosts_file"):
            path: Path | None = getattr(self, key)
            try:
                if path is not None:
                    require_small_file(path, LARGEST_BUNDLE)
            except OSError as error:
                raise ConfigError(
                    f"{key} {path} cannot be used: {reason_of(error)}",
                    hint=f"the agent's user has uid {os.geteuid()}",
                ) from error
        from raft_snapshot_agent.storage.sftp.login import read_key, read_known_hosts

        read_key(self)
        read_known_hosts(self)


def _require_library() -> None:
    require_extra("sftp", "type sftp", "asyncssh")


class SftpStorage:
    """Snapshots as files on an SSH server, mode 0600; hidden until they are complete."""

    kind = "sftp"

    def __init__(self, settings: SftpOptions) -> None:
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
            file = await files.open_file(path := self._path(name))
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
        """Remove the incomplete file over a new connection, because the old one may be broken."""
        with move_on_after(_GRACE, shield=True), suppress(StorageError):
            async with self._session("remove an incomplete upload") as files:
                await files.remove(hidden)

    def _session(self, doing: str) -> AbstractAsyncContextManager[Files]:
        doing = f"cannot {doing} in {self._settings.url}"
        try:
            _require_library()
        except ConfigError as error:
            raise StorageError(f"{doing}: {error.message}", hint=error.hint) from error
        from raft_snapshot_agent.storage.sftp import ssh

        return ssh.session(doing, self._settings)

    def _path(self, name: str) -> str:
        return self._folder + require_plain_name(name, self._settings.url)
