"""Forty ways in which a store lies."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.adversary.s3 import PREFIX, Rule, Store, answer, key_of, listing, uploads
from tests.adversary.tricks import (
    SHOUT,
    anything,
    asked,
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
from tests.http_proxy import Behaviour, Exchange, Request

STORED, FAILED = 0, 3
"""Exit codes: the store has its snapshot all the same, or the run failed there alone."""


@dataclass(frozen=True, slots=True)
class Lie:
    """What a store does, and what the agent makes of it."""

    rules: Callable[[Any, str], Sequence[Rule]]
    """Made for a store and the address of somebody else's."""
    codes: tuple[int, ...] = (FAILED,)
    words: str = ""
    """A pattern that one of the lines for the operator has."""
    quiet: bool = False
    """Whether it is none of an operator's business."""
    heavy: bool = False
    """Whether it costs memory, processor or more than ten seconds: it is tried alone."""

    @property
    def gregarious(self) -> bool:
        """Whether it is tried together with others in every run of the tests."""
        return not self.heavy


def lists(request: Request) -> bool:
    return request.method == "GET" and "list-type" in request.query


def sweeps(request: Request) -> bool:
    return request.method == "GET" and "uploads" in request.query


def puts_snapshot(request: Request) -> bool:
    return request.method == "PUT" and request.path.endswith(".snap")


def puts_manifest(request: Request) -> bool:
    return request.method == "PUT" and request.path.endswith(".json")


def reads_manifest(request: Request) -> bool:
    return request.method == "GET" and request.path.endswith(".snap.json")


def deletes(request: Request) -> bool:
    return request.method == "DELETE" or "delete" in request.query


def simply(when: Callable[[Request], bool], behaviour: Behaviour) -> Callable[..., list[Rule]]:
    return lambda _store, _elsewhere: [(when, behaviour)]


def pages(*, moving: bool, full: bool) -> Behaviour:
    """List without an end: the marker moves on or not, the pages hold something or nothing."""
    numbers = itertools.count()

    def behave(exchange: Exchange) -> None:
        number = next(numbers)
        mark = number if moving else "again"
        more = (
            f"<IsTruncated>true</IsTruncated><NextContinuationToken>{mark}</NextContinuationToken>"
        )
        rows = [(f"{PREFIX}junk-{number}-{one}", 1) for one in range(1000)] if full else []
        answer(exchange, 200, listing(rows, more))

    return behave


def pending(*, moving: bool) -> Behaviour:
    """List unfinished uploads without an end."""
    numbers = itertools.count()

    def behave(exchange: Exchange) -> None:
        mark = next(numbers) if moving else "again"
        row = (
            f"<Upload><Key>{PREFIX}x</Key><UploadId>{mark}</UploadId>"
            "<Initiated>2026-11-26T00:00:00Z</Initiated></Upload>"
        )
        more = f"<IsTruncated>true</IsTruncated><NextKeyMarker>{mark}</NextKeyMarker>"
        answer(exchange, 200, uploads(row, more))

    return behave


def also_listing(*rows: tuple[str, object]) -> Callable[[Store, str], list[Rule]]:
    """List more than there is."""

    def rules(store: Store, _: str) -> list[Rule]:
        def behave(exchange: Exchange) -> None:
            held = [(PREFIX + name, len(content)) for name, content in store.files.items()]
            answer(exchange, 200, listing([*held, *rows]))

        return [(lists, behave)]

    return rules


def omitting(store: Store, _: str) -> list[Rule]:
    """List every second object."""

    def behave(exchange: Exchange) -> None:
        held = [(PREFIX + name, len(content)) for name, content in store.files.items()]
        answer(exchange, 200, listing(held[::2]))

    return [(lists, behave)]


def swapping(store: Store, _: str) -> list[Rule]:
    """Answer each read with another object of that kind."""

    def behave(exchange: Exchange) -> None:
        wanted = key_of(exchange.request).removeprefix(PREFIX)
        ending = wanted.rpartition(".")[2]
        others = [v for k, v in store.files.items() if k.endswith(ending) and k != wanted]
        answer(exchange, 200, others[0] if others else b"")

    return [(asked("GET", ".snap"), behave)]


def keeping_nothing(_: Store, __: str) -> list[Rule]:
    return [(asked("PUT"), says(200, b"", ("ETag", '"0"')))]


def losing(store: Store, _: str) -> list[Rule]:
    """Take each upload and keep half of it."""

    def behave(exchange: Exchange) -> None:
        body = exchange.body()
        store.plant({key_of(exchange.request).removeprefix(PREFIX): body[: len(body) // 2]})
        answer(exchange, 200, b"")

    return [(puts_snapshot, behave)]


def sends_away(status: int, when: Callable[[Request], bool]) -> Callable[[Store, str], list[Rule]]:
    return lambda _, elsewhere: [(when, redirects(status, elsewhere))]


ENTITIES = (
    '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;">'
    '<!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;"><!ENTITY f "&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;">'
    '<!ENTITY g "&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;">]><ListMultipartUploadsResult>&g;'
    "</ListMultipartUploadsResult>"
)
DEEP = b"<a>" * 200_000
COMPLAINT = f"<Error><Code>Nothing{SHOUT}</Code><Message>{SHOUT * 2000}</Message></Error>".encode()
STRANGE = [
    ("prod//doubled", 1),
    ("prod/../../etc/passwd", 1),
    ("/prod/raft-snapshot-20261101T030000Z-i1-00000a.snap", 1),
    ("prod/deep/raft-snapshot-20261101T030000Z-i1-00000a.snap", 1),
    (f"prod/{'long' * 5000}", 1),
    ("prod/raft-snapshot-99991231T235959Z-i1-00000a.snap", 1),
    ("prod/raft-snapshot-9999-12-31T23-59-59Z-2359.snap", 1),
    ("prod/raft-snapshot-0000-00-00T00-00-00Z-0000.snap", 1),
    ("prod/%00%1b[2J.snap", 1),
    ("elsewhere/raft-snapshot-20261101T030000Z-i1-00000a.snap", 1),
]

LIES: dict[str, Lie] = {
    # Time: none of these ends by itself, and each moves on just fast enough.
    "never answers": Lie(simply(anything, silent), heavy=True),
    "never answers a PUT": Lie(simply(puts_snapshot, silent)),
    "takes a PUT a byte at a time": Lie(simply(puts_snapshot, slow_reader)),
    "drips the head of its answer to a PUT": Lie(simply(puts_snapshot, slow_head)),
    "drips the head of its answer to a manifest": Lie(
        simply(puts_manifest, slow_head), (STORED, FAILED)
    ),
    "drips the head of a HEAD": Lie(simply(asked("HEAD"), slow_head), (STORED, FAILED)),
    "drips a listing": Lie(simply(lists, drip(b"<ListBucketResult>")), (STORED, FAILED)),
    "drips the list of uploads": Lie(simply(sweeps, drip(b"<Lis")), (STORED,), heavy=True),
    "drips a manifest": Lie(simply(reads_manifest, drip(b"{")), (STORED, FAILED)),
    "drips its answer to a delete": Lie(simply(deletes, slow_head), (STORED,)),
    "says 100 Continue for ever": Lie(simply(anything, continuing)),
    # Size.
    "lists without an end": Lie(
        simply(lists, pages(moving=True, full=True)),
        (STORED, FAILED),
        heavy=True,
    ),
    "lists the same page again": Lie(
        simply(lists, pages(moving=False, full=True)),
        (STORED, FAILED),
        heavy=True,
    ),
    "lists empty pages": Lie(
        simply(lists, pages(moving=True, full=False)), (STORED, FAILED), heavy=True
    ),
    "lists uploads without an end": Lie(
        simply(sweeps, pending(moving=True)), (STORED,), heavy=True
    ),
    "lists the same uploads again": Lie(
        simply(sweeps, pending(moving=False)), (STORED,), heavy=True
    ),
    "sends a listing of 2 GiB": Lie(simply(lists, flood()), (STORED, FAILED), heavy=True),
    "sends a manifest of 2 GiB": Lie(
        simply(reads_manifest, flood(start=b"{")), (STORED, FAILED), heavy=True
    ),
    "sends a manifest without an end": Lie(
        simply(reads_manifest, endless(b'{"a": "')), (STORED, FAILED), heavy=True
    ),
    "complains in 2 GiB": Lie(simply(puts_snapshot, flood(status=500)), heavy=True),
    "sends headers without an end": Lie(simply(anything, endless_head), heavy=True),
    "sends a bomb for a listing": Lie(simply(lists, bomb()), (STORED, FAILED), heavy=True),
    "sends a bomb for a manifest": Lie(
        simply(reads_manifest, bomb()), (STORED, FAILED), heavy=True
    ),
    "declares a length beyond all": Lie(
        simply(reads_manifest, declares("9" * 30, b"{}")), (STORED, FAILED)
    ),
    "declares a length that is none": Lie(simply(lists, declares("-5", b"{}")), (STORED, FAILED)),
    # Sense.
    "answers everything with a page": Lie(simply(anything, says(200, b"<html>Welcome</html>"))),
    "answers everything with nothing": Lie(simply(anything, says(200, b""))),
    "answers everything with 500": Lie(simply(anything, says(500, b""))),
    "complains in control characters": Lie(
        simply(puts_snapshot, says(400, COMPLAINT, ("Content-Type", "application/xml")))
    ),
    "lists with entities": Lie(simply(sweeps, says(200, ENTITIES.encode())), (STORED,)),
    "lists with entities in UTF-16": Lie(
        simply(sweeps, says(200, ENTITIES.encode("utf-16"))), (STORED,)
    ),
    "nests a listing": Lie(simply(lists, says(200, DEEP)), (STORED, FAILED)),
    "nests the list of uploads": Lie(simply(sweeps, says(200, DEEP)), (STORED,)),
    "dates uploads nonsensically": Lie(
        simply(sweeps, says(200, uploads("<Upload><Initiated>soon</Initiated></Upload>"))),
        (STORED,),
    ),
    "speaks another protocol": Lie(simply(anything, speaks(b"220 mail ESMTP\r\n" * 50))),
    "resets every connection": Lie(simply(anything, resets)),
    # Substance.
    "keeps nothing": Lie(keeping_nothing),
    "keeps half": Lie(losing),
    "lists strange names": Lie(also_listing(*STRANGE), (STORED,), quiet=True, heavy=True),
    "lists a size below zero": Lie(also_listing(("prod/x", -1)), (STORED, FAILED)),
    "lists a size beyond all": Lie(also_listing(("prod/x", "9" * 40)), (STORED, FAILED)),
    "lists a size that is none": Lie(also_listing(("prod/x", "much")), (STORED, FAILED)),
    "lists half": Lie(omitting, (STORED,)),
    "swaps what is read": Lie(swapping, (STORED, 6)),
    "denies to delete": Lie(simply(deletes, says(403, b"")), (STORED,)),
    "pretends to delete": Lie(simply(deletes, says(204, b"")), (STORED,)),
    # Elsewhere.
    "sends a PUT elsewhere": Lie(sends_away(307, puts_snapshot)),
    "sends a PUT elsewhere for good": Lie(sends_away(308, puts_snapshot)),
    "sends everything elsewhere": Lie(sends_away(301, anything), heavy=True),
    "sends a listing elsewhere": Lie(sends_away(302, lists), (STORED, FAILED), heavy=True),
    "sends a manifest's reader elsewhere": Lie(sends_away(303, reads_manifest), (STORED, FAILED)),
    "sends the sweeper elsewhere": Lie(sends_away(307, sweeps), (STORED,)),
}
