"""Standard error that never fails, and stops those who write for no longer than a moment.

Backups go on where their log cannot be written: on a full disk, into a pipe that nobody reads, to
a terminal that is gone. A thread writes, as a write that blocks can be neither foreseen nor
interrupted, and O_NONBLOCK would change the file for the other processes that have it. Whoever
writes waits for that thread, so that lines keep their order, also with those of standard output,
and none is left when the process ends; once a wait was in vain, nobody waits until all is written.
"""

from __future__ import annotations

import io
import os
import select
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from typing import TextIO

_MOMENT = 0.25
"""Maximum seconds that a line is waited for."""
_AT_END = 2.0
"""Maximum seconds to write what is left when the process ends."""
_ROOM = 256 * 1024
"""Maximum bytes that wait to be written; beyond that, the oldest are dropped."""
_UNREAD = "they are not read fast enough"

Render = Callable[[str], str]
"""Returns the line for a message."""


class StandardError(io.TextIOWrapper):
    """Takes the place of `sys.stderr`."""

    def __init__(self, stream: TextIO) -> None:
        """Write to the file of a text stream, with its encoding."""
        self._writer = _Writer(stream.fileno())
        super().__init__(self._writer, stream.encoding, stream.errors, line_buffering=True)

    def report_losses(self, render: Render) -> None:
        """Set the form of the line that stands for missing ones."""
        self._writer.render = render

    def finish(self) -> None:
        """Wait until everything is written, or a short time."""
        self.flush()
        self._writer.wait(_AT_END)


class _Writer(io.RawIOBase):
    """A file that takes everything, and drops what cannot be written."""

    name = "<stderr>"

    def __init__(self, file: int) -> None:
        self.render: Render = "warning: {}".format
        self._file = file
        self._changed = Condition()
        self._thread: Thread | None = None
        self._waiting: deque[bytes] = deque()
        self._held = 0
        """Bytes that wait."""
        self._is_writing = False
        self._is_late = False
        """Whether somebody waited in vain, and not everything was written since."""
        self._is_cut = False
        """Whether the end of a line is missing."""
        self._lost = 0
        """Lines that are missing and were not reported yet."""
        self._why = ""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._file

    def isatty(self) -> bool:
        return os.isatty(self._file)

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # a text stream's own bytes
        with self._changed:
            self._add(data)
            if not self._start():
                while self._waiting:  # here, as no thread can: better than not at all
                    self._write_out(self._take())
            elif not self._is_late:
                self._is_late = not self.wait(_MOMENT)
        return len(data)

    def wait(self, seconds: float) -> bool:
        """Wait until everything is written; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._is_writing), seconds)

    def _add(self, data: bytes) -> None:
        self._waiting.append(data)
        self._held += len(data)
        while self._held > _ROOM and len(self._waiting) > 1:
            self._lose(self._take(), _UNREAD)
        self._changed.notify_all()

    def _take(self) -> bytes:
        data = self._waiting.popleft()
        self._held -= len(data)
        return data

    def _lose(self, data: bytes, why: str) -> None:
        with self._changed:
            self._lost += data.count(b"\n")
            self._why = why

    def _start(self) -> bool:
        """Start the thread if there is none, as after a fork; return whether there is one."""
        if self._thread is None or not self._thread.is_alive():
            thread = Thread(target=self._run, name="standard error", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the limit of threads
                return False
            self._thread = thread
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                data, self._is_writing = self._take(), True
            self._write_out(data)
            with self._changed:
                self._is_writing = False
                self._is_late = self._is_late and bool(self._waiting)
                self._changed.notify_all()

    def _write_out(self, data: bytes) -> None:
        """Write a piece, and before it how much is missing there; drop it if that fails."""
        try:
            if count := self._lost:
                line = self.render(f"lines missing here: {count} (cannot write: {self._why})")
                start = "\n" if self._is_cut else ""
                self._write_whole(f"{start}{line}\n".encode(errors="backslashreplace"))
                with self._changed:
                    self._lost -= count
            self._write_whole(data)
        except OSError as error:
            self._lose(data, error.strerror or str(error))

    def _write_whole(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._file, left) :]
            except BlockingIOError:  # another process has set O_NONBLOCK for all
                select.select((), (self._file,), ())
            except OSError:
                self._is_cut = self._is_cut or len(left) < len(data)
                raise
        self._is_cut = False
