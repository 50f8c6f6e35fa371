"""A server that tokens are got from: an instance's, or one that exchanges them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from tests.http_proxy import Behaviour, Exchange, HttpProxy, Request, status

TOKEN = "a-token-from-elsewhere"
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
        self._answers: dict[str, Behaviour] = {}
        self._proxy = HttpProxy("http://127.0.0.1:1", self._choose)
        self.address = self._proxy.address
        self.stop = self._proxy.stop

    def also(self, end: str, document: dict[str, Any]) -> None:
        """Answer so where a path ends with this."""
        self._answers[end] = status(200, document)

    @property
    def requests(self) -> list[Request]:
        return self._proxy.requests

    def _choose(self, _: Request) -> Behaviour:
        return self._give

    def _give(self, exchange: Exchange) -> None:
        self.forms.append(dict(parse_qsl(exchange.body().decode())))
        path = exchange.request.path
        answers = (then for end, then in self._answers.items() if path.endswith(end))
        next(answers, self.answer)(exchange)
