"""One client for every bucket: what each kind of store differs in is given, the rest is here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import pytest
from urllib3 import BaseHTTPResponse, HTTPResponse

from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.http.bucket_client import (
    BucketClient,
    BucketRequest,
    Buffer,
    Payload,
    send_logged_in,
)
from raft_snapshot_agent.storage.http.http import Http
from raft_snapshot_agent.storage.http.listing import Listed, Page, list_pages


@dataclass
class Served:
    """Answers from a list, and keeps what it was asked."""

    answers: Iterator[HTTPResponse]
    asked: list[tuple[str, str, Mapping[str, str], object]] = field(default_factory=list)

    def ask(
        self, _doing: str, method: str, url: str, headers: Mapping[str, str], body: object, **_: Any
    ) -> BaseHTTPResponse:
        self.asked.append((method, url, headers, body))
        return next(self.answers)


@dataclass
class ATokenStore:
    """A store whose token runs out."""

    tokens: list[str]
    endpoint: str = "https://store.example"
    timeout: timedelta = timedelta(seconds=60)
    max_objects: int = 10
    address_hint: str = "check endpoint"
    reading: Mapping[str, str] = field(default_factory=lambda: {"x-reads": "yes"})
    removing: Mapping[str, str] = field(default_factory=lambda: {"x-removes": "yes"})

    def storing(self, key: str, content: Buffer, *, plain: bool) -> BucketRequest:
        return BucketRequest(
            "PUT", key, headers={"plain": str(plain)}, payload=Payload([content], len(content))
        )

    def sign(self, _doing: str, request: BucketRequest) -> tuple[str, dict[str, str]]:
        return f"{self.endpoint}/{request.key}", {**request.headers, "token": self.tokens[0]}

    def forget(self) -> bool:
        self.tokens.pop(0)
        return bool(self.tokens)

    def refused(self, doing: str, answer: BaseHTTPResponse) -> StorageError:
        return StorageError(f"{doing}: {answer.status}")

    def is_absent(self, answer: BaseHTTPResponse) -> bool:
        return answer.data == b"no object"

    def is_elsewhere(self, answer: BaseHTTPResponse) -> bool:
        return answer.status != 404 or self.is_absent(answer)


def says(status: int, body: bytes = b"", **headers: str) -> HTTPResponse:
    return HTTPResponse(body, status=status, headers=headers)


def client_of(*answers: HTTPResponse, tokens: int = 2) -> tuple[BucketClient[ATokenStore], Served]:
    served = Served(iter(answers))
    store = ATokenStore([f"t{number}" for number in range(tokens)] or ["t"])
    return BucketClient(store, cast(Http, served)), served


def test_a_refused_login_is_made_anew_once() -> None:
    client, served = client_of(says(401), says(200, b"found"))
    assert client.ask("cannot look", BucketRequest("GET", "k")).data == b"found"
    assert [headers["token"] for _, _, headers, _ in served.asked] == ["t0", "t1"]


def test_a_login_that_is_refused_twice_is_not_made_a_third_time() -> None:
    client, served = client_of(says(401), says(401), tokens=9)
    with pytest.raises(StorageError, match="cannot look: 401"):
        client.ask("cannot look", BucketRequest("GET", "k"))
    assert len(served.asked) == 2


def test_a_login_that_cannot_be_made_anew_is_not_tried_again() -> None:
    first = says(401)
    assert send_logged_in(lambda: first, lambda: False) is first


def test_the_connection_of_a_refused_request_is_let_go() -> None:
    refused = says(401)
    send_logged_in(iter([refused, says(200)]).__next__, lambda: True)
    assert refused.closed


def test_reading_and_removing_carry_the_stores_own_headers() -> None:
    client, served = client_of(says(206), says(200), says(204))
    client.open("cannot read", "k", 7, '"v"')
    client.size("cannot look", "k")
    client.delete("cannot delete", "k")
    (_, _, opened, _), (_, _, looked, _), (_, _, removed, _) = served.asked
    assert opened.items() >= {"range": "bytes=7-", "if-match": '"v"', "x-reads": "yes"}.items()
    assert looked["x-reads"] == removed["x-removes"] == "yes"


def test_an_object_that_is_gone_is_removed_but_not_one_of_a_bucket_that_is_gone() -> None:
    client, _ = client_of(says(404, b"no object"), says(404, b"no bucket"))
    client.delete("cannot delete", "k")
    with pytest.raises(StorageError, match="cannot delete: 404"):
        client.delete("cannot delete", "k")


@pytest.mark.parametrize(
    ("expected", "condition"), [(None, ("if-none-match", "*")), ('"a"', ("if-match", '"a"'))]
)
def test_a_record_is_written_where_what_is_there_is_expected(
    expected: str | None, condition: tuple[str, str]
) -> None:
    client, served = client_of(says(200, etag='"b"'))
    assert client.put_where("cannot write", "k", b"record", expected) == '"b"'
    ((method, _, headers, body),) = served.asked
    assert (method, body) == ("PUT", [b"record"])
    assert headers.items() >= {condition, ("plain", "True"), ("content-length", "6")}


@pytest.mark.parametrize(("status", "said"), [(412, b""), (409, b""), (404, b"no object")])
def test_a_record_is_not_written_over_another(status: int, said: bytes) -> None:
    client, _ = client_of(says(status, said))
    assert client.put_where("cannot write", "k", b"record", '"a"') is None


def test_a_bucket_that_is_gone_is_no_other_record() -> None:
    client, _ = client_of(says(404, b"no bucket"))
    with pytest.raises(StorageError, match="cannot write: 404"):
        client.put_where("cannot write", "k", b"record", '"a"')


def test_a_list_is_read_page_by_page() -> None:
    client, served = client_of(says(200, b"1"), says(200, b"2"))

    def read_page(document: bytes, prefix: str) -> Page:
        key = f"{prefix}{document.decode()}"
        return Page([(key, Listed(key, 1, ""))], {"at": key} if document == b"1" else None)

    listed = list_pages(client, "cannot list", {"prefix": "p/"}, read_page)
    assert [one.key for one in listed] == ["p/1", "p/2"]
    assert len(served.asked) == 2
