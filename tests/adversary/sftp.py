"""An SSH server with a folder in memory, which answers as it is told to; and how it lies.

Source: draft-ietf-secsh-filexfer-02, the version of the protocol that servers speak.
"""

from __future__ import annotations

import asyncio
import itertools
import struct
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import asyncssh
from tests.adversary.store_lies import FAILED, STORED, Lie
from tests.adversary.tricks import INTERVAL, SHOUT

USERNAME, PASSWORD = "agent", "the-password-of-the-liar"
EITHER = (STORED, FAILED)
ROOT = "/backups/"
_INIT, _OPEN, _CLOSE, _READ, _WRITE, _LSTAT, _FSTAT = 1, 3, 4, 5, 6, 7, 8
_OPENDIR, _READDIR, _REMOVE, _MKDIR, _STAT, _RENAME, _EXTENDED = 11, 12, 13, 14, 17, 18, 200
_VERSION, _STATUS, _HANDLE, _DATA, _NAME, _ATTRS = 2, 101, 102, 103, 104, 105
_OK, _EOF, _NO_SUCH_FILE, _FAILURE, _UNSUPPORTED = 0, 1, 2, 4, 8
_FILE, _FOLDER = 0o100600, 0o040700


def text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def attributes(size: int, mode: int = _FILE, mtime: int = 1_790_000_000) -> bytes:
    return struct.pack(">IQIII", 0x1 | 0x4 | 0x8, size, mode, mtime, mtime)


def names(rows: list[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(text(name) + text(name) + described for name, described in rows)
    return struct.pack(">I", len(rows)) + body


@dataclass(slots=True)
class Ask:
    """One request, and the means to answer it."""

    store: SftpStore
    session: Session
    kind: int
    id: bytes
    rest: bytes
    listed: set[bytes]
    """Handles of folders that were read to their end."""

    def take(self) -> bytes:
        (length,) = struct.unpack(">I", self.rest[:4])
        value, self.rest = self.rest[4 : 4 + length], self.rest[4 + length :]
        return value

    def number(self, form: str) -> int:
        size = struct.calcsize(form)
        (value,), self.rest = struct.unpack(form, self.rest[:size]), self.rest[size:]
        return int(value)

    def reply(self, kind: int, body: bytes) -> None:
        self.raw(text(bytes([kind]) + self.id + body))

    def raw(self, data: bytes) -> None:
        self.session.channel.write(data)

    def status(self, code: int, why: bytes = b"") -> None:
        self.reply(_STATUS, struct.pack(">I", code) + text(why) + text(b""))


Behave = Callable[[Ask], Awaitable[None] | None]


class SftpStore:
    """Keeps files in memory; the first rule for a kind of request answers in its place."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rules: list[tuple[int, Behave]] = []
        self._files: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(60)

    @property
    def files(self) -> dict[str, bytes]:
        """What lies in the folder and is not hidden."""
        with self._lock:
            return {k: v for k, v in self._files.items() if not k.startswith(".")}

    def plant(self, files: dict[str, bytes]) -> None:
        with self._lock:
            self._files |= files

    def settings(self) -> dict[str, object]:
        return {
            "type": "sftp",
            "name": self.name,
            "host": "127.0.0.1",
            "port": self._server.get_port(),
            "username": USERNAME,
            "password": PASSWORD,
            "host_key": self._key.get_fingerprint(),
            "path": ROOT,
            "timeout": "2s",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1", 0, server_factory=lambda: _Login(self), server_host_keys=[self._key]
        )

    async def _stop(self) -> None:
        self._server.close()
        others = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        for one in others:
            one.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def answer(self, ask: Ask) -> Awaitable[None] | None:
        behave = next((then for kind, then in self.rules if kind == ask.kind), honest)
        return behave(ask)

    def change(self, path: bytes, content: bytes | None, position: int = 0) -> bool:
        """Write some of a file, or remove it where there is no content; say whether it was there."""
        name = path.decode(errors="replace").removeprefix(ROOT)
        with self._lock:
            there = name in self._files
            if content is None:
                self._files.pop(name, None)
            else:
                held = self._files.get(name, b"")
                self._files[name] = held[:position] + content + held[position + len(content) :]
            return there

    def move(self, old: bytes, new: bytes) -> None:
        names = [one.decode().removeprefix(ROOT) for one in (old, new)]
        with self._lock:
            self._files[names[1]] = self._files.pop(names[0], b"")

    def held(self, path: bytes) -> bytes | None:
        with self._lock:
            return self._files.get(path.decode(errors="replace").removeprefix(ROOT))


class _Login(asyncssh.SSHServer):
    def __init__(self, store: SftpStore) -> None:
        self._store = store
        self._connection: Any = None

    def connection_made(self, conn: Any) -> None:
        self._connection = conn

    def begin_auth(self, _username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USERNAME, PASSWORD)

    def session_requested(self) -> Any:
        channel = self._connection.create_server_channel(encoding=None)
        return channel, Session(self._store)


class Session(asyncssh.SSHServerSession[bytes]):
    """One client's, packet by packet."""

    def __init__(self, store: SftpStore) -> None:
        self._store = store
        self._buffer = b""
        self._tasks: set[asyncio.Future[None]] = set()
        self._writable = asyncio.Event()
        self._writable.set()
        self.listed: set[bytes] = set()
        self.channel: Any = None

    def connection_made(self, chan: Any) -> None:
        self.channel = chan

    def subsystem_requested(self, subsystem: str) -> bool:
        return subsystem == "sftp"

    def data_received(self, data: bytes, _datatype: Any) -> None:
        self._buffer += data
        while len(self._buffer) >= 4:
            (length,) = struct.unpack(">I", self._buffer[:4])
            if len(self._buffer) < 4 + length:
                return
            body, self._buffer = self._buffer[4 : 4 + length], self._buffer[4 + length :]
            ask = Ask(self._store, self, body[0], body[1:5], body[5:], self.listed)
            if (waiting := self._store.answer(ask)) is not None:
                self._tasks.add(asyncio.ensure_future(waiting))

    def connection_lost(self, _exc: Exception | None) -> None:
        for task in self._tasks:
            task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def drained(self) -> None:
        await self._writable.wait()


def honest(ask: Ask) -> None:  # noqa: C901, PLR0912 - a table
    """Answer as a server should; a handle is the path itself."""
    if ask.kind == _INIT:
        extensions = text(b"posix-rename@openssh.com") + text(b"1")
        extensions += text(b"fsync@openssh.com") + text(b"1")
        ask.raw(text(bytes([_VERSION]) + struct.pack(">I", 3) + extensions))
        return
    path = ask.take()
    match ask.kind:
        case 3:
            if ask.number(">I") & 0x2:
                ask.store.change(path, b"")
            elif ask.store.held(path) is None:
                ask.status(_NO_SUCH_FILE)
                return
            ask.reply(_HANDLE, text(path))
        case 11:
            ask.listed.discard(path)
            ask.reply(_HANDLE, text(path))
        case 5:
            start, size = ask.number(">Q"), ask.number(">I")
            piece = (ask.store.held(path) or b"")[start : start + size]
            ask.reply(_DATA, text(piece)) if piece else ask.status(_EOF)
        case 6:
            start = ask.number(">Q")
            ask.store.change(path, ask.take(), start)
            ask.status(_OK)
        case 7 | 8 | 17:
            held, folder = ask.store.held(path), path.endswith(b"/") or path == b"."
            if held is None and not folder:
                ask.status(_NO_SUCH_FILE)
            else:
                ask.reply(_ATTRS, attributes(len(held or b""), _FOLDER if folder else _FILE))
        case 12 if path in ask.listed:
            ask.status(_EOF)
        case 12:
            ask.listed.add(path)
            rows = [(k.encode(), attributes(len(v))) for k, v in ask.store.files.items()]
            ask.reply(_NAME, names(rows)) if rows else ask.status(_EOF)
        case 13:
            ask.status(_OK if ask.store.change(path, None) else _NO_SUCH_FILE)
        case 18:
            ask.store.move(path, ask.take())
            ask.status(_OK)
        case 200 if path == b"posix-rename@openssh.com":
            ask.store.move(ask.take(), ask.take())
            ask.status(_OK)
        case 4 | 14 | 200:
            ask.status(_OK)
        case _:
            ask.status(_UNSUPPORTED)


def rule(kind: int, behave: Behave) -> Callable[..., Any]:
    return lambda _store, _elsewhere: [(kind, behave)]


async def silent(_: Ask) -> None:
    await asyncio.sleep(3600)


async def drip(ask: Ask) -> None:
    """Announce an answer and send it a byte at a time."""
    ask.raw(struct.pack(">I", 1 << 17) + bytes([_DATA]) + ask.id)
    while True:
        ask.raw(b"x")
        await asyncio.sleep(INTERVAL)


async def flood(ask: Ask) -> None:
    """Announce an answer of 4 GiB, and send it as fast as it is taken."""
    ask.raw(b"\xff\xff\xff\xff")
    while True:
        ask.raw(bytes(1 << 16))
        await ask.session.drained()
        await asyncio.sleep(0)


def says(kind: int, body: bytes) -> Behave:
    return lambda ask: ask.reply(kind, body)


def complains(ask: Ask) -> None:
    ask.status(_FAILURE, (SHOUT * 900).encode())


def listing(*rows: tuple[bytes, bytes]) -> Behave:
    """List more than there is."""

    def behave(ask: Ask) -> None:
        if ask.listed:
            ask.status(_EOF)
            return
        ask.listed.add(b"")
        held = [(k.encode(), attributes(len(v))) for k, v in ask.store.files.items()]
        ask.reply(_NAME, names([*held, *rows]))

    return behave


def endless(*, moving: bool, full: bool = True) -> Behave:
    numbers = itertools.count()

    def behave(ask: Ask) -> None:
        mark = next(numbers) if moving else 0
        rows = [(f"junk-{mark}-{one}".encode(), attributes(1)) for one in range(200 if full else 0)]
        ask.reply(_NAME, names(rows))

    return behave


def endless_file(ask: Ask) -> None:
    ask.take()
    ask.number(">Q")
    ask.reply(_DATA, text(b" " * ask.number(">I")))


def half_write(ask: Ask) -> None:
    path, start = ask.take(), ask.number(">Q")
    content = ask.take()
    ask.store.change(path, content[: len(content) // 2], start)
    ask.status(_OK)


def too_much(ask: Ask) -> None:
    """Answer a READ with more than was asked for."""
    ask.take()
    ask.number(">Q")
    ask.reply(_DATA, text(bytes(ask.number(">I") + (64 << 10))))


STRANGE = [
    (b"../../etc/passwd", attributes(1)),
    (b"..", attributes(1, _FOLDER)),
    (b"sub/raft-snapshot-20261101T030000Z-i1-00000a.snap", attributes(1)),
    (b"raft-snapshot-99991231T235959Z-i1-00000a.snap", attributes(1)),
    (b"", attributes(1)),
    (b"\xff\xfe\x00\x1b[2J.snap", attributes(1)),
    (b"long" * 5000, attributes(1)),
    (b"raft-snapshot-20261101T030000Z-i1-00000b.snap", attributes((1 << 64) - 1)),
    (b"raft-snapshot-20261101T030000Z-i1-00000c.snap", attributes(1, _FOLDER)),
    (b"raft-snapshot-20261101T030000Z-i1-00000d.snap", struct.pack(">I", 0)),
    (b".raft-snapshot-20261101T030000Z-i1-00000e.snap.partial", attributes(1, mtime=0xFFFFFFFF)),
]

_ALL: dict[str, Lie] = {
    "sftp never answers a WRITE": Lie(rule(_WRITE, silent)),
    "sftp never answers a listing": Lie(rule(_READDIR, silent), EITHER),
    "sftp never begins": Lie(rule(_INIT, silent)),
    "sftp drips a listing": Lie(rule(_READDIR, drip), EITHER),
    "sftp drips a manifest": Lie(rule(_READ, drip), EITHER),
    "sftp floods": Lie(rule(_STAT, flood), EITHER),
    "sftp floods a listing": Lie(rule(_READDIR, flood), EITHER),
    "sftp lists without an end": Lie(rule(_READDIR, endless(moving=True)), EITHER),
    "sftp lists the same page again": Lie(rule(_READDIR, endless(moving=False)), EITHER),
    "sftp lists empty pages": Lie(rule(_READDIR, endless(moving=False, full=False)), EITHER),
    "sftp sends a manifest without an end": Lie(rule(_READ, endless_file), EITHER),
    "sftp reads more than was asked": Lie(rule(_READ, too_much), EITHER),
    "sftp announces more names than it sends": Lie(
        rule(_READDIR, says(_NAME, struct.pack(">I", 0xFFFFFFFF))), EITHER
    ),
    "sftp announces a name longer than all": Lie(
        rule(_READDIR, says(_NAME, struct.pack(">II", 1, 0xFFFFFFF0))), EITHER
    ),
    "sftp answers with an odd kind": Lie(rule(_READDIR, says(77, b"")), EITHER),
    "sftp answers with another kind": Lie(rule(_WRITE, says(_HANDLE, text(b"x")))),
    "sftp answers an OPEN with nothing": Lie(rule(_OPEN, says(_HANDLE, b"")), EITHER),
    "sftp begins with another version": Lie(
        rule(_INIT, lambda ask: ask.raw(text(bytes([_VERSION]) + b"\xff\xff\xff\xff")))
    ),
    "sftp complains in control characters": Lie(rule(_WRITE, complains)),
    "sftp lists strange names": Lie(rule(_READDIR, listing(*STRANGE)), (STORED,)),
    "sftp gives a size beyond all": Lie(
        rule(_FSTAT, says(_ATTRS, attributes((1 << 64) - 1))), EITHER
    ),
    "sftp gives no size": Lie(rule(_FSTAT, says(_ATTRS, struct.pack(">I", 0)))),
    "sftp keeps half": Lie(rule(_WRITE, half_write)),
    "sftp keeps nothing": Lie(rule(_WRITE, lambda ask: ask.status(_OK))),
    "sftp pretends to rename": Lie(rule(_EXTENDED, lambda ask: ask.status(_OK)), EITHER),
    "sftp pretends to delete": Lie(rule(_REMOVE, lambda ask: ask.status(_OK)), (STORED,)),
    "sftp denies to delete": Lie(rule(_REMOVE, lambda ask: ask.status(3)), (STORED,)),
}
# Each connection costs a tenth of a second of processor time, and a run makes a dozen: what costs
# no time is told to the storage itself by `make test`, in tests/unit/storage/sftp.
LIES = {name: replace(lie, heavy=True) for name, lie in _ALL.items()}
SLOW = frozenset(
    {
        "sftp never answers a WRITE",
        "sftp never answers a listing",
        "sftp never begins",
        "sftp drips a listing",
        "sftp lists without an end",
        "sftp lists the same page again",
        "sftp lists empty pages",
        "sftp sends a manifest without an end",
    }
)
"""Those that end with a time-out alone, or with the end of who reads."""
