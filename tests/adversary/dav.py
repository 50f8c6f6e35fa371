"""A small WebDAV server in memory, which answers as it is told to; and the ways in which it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import quote, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.adversary.s3 import PREFIX, Rule
from tests.adversary.store_lies import DEEP, ENTITIES, FAILED, STORED, Lie
from tests.adversary.tricks import (
    SHOUT,
    anything,
    asked,
    bomb,
    drip,
    endless,
    flood,
    redirects,
    resets,
    says,
    silent,
    slow_head,
    slow_reader,
)
from tests.adversary.wire import MemoryStore
from tests.http_proxy import Behaviour, Exchange, Request

ROOT = "/dav/"
SECRET = "dGhlLXBhc3N3b3JkLW9mLXRoZS1saWFy"


class DavStore(MemoryStore):
    """A folder."""

    def settings(self) -> dict[str, object]:
        return {
            "type": "webdav",
            "name": self.name,
            "url": f"{self.address}{ROOT}".rstrip("/"),
            "prefix": PREFIX,
            "token": SECRET,
            "timeout": "2s",
        }

    def honest(self, exchange: Exchange) -> None:
        """Answer as a server should."""
        request, name = exchange.request, name_of(exchange.request.path)
        body = exchange.body()
        with self._lock:
            there = name in self._files
            if request.method == "PUT":
                self._files[name] = body
            elif request.method == "MOVE":
                self._files[name_of(request.headers["Destination"])] = self._files.pop(name)
            elif request.method == "DELETE":
                self._files.pop(name, None)
            content = self._files.get(name, b"")
            held = {key: len(value) for key, value in self._files.items()}
        if request.method == "PROPFIND":
            shown = held if name in {"", PREFIX} else {name: held[name]} if name in held else {}
            says(207, listed(shown.items()))(exchange)
        elif request.method == "GET":
            says(200 if there else 404, content)(exchange)
        else:
            says(201, b"")(exchange)


def name_of(target: str) -> str:
    return unquote(urlsplit(target).path).removeprefix(ROOT).removeprefix(PREFIX)


def listed(entries: Iterable[tuple[str, object]], more: str = "", date: str = "") -> bytes:
    """Write the answer to a PROPFIND."""
    date = date or "Thu, 26 Nov 2026 03:00:00 GMT"
    rows = "".join(
        f"<D:response><D:href>{ROOT}{PREFIX}{escape(quote(name))}</D:href><D:propstat><D:prop>"
        f"<D:resourcetype/><D:getcontentlength>{size}</D:getcontentlength><D:getlastmodified>{date}"
        "</D:getlastmodified></D:prop></D:propstat></D:response>"
        for name, size in entries
    )
    return f'<D:multistatus xmlns:D="DAV:">{rows}{more}</D:multistatus>'.encode()


def lists(request: Request) -> bool:
    return request.method == "PROPFIND" and request.headers["Depth"] == "1"


def checks(request: Request) -> bool:
    return request.method == "PROPFIND" and request.headers["Depth"] == "0"


def simply(when: Callable[[Request], bool], behaviour: Behaviour) -> Callable[..., list[Rule]]:
    return lambda _store, _elsewhere: [(when, behaviour)]


def sends_away(when: Callable[[Request], bool], status: int) -> Callable[..., list[Rule]]:
    return lambda _store, elsewhere: [(when, redirects(status, elsewhere))]


def also_listing(
    more: str = "", *rows: tuple[str, object], date: str = ""
) -> Callable[..., list[Rule]]:
    def rules(store: DavStore, _: str) -> list[Rule]:
        def behave(exchange: Exchange) -> None:
            held = [(name, len(content)) for name, content in store.files.items()]
            says(207, listed([*held, *rows], more, date))(exchange)

        return [(lists, behave)]

    return rules


def keeping_half(store: DavStore, _: str) -> list[Rule]:
    def behave(exchange: Exchange) -> None:
        body = exchange.body()
        store.plant({name_of(exchange.request.path): body[: len(body) // 2]})
        says(201, b"")(exchange)

    return [(asked("PUT"), behave)]


_FOREIGN = (
    "<D:response><D:href>http://[bad</D:href></D:response>"
    "<D:response><D:href>/elsewhere/x.snap</D:href></D:response>"
    f"<D:response><D:href>{ROOT}{PREFIX}../../x.snap</D:href></D:response>"
    f"<D:response><D:href>{ROOT}{PREFIX}%00%1b%5b2J%ff.snap</D:href></D:response>"
    f"<D:response><D:href>{ROOT}{PREFIX}{'long' * 9000}</D:href></D:response><D:response/>"
)
EITHER = (STORED, FAILED)
LIES: dict[str, Lie] = {
    "dav never answers a PUT": Lie(simply(asked("PUT"), silent), heavy=True),
    "dav takes a PUT a byte at a time": Lie(simply(asked("PUT"), slow_reader)),
    "dav drips the head of its answer to a PUT": Lie(simply(asked("PUT"), slow_head)),
    "dav drips its answer to a PUT": Lie(simply(asked("PUT"), drip()), EITHER, heavy=True),
    "dav drips its answer to a MOVE": Lie(simply(asked("MOVE"), slow_head), EITHER),
    "dav drips a listing": Lie(simply(lists, drip(b"<D:multistatus ")), EITHER, heavy=True),
    "dav drips a manifest": Lie(simply(asked("GET"), drip(b"{")), EITHER),
    "dav lists 2 GiB": Lie(simply(lists, flood()), EITHER, heavy=True),
    "dav lists without an end": Lie(
        simply(lists, endless(b"<D:multistatus>", b"<a/>" * 9999)), EITHER, heavy=True
    ),
    "dav sends a manifest without an end": Lie(
        simply(asked("GET"), endless(b"{")), EITHER, heavy=True
    ),
    "dav complains in 2 GiB": Lie(simply(asked("PUT"), flood(status=500)), heavy=True),
    "dav sends a bomb for a listing": Lie(simply(lists, bomb(207)), EITHER, heavy=True),
    "dav lists with entities": Lie(simply(lists, says(207, ENTITIES.encode())), EITHER),
    "dav lists with entities in UTF-16": Lie(
        simply(lists, says(207, ENTITIES.encode("utf-16"))), EITHER
    ),
    "dav nests a listing": Lie(simply(lists, says(207, DEEP)), EITHER),
    "dav lists what is foreign": Lie(also_listing(_FOREIGN), (STORED,)),
    "dav lists a size below zero": Lie(also_listing("", ("x", -5)), EITHER),
    "dav lists a size that is none": Lie(also_listing("", ("x", "9" * 5000)), EITHER),
    "dav dates beyond all": Lie(
        also_listing(date="Thu, 26 Nov 2026 00:00:00 +999999999999999"), EITHER
    ),
    "dav dates nonsensically": Lie(
        also_listing(date=SHOUT.replace("\x1b", "").replace("\x00", "").replace("\x07", "")), EITHER
    ),
    "dav keeps half": Lie(keeping_half),
    "dav keeps nothing": Lie(simply(asked("PUT"), says(201, b""))),
    "dav pretends to move": Lie(simply(asked("MOVE"), says(201, b""))),
    "dav pretends to delete": Lie(simply(asked("DELETE"), says(204, b"")), (STORED,)),
    "dav complains in control characters": Lie(
        simply(asked("PUT"), says(400, SHOUT.encode() * 999, ("Content-Type", "text/plain")))
    ),
    "dav resets": Lie(simply(anything, resets)),
    "dav sends everything elsewhere": Lie(sends_away(anything, 307)),
    "dav sends a listing elsewhere": Lie(sends_away(lists, 302), EITHER),
    "dav sends a manifest's reader elsewhere": Lie(sends_away(asked("GET"), 301), EITHER),
    "dav sends a check elsewhere": Lie(sends_away(checks, 308), EITHER),
}
