"""Connections to SSH servers and the file operations of SFTP, each with a time limit."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import asyncssh
from anyio import fail_after, move_on_after

from raft_snapshot_agent.errors import (
    ConfigError,
    LoginRefused,
    StorageError,
    StorageUnavailable,
)
from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.storage.leftovers import fresh_partial
from raft_snapshot_agent.storage.limits import endless, too_many
from raft_snapshot_agent.storage.names import folder_in_the_way
from raft_snapshot_agent.storage.sftp.blocks import WINDOW, read_window, write_window
from raft_snapshot_agent.storage.sftp.errors import LATER, describe_failure
from raft_snapshot_agent.storage.sftp.host_key import HostKeyGuard
from raft_snapshot_agent.storage.sftp.login import log_in
from raft_snapshot_agent.storage.sftp.options import SftpOptions
from raft_snapshot_agent.threads import in_thread

T = TypeVar("T")

_FLUSH_EVERY = 256 << 20
"""Bytes between two flush requests, each of which must end within the time-out."""
_CLOSE_WITHIN = 1.0
_PLAIN = {asyncssh.FILEXFER_TYPE_REGULAR, asyncssh.FILEXFER_TYPE_UNKNOWN}
"""File types: not every server reports one."""

# By default the library logs every connection, login and file.
logging.getLogger("asyncssh").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A plain file as the server lists it."""

    name: str
    size: int
    touched: datetime | None


class Files:
    """The files of one SFTP session."""

    def __init__(self, client: asyncssh.SFTPClient, timeout: float, most: int) -> None:
        self._client = client
        self._most = most
        self._timeout = timeout

    async def listed(self, path: str, prefix: str) -> list[RemoteFile]:
        """List the plain files in a folder; a missing prefix has none."""
        files: list[RemoteFile] = []
        try:
            with fail_after(self._timeout):
                async with aclosing(_scan(self._client, path + prefix)) as names:
                    async for file in names:
                        if len(files) >= self._most:
                            raise too_many(f"cannot list {path}{prefix}", self._most)
                        files.append(file)
                    return files
        except TimeoutError:
            if files:  # a retry would take as long
                raise endless(f"cannot list {path}{prefix}", self._timeout) from None
            raise
        except asyncssh.SFTPNoSuchFile:
            if not prefix:
                raise
            await self._bounded(self._client.stat(path))
            return []

    async def make_folders(self, path: str, prefix: str) -> None:
        """Create the missing folders of `prefix` below `path`, mode 0700."""
        if await self._bounded(self._client.isdir(path + prefix)):
            return
        for part in prefix.split("/")[:-1]:
            path += f"{part}/"
            # An old server gives no reason; the error of the write will have it.
            with suppress(asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
                attributes = asyncssh.SFTPAttrs(permissions=0o700)
                await self._bounded(self._client.mkdir(path, attributes))

    async def write(self, path: str, source: UploadSource) -> int:
        """Write a new file, mode 0600, while the source grows, and flush it to disk."""
        attributes = asyncssh.SFTPAttrs(permissions=0o600)
        file: Any = await self._bounded(self._client.open(path, "xb", attributes, block_size=0))
        position = flushed = 0
        while piece := await in_thread(partial(source.read, position, WINDOW), abandon=True):
            await self._bounded(write_window(file, piece, position))
            position += len(piece)
            if position - flushed >= _FLUSH_EVERY:
                await self._flush(file)
                flushed = position
        await self._flush(file)
        stored = (await self._bounded(file.stat())).size
        await self._bounded(file.close())
        if stored != position:
            raise StorageError(f"the server holds {stored} of {position} bytes sent to {path}")
        return position

    async def replace(self, hidden: str, path: str) -> None:
        """Rename a file, replacing an existing one."""
        try:
            await self._bounded(self._client.posix_rename(hidden, path))
        except (asyncssh.SFTPOpUnsupported, asyncssh.SFTPFailure):
            await self._put_in_place_of(hidden, path)

    async def _put_in_place_of(self, hidden: str, path: str) -> None:
        """Rename the existing file aside first, because plain SFTP never replaces a file.

        For a moment no file has the name. The old file is renamed back if the second rename fails.

        Raises:
            StorageError: A folder has the name; it stays.
        """
        if await self._bounded(self._client.isdir(path)):
            raise folder_in_the_way(f"cannot store {path}")
        folder, slash, name = path.rpartition("/")
        aside = f"{folder}{slash}{fresh_partial(name)}"
        try:
            await self._bounded(self._client.rename(path, aside))
        except asyncssh.SFTPNoSuchFile:
            await self._bounded(self._client.rename(hidden, path))
            return
        try:
            await self._bounded(self._client.rename(hidden, path))
        except BaseException:
            with move_on_after(self._timeout, shield=True), suppress(asyncssh.Error):
                await self._client.rename(aside, path)
            raise
        with suppress(asyncssh.Error):  # a sweep removes it later
            await self.remove(aside)

    async def open_file(self, path: str) -> Any:
        """Open a file for reading; return `None` if it is missing."""
        try:
            return await self._bounded(self._client.open(path, "rb", block_size=0))
        except asyncssh.SFTPNoSuchFile:
            return None

    async def pieces(self, path: str, file: Any) -> AsyncIterator[bytes]:
        """Read an open file to its end."""
        size = (await self._bounded(self._client.stat(path))).size or 0
        position, least = 0, 1
        # Read one byte beyond the end: the file may be longer than reported.
        while piece := await self._bounded(
            read_window(file, position, min(WINDOW, max(size - position, least)))
        ):
            position += len(piece)
            least = WINDOW if position > size else 1
            yield piece
        if position < size:
            raise StorageUnavailable(f"{path} ended after {position} of {size} bytes", hint=LATER)

    async def remove(self, path: str) -> None:
        """Delete a file; a missing one is not an error."""
        with suppress(asyncssh.SFTPNoSuchFile):
            await self._bounded(self._client.remove(path))

    async def _flush(self, file: Any) -> None:
        with suppress(asyncssh.SFTPOpUnsupported):
            await self._bounded(file.fsync())

    async def _bounded(self, step: Awaitable[T]) -> T:
        with fail_after(self._timeout):
            return await step


@asynccontextmanager
async def session(doing: str, settings: SftpOptions) -> AsyncIterator[Files]:
    """Log in, and log out at the end; map errors to one-line errors.

    Arguments:
        doing: Start of the error message, such as `cannot list snapshots in sftp://…`.
        settings: Settings of the server.
    """
    guard = HostKeyGuard(settings.host_key)
    try:
        connection = await log_in(settings, guard)
        try:
            timeout = settings.timeout.total_seconds()
            with fail_after(timeout):
                client = await connection.start_sftp_client(path_errors="surrogateescape")
            yield Files(client, timeout, settings.max_objects)
        finally:
            connection.close()
            with move_on_after(_CLOSE_WITHIN, shield=True):
                await connection.wait_closed()
            connection.abort()
    except asyncssh.HostKeyNotVerifiable:
        raise guard.refusal(doing) from None
    except ConfigError as error:
        raise LoginRefused(f"{doing}: {error.message}", hint=error.hint) from error
    except (asyncssh.Error, OSError, ValueError) as error:
        raise describe_failure(doing, settings, error) from error


async def _scan(client: asyncssh.SFTPClient, folder: str) -> AsyncGenerator[RemoteFile]:
    async for entry in client.scandir(folder):
        attributes = entry.attrs
        if attributes.type in _PLAIN:
            yield RemoteFile(str(entry.filename), attributes.size or 0, _moment(attributes.mtime))


def _moment(seconds: float | None) -> datetime | None:
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):  # one invalid time must not end the listing
        return None
