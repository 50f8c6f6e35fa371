"""What every store over HTTP can lie about, in the words of whichever it is."""

from __future__ import annotations

import itertools
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from tests.adversary.s3 import PREFIX, Rule
from tests.adversary.store_lies import FAILED, STORED, STRANGE, Lie
from tests.adversary.tricks import (
    SHOUT,
    anything,
    bomb,
    continuing,
    declares,
    drip,
    endless,
    endless_head,
    flood,
    redirects,
    resets,
    says,
    silent,
    slow_head,
    slow_reader,
    speaks,
)
from tests.http_proxy import Behaviour, Exchange, HttpProxy, Request

When = Callable[[Request], bool]
Rows = Iterable[tuple[str, object]]
EITHER = (STORED, FAILED)


class MemoryStore:
    """Keeps objects in memory; the first rule whose condition is met answers in its place."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rules: list[Rule] = []
        self._files: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._proxy = HttpProxy("http://127.0.0.1:1", self._choose)
        self.address = self._proxy.address

    @property
    def files(self) -> dict[str, bytes]:
        """What lies under the prefix, without it."""
        with self._lock:
            return dict(self._files)

    def plant(self, files: dict[str, bytes]) -> None:
        with self._lock:
            self._files |= files

    def remove(self, name: str) -> bool:
        with self._lock:
            return self._files.pop(name, None) is not None

    @abstractmethod
    def settings(self) -> dict[str, object]:
        """The storage's, in the agent's configuration."""

    @abstractmethod
    def honest(self, exchange: Exchange) -> None:
        """Answer as a store should."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._proxy.stop()

    def _choose(self, request: Request) -> Behaviour:
        return next((then for when, then in self.rules if when(request)), self.honest)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of store is asked, and how it lists."""

    word: str
    """Before the names of its lies."""
    lists: When
    puts: When
    reads: When
    """Manifests."""
    deletes: When
    listing: Callable[[Rows, str], bytes]
    """Rows of names below the prefix, or of whole ones from `/` on; the mark of the next page."""
    error: bytes
    """What it says of an error of its own."""
    name_of: Callable[[Exchange, bytes], tuple[str, bytes]]
    """Tells name and content of what is stored."""
    stored: Callable[[str, bytes], Behaviour]
    """Answers that it is."""


def simply(when: When, behaviour: Behaviour) -> Callable[..., list[Rule]]:
    return lambda _store, _elsewhere: [(when, behaviour)]


def away(when: When, status: int) -> Callable[..., list[Rule]]:
    return lambda _store, elsewhere: [(when, redirects(status, elsewhere))]


def _pages(dialect: Dialect, *, moving: bool, full: bool) -> Callable[..., list[Rule]]:
    numbers = itertools.count()

    def behave(exchange: Exchange) -> None:
        number = next(numbers)
        rows = [(f"junk-{number}-{one}", 1) for one in range(400)] if full else []
        says(200, dialect.listing(rows, f"mark-{number if moving else 0}"))(exchange)

    return simply(dialect.lists, behave)


def also_listing(dialect: Dialect, *rows: tuple[str, object]) -> Callable[..., list[Rule]]:
    """List more than there is."""

    def rules(store: MemoryStore, _: str) -> list[Rule]:
        def behave(exchange: Exchange) -> None:
            # Some ask for what follows the last name, and stop where nothing does.
            first = not any(exchange.request.query.get("marker", ""))
            held = [(name, len(content)) for name, content in store.files.items()]
            says(200, dialect.listing([*held, *rows] if first else [], ""))(exchange)

        return [(dialect.lists, behave)]

    return rules


def _keeping(dialect: Dialect, share: Callable[[bytes], bytes | None]) -> Callable[..., list[Rule]]:
    """Say that all is stored, and keep what `share` leaves of it."""

    def rules(store: MemoryStore, _: str) -> list[Rule]:
        def behave(exchange: Exchange) -> None:
            name, content = dialect.name_of(exchange, exchange.body())
            kept = share(content)
            if kept is not None and name.endswith(".snap"):
                store.plant({name: kept})
            dialect.stored(name, content)(exchange)

        return [(dialect.puts, behave)]

    return rules


def _halving(dialect: Dialect) -> Callable[..., list[Rule]]:
    """List every second object."""

    def rules(store: MemoryStore, _: str) -> list[Rule]:
        def behave(exchange: Exchange) -> None:
            held = [(name, len(content)) for name, content in sorted(store.files.items())]
            first = not any(exchange.request.query.get("marker", ""))
            says(200, dialect.listing(held[::2] if first else [], ""))(exchange)

        return [(dialect.lists, behave)]

    return rules


_COMPLAINT = f"{SHOUT * 200}".encode()
_FAR = [(f"/{key}", size) for key, size in STRANGE if "%" not in key]


_QUICK = {
    "lists the same page again",
    "declares a length that is none",
    "answers 200 with an error inside",
    "takes a PUT with an error inside",
    "complains in control characters",
    "nests a listing 0",
    "sends a PUT elsewhere",
    "sends a listing elsewhere",
    "lists a size below zero",
    "lists a size beyond all numbers",
    "keeps half",
    "pretends to delete",
}
"""What `make test` tells; time and size it has of S3 and WebDAV, over the same connections."""


def wire_lies(dialect: Dialect) -> dict[str, Lie]:
    """Make the lies that any store over HTTP can tell."""
    made = {
        **_of_time(dialect),
        **_of_size(dialect),
        **_of_sense(dialect),
        **_of_substance(dialect),
    }
    return {
        f"{dialect.word} {name}": replace(lie, heavy=name not in _QUICK)
        for name, lie in made.items()
    }


def _of_time(dialect: Dialect) -> dict[str, Lie]:
    puts, lists, reads = dialect.puts, dialect.lists, dialect.reads
    return {
        "never answers a PUT": Lie(simply(puts, silent)),
        "takes a PUT a byte at a time": Lie(simply(puts, slow_reader)),
        "drips the head of its answer to a PUT": Lie(simply(puts, slow_head)),
        "drips its answer to a PUT": Lie(simply(puts, drip()), EITHER),
        "drips a listing": Lie(simply(lists, drip(b"{<")), EITHER),
        "drips a manifest": Lie(simply(reads, drip(b"{")), EITHER),
        "drips its answer to a delete": Lie(simply(dialect.deletes, slow_head), (STORED,)),
        "says 100 Continue for ever": Lie(simply(anything, continuing)),
    }


def _of_size(dialect: Dialect) -> dict[str, Lie]:
    puts, lists, reads = dialect.puts, dialect.lists, dialect.reads
    return {
        "lists without an end": Lie(_pages(dialect, moving=True, full=True), EITHER),
        "lists the same page again": Lie(_pages(dialect, moving=False, full=False), EITHER),
        "lists empty pages": Lie(_pages(dialect, moving=True, full=False), EITHER),
        "lists 2 GiB": Lie(simply(lists, flood()), EITHER),
        "sends a manifest of 2 GiB": Lie(simply(reads, flood(start=b"{")), EITHER),
        "sends a manifest without an end": Lie(simply(reads, endless(b"{")), EITHER),
        "complains in 2 GiB": Lie(simply(puts, flood(status=500))),
        "sends headers without an end": Lie(simply(anything, endless_head)),
        "sends a bomb for a listing": Lie(simply(lists, bomb()), EITHER),
        "sends a bomb for a manifest": Lie(simply(reads, bomb()), EITHER),
        "declares a length beyond all": Lie(simply(reads, declares("9" * 30, b"{}")), EITHER),
        "declares a length that is none": Lie(simply(lists, declares("-5", b"{}")), EITHER),
    }


def _of_sense(dialect: Dialect) -> dict[str, Lie]:
    puts, lists = dialect.puts, dialect.lists
    deep = (b'[{"items": ' * 90_000, b"[" * 200_000, b"<a>" * 200_000)
    return {
        "answers everything with a page": Lie(
            simply(anything, says(200, b"<html>Welcome</html>")), EITHER
        ),
        "answers everything with nothing": Lie(simply(anything, says(200, b"")), EITHER),
        "answers a PUT with nothing": Lie(simply(puts, says(200, b"")), EITHER),
        "answers 200 with an error inside": Lie(simply(lists, says(200, dialect.error)), EITHER),
        "takes a PUT with an error inside": Lie(simply(puts, says(200, dialect.error)), EITHER),
        "complains in control characters": Lie(simply(puts, says(400, _COMPLAINT))),
        **{
            f"nests a listing {number}": Lie(simply(lists, says(200, one)), EITHER)
            for number, one in enumerate(deep)
        },
        "speaks another protocol": Lie(simply(anything, speaks(b"220 mail\r\n" * 50))),
        "resets every connection": Lie(simply(anything, resets)),
        "sends a PUT elsewhere": Lie(away(puts, 307)),
        "sends everything elsewhere": Lie(away(anything, 308)),
        "sends a listing elsewhere": Lie(away(lists, 302), EITHER),
        "sends a manifest's reader elsewhere": Lie(away(dialect.reads, 303), EITHER),
    }


def _of_substance(dialect: Dialect) -> dict[str, Lie]:
    deletes = dialect.deletes
    sizes: Sequence[tuple[str, Any]] = [
        ("below zero", -1),
        ("beyond all", "9" * 40),
        ("beyond all numbers", "9" * 5000),
        ("that is none", "much"),
    ]
    return {
        **{
            f"lists a size {name}": Lie(also_listing(dialect, ("x", size)), EITHER)
            for name, size in sizes
        },
        "lists strange names": Lie(also_listing(dialect, *_FAR), (STORED,)),
        "lists half": Lie(_halving(dialect), (STORED,)),
        "keeps nothing": Lie(_keeping(dialect, lambda _: None), EITHER),
        "keeps half": Lie(_keeping(dialect, lambda content: content[: len(content) // 2]), EITHER),
        "denies to delete": Lie(simply(deletes, says(403, b"")), (STORED,)),
        "pretends to delete": Lie(simply(deletes, says(204, b"")), (STORED,)),
    }


def whole_key(name: str) -> str:
    """Write a row's name as the store would."""
    return name[1:] if name.startswith("/") else PREFIX + name
