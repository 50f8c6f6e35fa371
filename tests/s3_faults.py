"""An S3 store that fails when a test wants it to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from tests.http_proxy import Behaviour, HttpProxy, Request, hang, limited, pass_through, status


class S3Faults:
    """Stands before an S3 store and fails or hangs chosen requests; signatures stay valid."""

    def __init__(self, upstream_address: str) -> None:
        self._rules: list[tuple[Callable[[Request], bool], Behaviour]] = []
        self._proxy = HttpProxy(upstream_address, self._choose)
        self.address = self._proxy.address

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order they came."""
        return self._proxy.requests

    def fail(
        self, when: Callable[[Request], bool], code: int = 503, times: int | None = None
    ) -> None:
        """Answer chosen requests with 500, 503 or another error; the first `times` only."""
        word = {500: "InternalError", 503: "SlowDown", 403: "AccessDenied"}.get(code, "Error")
        body = f"<Error><Code>{word}</Code><Message>a test wants this</Message></Error>"
        self._add(when, status(code, body.encode()), times)

    def hang(self, when: Callable[[Request], bool], times: int | None = None) -> None:
        """Never answer chosen requests; the first `times` only."""
        self._add(when, hang, times)

    def behave(
        self, when: Callable[[Request], bool], behaviour: Behaviour, times: int | None = None
    ) -> None:
        """Treat chosen requests so; the first `times` only. The rule added last wins."""
        self._add(when, behaviour, times)

    def heal(self) -> None:
        """Pass everything through again."""
        self._rules.clear()

    def stop(self) -> None:
        """End it; what hangs is cut off."""
        self._proxy.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _add(
        self, when: Callable[[Request], bool], behaviour: Behaviour, times: int | None
    ) -> None:
        self._rules.insert(0, (when, limited(behaviour, times)))

    def _choose(self, request: Request) -> Behaviour:
        return next((then for when, then in self._rules if when(request)), pass_through)
