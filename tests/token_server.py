"""A server that tokens are got from: an instance's, or one that exchanges them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from tests.gcs_front import TOKEN
from tests.http_proxy import Behaviour, Exchange, HttpProxy, Request, status

_TOKEN: dict[str, Any] = {
    "access_token": TOKEN,
    "token_type": "Bearer",
    "expires_in": 3600,
    "expires_on": "4102444800",
}


class TokenServer:
    """Hands out the token that the store knows, and remembers who asked how."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.answer: Behaviour = status(200, _TOKEN)
        self._proxy = HttpProxy("http://127.0.0.1:1", self._choose)
        self.address = self._proxy.address
        self.stop = self._proxy.stop

    @property
    def requests(self) -> list[Request]:
        return self._proxy.requests

    def _choose(self, _: Request) -> Behaviour:
        return self._give

    def _give(self, exchange: Exchange) -> None:
        self.forms.append(dict(parse_qsl(exchange.body().decode())))
        self.answer(exchange)
