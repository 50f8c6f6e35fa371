"""Limits the size of the Kubernetes API's answers, which the library would read whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from httpx2 import Response

_MOST = 4 << 20
"""Bytes; etcd stores no object over 1.5 MiB. Not configurable."""


def bound(response: Response) -> Response:
    """Make an answer fail once it exceeds the limit; refuse an encoded one.

    Raises:
        DecodingError: The answer is encoded, which was not requested.
    """
    import httpx2

    # The request was asynchronous, and so is its answer.
    stream = cast("httpx2.AsyncByteStream", response.stream)

    class Bounded(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            taken = 0
            async for piece in stream:
                taken += len(piece)
                if taken > _MOST:
                    raise httpx2.ReadError(f"its answer is longer than {_MOST} bytes")
                yield piece

        async def aclose(self) -> None:
            await stream.aclose()

    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise httpx2.DecodingError("its answer is compressed, which was not requested")
    response.stream = Bounded()
    return response
