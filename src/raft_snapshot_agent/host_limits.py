"""Recognises failures whose cause is a limit of this host or process, and says what to change."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

FILE_SIZE_HINT = (
    "raise the limit of file sizes (LimitFSIZE= of the service, or ulimit -f), or use another file"
    " system"
)


class Limit(NamedTuple):
    """A limit, and what to try where it is met."""

    message: str
    hint: str


OPEN_FILES = Limit(
    "too many files are open",
    "raise the limit of open files: LimitNOFILE= of the service, or ulimit -n",
)
_ALL_OPEN_FILES = Limit("too many files are open on this host", "raise fs.file-max")
_RAISE_PROCESSES = (
    "raise the limit of processes: TasksMax= of the service, or that of the container"
)
_THREADS = Limit("no further thread can be started", _RAISE_PROCESSES)
_PROGRAMS = Limit("no further program can be started", _RAISE_PROCESSES)
_MEMORY = Limit(
    "no memory is left",
    "raise the limit of memory: MemoryMax= of the service, or that of the container",
)
_PATHS = sys.getfilesystemencoding()
_NUMBERS = {errno.EMFILE: OPEN_FILES, errno.ENFILE: _ALL_OPEN_FILES, errno.ENOMEM: _MEMORY}


class ProgramLimit(OSError):
    """The limit of processes is reached, so a program could not be started."""


@contextmanager
def starting_program() -> Iterator[None]:
    """Tell the limit of processes from other uses of EAGAIN, of which there are none within.

    Raises:
        ProgramLimit: The limit of processes is reached.

    Source: fork(2), EAGAIN.
    """
    try:
        yield
    except BlockingIOError as error:
        raise ProgramLimit(error.errno, _PROGRAMS.message) from error


def find_limit(error: BaseException | None) -> Limit | None:
    """Return the limit that is the cause of an exception; `None` for other causes."""
    for one in causes(error):
        if isinstance(one, ProgramLimit):
            return _PROGRAMS
        if isinstance(one, OSError) and one.errno in _NUMBERS:
            return _NUMBERS[one.errno]
        if isinstance(one, RuntimeError) and "start new thread" in str(one):
            return _THREADS
        if isinstance(one, MemoryError):
            return _MEMORY
        if isinstance(one, UnicodeEncodeError) and one.encoding == _PATHS != "utf-8":
            what = (
                f"{one.object!r} cannot be expressed in {one.encoding}, the encoding of this locale"
            )
            return Limit(what, "set PYTHONUTF8=1, or use a locale with UTF-8")
    return None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those that led to it; each once, even if they form a circle."""
    found: dict[int, BaseException] = {}
    left = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in found:
            continue
        found[id(one)] = one
        yield one
        left.append(one.__cause__ or one.__context__)
        if isinstance(one, BaseExceptionGroup):
            left += one.exceptions
