"""Over TLS a checksum that the store checks stands in for the signature of each part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.contract.destinations import S3
from tests.contract.sources import MIB, bytes_of, content, put_of
from tests.http_proxy import Behaviour, Exchange, Request, pass_through, status
from tests.tls_proxy import TlsProxy

from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.storage.s3.store import Crc32

_SIZE = 13 * MIB
_UNSIGNED = "UNSIGNED-PAYLOAD"
_CHECKSUM = "x-amz-checksum-crc32"


def is_part(request: Request) -> bool:
    return request.method == "PUT" and "partNumber" in request.query


class Front:
    """The store behind TLS, which treats what is sent unsigned in one way."""

    def __init__(self, s3: S3, folder: Path) -> None:
        authority = trustme.CA()
        self.unsigned: Behaviour = pass_through
        self.proxy = TlsProxy(s3.seaweed.endpoint, self._choose, authority)
        self._s3, self._ca = s3, folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self._ca))

    def open(self, **more: Any) -> Storage:
        return self._s3.open(endpoint=self.proxy.address, ca_file=str(self._ca), **more)

    def signatures(self) -> list[str]:
        """Return what the signature of each part said of its bytes."""
        parts = filter(is_part, self.proxy.requests)
        return [part.headers["x-amz-content-sha256"] for part in parts]

    def _choose(self, request: Request) -> Behaviour:
        sent_unsigned = request.headers.get("x-amz-content-sha256") == _UNSIGNED
        return self.unsigned if sent_unsigned else pass_through


@pytest.fixture
def front(s3: S3, tmp_path: Path) -> Iterator[Front]:
    made = Front(s3, tmp_path)
    yield made
    made.proxy.stop()


def ignore_the_checksum(exchange: Exchange) -> None:
    """Take a part like a store that knows nothing of checksums."""
    exchange.answer(200, [("ETag", '"x"'), ("Content-Length", "0")], b"")


def refuse(code: int, word: str) -> Behaviour:
    return status(code, f"<Error><Code>{word}</Code><Message>no</Message></Error>".encode())


async def test_parts_over_tls_go_with_a_checksum_in_place_of_a_signature(
    s3: S3, front: Front, tmp_path: Path
) -> None:
    assert await put_of(front.open(), tmp_path, _SIZE) == _SIZE
    assert front.signatures() == [_UNSIGNED] * 2
    assert all(_CHECKSUM in part.headers for part in front.proxy.requests if is_part(part))
    assert await content(s3.open()) == bytes_of(_SIZE)


@pytest.mark.parametrize("more", [{"skip_verify": True}, {"checksum": True}, {"checksum": False}])
async def test_they_are_signed_where_tls_proves_nothing_or_the_settings_say_otherwise(
    front: Front, tmp_path: Path, more: dict[str, bool]
) -> None:
    storage = front.open(**more)
    assert await put_of(storage, tmp_path, _SIZE) == _SIZE
    assert _UNSIGNED not in front.signatures()
    assert len(front.signatures()) == 2


@pytest.mark.parametrize(
    "behaviour",
    [
        ignore_the_checksum,
        refuse(403, "AccessDenied"),
        refuse(400, "InvalidRequest"),
        refuse(501, "NotImplemented"),
    ],
    ids=["ignored", "denied", "invalid", "unknown"],
)
async def test_a_store_that_does_not_check_them_gets_signed_ones_from_then_on(
    s3: S3, front: Front, tmp_path: Path, behaviour: Behaviour
) -> None:
    front.unsigned = behaviour
    storage = front.open()
    assert await put_of(storage, tmp_path, _SIZE) == _SIZE
    assert await content(s3.open()) == bytes_of(_SIZE)
    assert s3.pending() == []
    asked = front.signatures().count(_UNSIGNED)
    assert 1 <= asked <= 2
    assert await put_of(storage, tmp_path, _SIZE) == _SIZE
    assert front.signatures().count(_UNSIGNED) == asked


async def test_the_store_compares_the_checksum(
    s3: S3, front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Crc32, "digest", lambda _: b"none")
    assert await put_of(front.open(), tmp_path, _SIZE) == _SIZE
    assert await content(s3.open()) == bytes_of(_SIZE)
    assert len(front.signatures()) > 2
