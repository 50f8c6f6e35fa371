"""Limits the size of answers of Kubernetes' API, which its library would read whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from httpx2 import Response

_MOST = 4 << 20
"""Bytes; etcd keeps no object over 1.5 MiB. There is no key for it."""


def bound(response: Response) -> Response:
    """Fail an answer once it is longer than the limit; an encoded one fails at once.

    Raises:
        DecodingError: Nobody asked for that encoding.
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
