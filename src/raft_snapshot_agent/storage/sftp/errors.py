"""Converts errors of SSH servers and connections to one-line errors."""

from __future__ import annotations

import asyncssh

from raft_snapshot_agent.errors import (
    LoginRefused,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
    reason_of,
)
from raft_snapshot_agent.redaction import one_line
from raft_snapshot_agent.storage.sftp.options import SftpOptions

LATER = "it may be temporary; check the server"
_LONGEST = 200
"""Most characters of a server's text in a message."""
_FULL = ("no space", "quota", "disk full")


def describe_failure(doing: str, settings: SftpOptions, error: Exception) -> StorageError:
    """Return the error for an exception of the library, with the server's text."""
    told = one_line(getattr(error, "reason", None) or reason_of(error), _LONGEST)
    folder = settings.folder
    match error:
        case _ if _is_about_login(error, told):
            hint = "check username, password and private_key_file"
            return LoginRefused(f"{doing}: the login was refused ({told})", hint=hint)
        case asyncssh.SFTPPermissionDenied() | asyncssh.SFTPWriteProtect():
            hint = f"{settings.username} needs to read and write in {folder}"
            return StorageDenied(f"{doing}: permission denied ({told})", hint=hint)
        case asyncssh.SFTPNoSuchFile() | asyncssh.SFTPNoSuchPath():
            hint = "create it, or check path"
            return StorageError(f"{doing}: the folder does not exist ({told})", hint=hint)
        case asyncssh.SFTPConnectionLost() | asyncssh.SFTPNoConnection():
            return StorageUnavailable(f"{doing}: the connection broke ({told})", hint=LATER)
        case asyncssh.SFTPError():
            return _failed(doing, told)
        case asyncssh.ChannelOpenError() | asyncssh.KeyExchangeFailed():
            hint = "likely the server offers no SFTP, or no way to encrypt in common"
            return StorageError(f"{doing}: {told}", hint=hint)
        case TimeoutError():
            hint = "check host, port and network; on a slow link raise timeout"
            return StorageUnavailable(f"{doing}: no answer in time", hint=hint)
        case asyncssh.DisconnectError():
            return StorageUnavailable(f"{doing}: the connection ended: {told}", hint=LATER)
        case OSError():
            hint = "check host, port and network"
            return StorageUnavailable(f"{doing}: no connection: {told}", hint=hint)
        case _:
            return StorageError(f"{doing}: {told}", hint="check the settings of this storage")


def _is_about_login(error: Exception, told: str) -> bool:
    if isinstance(error, asyncssh.PermissionDenied | asyncssh.IllegalUserName):
        return True
    # OpenSSH reports too many keys as a protocol error.
    return isinstance(error, asyncssh.DisconnectError) and "authentication" in told.lower()


def _failed(doing: str, told: str) -> StorageError:
    if any(mark in told.lower() for mark in _FULL):
        return StorageFull(f"{doing}: {told}", hint="make room there, or keep fewer snapshots")
    return StorageError(f"{doing}: {told}", hint="likely its disk or the rights there: see its log")
