"""Whatever arrives in the place of a snapshot, nothing broken is stored."""

from __future__ import annotations

import pytest
from tests.faults.site import Site
from tests.lying import (
    Behaviour,
    Exchange,
    LyingProxy,
    S3Faults,
    bitflip_state,
    cut_after,
    empty,
    halve,
    json_body,
    packed_again,
    page,
    pass_through,
    stale,
    trailing,
    truncate,
    without_sealed,
)

from raft_snapshot_agent.servers.process import until

_HELD_AFTER = 16_000_000

LIES: dict[str, tuple[Behaviour, int, str]] = {
    "empty": (empty(), 4, "the snapshot is broken: it is empty"),
    "truncated": (truncate(9), 4, "the snapshot is broken: it is cut off after"),
    "halved": (halve(), 4, "the snapshot is broken: it is cut off after"),
    "cut off": (cut_after(10_000), 2, "was cut off after"),
    "cut off at once": (cut_after(0), 2, "was cut off after 0 bytes"),
    "unsealed": (without_sealed(), 4, "SHA256SUMS.sealed is missing or empty"),
    "trailing zeros": (trailing(bytes(512)), 4, "bytes follow its end"),
    "flipped bit": (bitflip_state(), 4, "the hash of state.bin does not match SHA256SUMS"),
    "page": (page("<html>Sign in</html>"), 2, "a snapshot with text/html; charset=utf-8 (likely a"),
    "packed again": (packed_again(), 2, "was compressed once more on the way (switch compression"),
    "json": (json_body({"errors": ["surprise"]}), 4, "it is not a gzip archive"),
}
BIG_LIES: dict[str, tuple[Behaviour, int, str]] = {
    "truncated": (truncate(9), 4, "the snapshot is broken: it is cut off after"),
    "cut off": (cut_after(_HELD_AFTER), 2, f"was cut off after {_HELD_AFTER} bytes"),
    "flipped bit": (bitflip_state(), 4, "the hash of state.bin does not match SHA256SUMS"),
}


@pytest.mark.parametrize("lie", LIES)
def test_lie_is_not_stored(site: Site, server: LyingProxy, lie: str) -> None:
    server.snapshot, code, words = LIES[lie]
    site.fails(code, words)
    server.snapshot = pass_through
    site.succeeds()


@pytest.mark.parametrize("lie", BIG_LIES)
def test_upload_of_a_lie_is_taken_back(
    big_site: Site, big_server: LyingProxy, s3: S3Faults, lie: str
) -> None:
    big_site.s3["endpoint"] = s3.address
    told, code, words = BIG_LIES[lie]
    big_server.snapshot = _once_parts_are_uploaded(told, s3)
    big_site.fails(code, words)
    assert [request for request in s3.requests if request.method == "DELETE"]
    big_server.snapshot = pass_through
    big_site.succeeds()


def test_older_copy_from_a_standby_is_not_stored(site: Site, server: LyingProxy) -> None:
    site.succeeds()
    older = next(iter(site.objects().values()))
    server.snapshot = stale(older)
    site.fails(4, "the snapshot is stale: it ends at index")
    server.snapshot = pass_through
    site.succeeds()


def test_answer_that_ends_with_the_connection_is_judged_by_its_bytes(
    site: Site, server: LyingProxy
) -> None:
    server.snapshot = _unframed(0)
    site.succeeds()
    server.snapshot = _unframed(9)
    site.fails(4, "the snapshot is broken: it is cut off after")


def test_compressed_twice_is_not_unpacked_on_the_way(site: Site, server: LyingProxy) -> None:
    """A proxy that declares a content coding it did not apply changes nothing."""

    def coded(exchange: Exchange) -> None:
        archive = exchange.forward().read()
        headers = [("Content-Encoding", "gzip"), ("Content-Length", str(len(archive)))]
        exchange.answer(200, headers, archive)

    server.snapshot = coded
    site.succeeds()


def _once_parts_are_uploaded(lie: Behaviour, s3: S3Faults) -> Behaviour:
    """Hold back the end of the answer."""

    def behave(exchange: Exchange) -> None:
        send = exchange.send

        def hesitate(data: bytes) -> None:
            send(data[:_HELD_AFTER])
            until(lambda: any("partNumber" in r.query for r in s3.requests), "a part", within=90)
            send(data[_HELD_AFTER:])

        exchange.send = hesitate  # type: ignore[method-assign]
        lie(exchange)

    return behave


def _unframed(missing: int) -> Behaviour:
    """Neither a length nor chunks, as HTTP/1.0 had it."""

    def behave(exchange: Exchange) -> None:
        archive = exchange.forward().read()
        exchange.begin(200, [("Connection", "close")])
        exchange.send(archive[: len(archive) - missing])
        exchange.cut()

    return behave
