"""A server on loopback that answers as told and remembers what it was asked, bodies included."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from tests.http_proxy import Behaviour, Exchange, HttpProxy, Request, status

GRANTED = {"auth": {"client_token": "s.granted", "lease_duration": 3600, "renewable": True}}
"""What a login answers."""
Said = tuple[int, Any] | Callable[["Asked"], tuple[int, Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, whole."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def line(self) -> str:
        return f"{self.method} {self.target}"

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return dict(urllib.parse.parse_qsl(self.body.decode()))


class Voucher:
    """Answers each path as `says` has it, and anything else with 404."""

    def __init__(self, says: dict[str, Said] | None = None) -> None:
        self.says = says or {}
        self.asked: list[Asked] = []
        self._proxy = HttpProxy("http://nowhere", self._choose)
        self.address = self._proxy.address

    @property
    def lines(self) -> list[str]:
        return [asked.line for asked in self.asked]

    def _choose(self, request: Request) -> Behaviour:
        def answer(exchange: Exchange) -> None:
            body = b"".join(exchange._body())
            headers = {name.lower(): value for name, value in request.headers.items()}
            asked = Asked(request.method, request.target, headers, body)
            self.asked.append(asked)
            said = self.says.get(request.path, (404, {"errors": []}))
            code, document = said(asked) if callable(said) else said
            status(code, document)(exchange)

        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._proxy.stop()
