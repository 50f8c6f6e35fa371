"""Read whole files with a size limit, and without ever waiting for the writer of a pipe.

Used for credentials, certificates and the agent's own notes. A path may name a pipe without a
writer, an endless device, or a snapshot instead of a key. Every failure is an `OSError` whose
`strerror` gives the reason and no part of the content.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

LARGEST = 1 << 20
"""Maximum bytes of a credential: keys and tokens have at most a few kilobytes."""
LARGEST_BUNDLE = 16 << 20
"""Maximum bytes of certificates: a system's whole trust store has a quarter of a megabyte."""
_PIECE = 1 << 20
_EMPTY = os.makedev(1, 3)
"""`/dev/null`, which operators give for "no file"."""
_KINDS = (
    (stat.S_ISDIR, errno.EISDIR, "a folder"),
    (stat.S_ISFIFO, errno.EINVAL, "a pipe"),
    (stat.S_ISSOCK, errno.EINVAL, "a socket"),
)


class UnfitFile(OSError):
    """The file exists, but is too large, not regular, or not text where text is needed."""


def is_regular(path: Path) -> bool:
    """Return whether a path is that of a regular file, as far as this user may know."""
    try:
        return path.is_file()
    except OSError:  # such as a name that is too long, or a working directory of another user
        return False


def read_file(
    path: Path,
    most: int = LARGEST,
    *,
    follow: bool = True,
    check: Callable[[int], None] | None = None,
) -> bytes:
    """Read a regular file of at most `most` bytes.

    Arguments:
        path: Its path.
        most: Maximum size in bytes; the limits are fixed, as valid files are far smaller.
        follow: Whether a link is followed.
        check: Called with the descriptor before anything is read; raises to refuse the file.

    Raises:
        OSError: It is missing, unreadable, too large, or not a regular file.
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
    """Check the size of a file that a library will read without a limit.

    Raises:
        OSError: As `read_file`.
    """
    os.close(_open(path, most, follow=True))


def _open(path: Path, most: int, *, follow: bool) -> int:
    """Open without waiting for a pipe's writer, and no device: opening one may have effects."""
    try:
        found = path.stat() if follow else path.lstat()
    except ValueError as error:
        raise UnfitFile(errno.EINVAL, "a path must not contain a NUL character", "?") from error
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
    raise UnfitFile(number, f"expected a regular file, but it is {kind}", str(path))


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
