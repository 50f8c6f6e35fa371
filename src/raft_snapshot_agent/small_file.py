"""The one way to read a file whole: bounded, and never waiting for whoever would fill it.

Credentials, certificates, notes of our own: a path may lead to a pipe that nobody writes to, to a
device without end, or to a snapshot in the place of a key. All that is wrong comes as an `OSError`
whose `strerror` says why and shows nothing of the content.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

LARGEST = 1 << 20
"""Bytes of a credential: the largest are keys and tokens of a few kilobytes."""
LARGEST_BUNDLE = 16 << 20
"""Bytes of certificates: all authorities that systems trust are a quarter of a megabyte."""
_PIECE = 1 << 20
_EMPTY = os.makedev(1, 3)
"""`/dev/null`, which people name for "no such file"."""
_KINDS = (
    (stat.S_ISDIR, errno.EISDIR, "a folder"),
    (stat.S_ISFIFO, errno.EINVAL, "a pipe"),
    (stat.S_ISSOCK, errno.EINVAL, "a socket"),
)


class UnfitFile(OSError):
    """It is there, but is too large, no regular file, or no text where text is wanted."""


def read_file(
    path: Path,
    most: int = LARGEST,
    *,
    follow: bool = True,
    check: Callable[[int], None] | None = None,
) -> bytes:
    """Read a regular file of at most `most` bytes.

    Arguments:
        path: Where it lies.
        most: Bytes that are read; the limits are fixed, for nothing real comes near them.
        follow: Whether it may be a link.
        check: Looks at the descriptor before anything is read, and raises to refuse.

    Raises:
        OSError: It is missing, unreadable, too large, or no regular file.
    """
    descriptor = _open(path, most, follow=follow)
    try:
        if check is not None:
            check(descriptor)
        return _read(path, descriptor, most)
    finally:
        os.close(descriptor)


def read_text(
    path: Path, most: int = LARGEST, *, check: Callable[[int], None] | None = None
) -> str:
    """Read the text of a regular file.

    Raises:
        OSError: As `read_file`, or it is not text in UTF-8.
    """
    content = read_file(path, most, check=check)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        why = f"it is not text in UTF-8 (byte {error.start + 1})"
    raise UnfitFile(errno.EILSEQ, why, str(path))


def require_small_file(path: Path, most: int = LARGEST) -> None:
    """Refuse a file that a library, which knows no limit, is about to read by its name.

    Raises:
        OSError: As `read_file`.
    """
    os.close(_open(path, most, follow=True))


def _open(path: Path, most: int, *, follow: bool) -> int:
    """Open without waiting for a pipe's other end; opening a device may already change it."""
    try:
        found = path.stat() if follow else path.lstat()
    except ValueError as error:
        raise UnfitFile(errno.EINVAL, "no file has such a name", "?") from error
    _require_regular(path, found)
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    descriptor = os.open(path, flags | (0 if follow else os.O_NOFOLLOW))
    try:
        found = os.fstat(descriptor)
        _require_regular(path, found)
        _require_small(path, found.st_size, most)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _require_regular(path: Path, found: os.stat_result) -> None:
    if stat.S_ISREG(found.st_mode) or (stat.S_ISCHR(found.st_mode) and found.st_rdev == _EMPTY):
        return
    number, kind = next(
        ((number, kind) for is_one, number, kind in _KINDS if is_one(found.st_mode)),
        (errno.EINVAL, "a link" if stat.S_ISLNK(found.st_mode) else "a device"),
    )
    raise UnfitFile(number, f"it is {kind}, and a regular file is wanted", str(path))


def _read(path: Path, descriptor: int, most: int) -> bytes:
    pieces, left = [], most + 1
    while left and (piece := os.read(descriptor, min(left, _PIECE))):
        pieces.append(piece)
        left -= len(piece)
    _require_small(path, most + 1 - left, most)
    return b"".join(pieces)


def _require_small(path: Path, size: int, most: int) -> None:
    if size > most:
        limit = f"{most >> 20} MiB" if most >> 20 else f"{most >> 10} KiB"
        why = f"it has more than {limit}, a limit that is fixed"
        raise UnfitFile(errno.EFBIG, why, str(path))
