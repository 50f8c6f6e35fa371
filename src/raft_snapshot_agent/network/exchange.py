"""Sends one request and reads its answer, with limits on total time and size."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.exceptions import TimeoutError as TimedOut

from raft_snapshot_agent.network.connections import Watched
from raft_snapshot_agent.network.deadline import Deadline, Passed, enforce
from raft_snapshot_agent.network.idle import note_use

SMALL = 1 << 20
"""Most bytes of an answer that is not a list; real ones have a few thousand."""
_STEP = 64 << 10
_FAILED = 300
"""Statuses from this one on are redirects, which are not followed, and errors."""


class Unacceptable(HTTPError):
    """The answer is too long, has an encoding that was not requested, or an invalid length."""


def exchange(
    pool: Any,
    method: str,
    url: str,
    *,
    seconds: float = math.inf,
    most: int = SMALL,
    streaming: bool = False,
    encoded: bool = False,
    **how: Any,
) -> urllib3.BaseHTTPResponse:
    """Make one request, without retries, redirects or decoding.

    Arguments:
        pool: Pool of urllib3.
        method: HTTP method.
        url: URL in the form that the pool expects.
        seconds: Time limit to the end of the answer, or to its body if `streaming`.
        most: Most bytes of the answer.
        streaming: Return before the body is read.
        encoded: Accept a body in any encoding, for a caller to whom only the status matters.
        how: Further arguments of urllib3's `urlopen`.

    Raises:
        HTTPError: There was no valid answer.
    """
    answer: urllib3.BaseHTTPResponse | None = None
    note_use(pool)
    try:
        with _ended_in_time(seconds):
            answer = pool.urlopen(
                method, url, retries=False, redirect=False, preload_content=False,
                decode_content=False, **how,
            )  # fmt: skip
            assert answer is not None  # noqa: S101 - the pool is of any kind
            return _take_answer(method, answer, most, streaming=streaming, encoded=encoded)
    except BaseException:
        if answer is not None:
            answer.close()
        raise


def _take_answer(
    method: str, answer: urllib3.BaseHTTPResponse, most: int, *, streaming: bool, encoded: bool
) -> urllib3.BaseHTTPResponse:
    if answer.status >= _FAILED:
        return _replay(method, answer, _beginning(method, answer))
    _check_length(answer)
    if streaming:
        return answer
    if not encoded:
        _check_encoding(method, answer)
    return _replay(method, answer, _whole(method, answer, most))


def read_on(answer: urllib3.BaseHTTPResponse, size: int, seconds: float) -> bytes:
    """Read at most `size` further bytes of an answer within `seconds`; empty at the end.

    Raises:
        HTTPError: They could not be read in time.
    """
    with reading(answer, seconds):
        return answer.read(size, decode_content=False)


@contextmanager
def reading(answer: urllib3.BaseHTTPResponse, seconds: float) -> Iterator[Deadline]:
    """Limit further reading of an answer to a number of seconds.

    Raises:
        HTTPError: The rest could not be read in time.
    """
    with _ended_in_time(seconds) as deadline:
        if isinstance(answer.connection, Watched):
            deadline.watch(answer.connection)
        yield deadline


@contextmanager
def _ended_in_time(seconds: float) -> Iterator[Deadline]:
    """Map any result of a connection that was shut down to a time-out.

    Also an apparent success: some answers end where their connection ends.
    """
    try:
        with enforce(seconds) as deadline:
            try:
                yield deadline
            except Passed:
                raise TimedOut("no answer in time") from None
            except (HTTPError, OSError, HTTPException, ValueError, ArithmeticError) as error:
                if not deadline.left:
                    raise TimedOut("no answer in time") from error
                raise
            if not deadline.left:
                raise TimedOut("no answer in time")
    except (HTTPError, OSError):
        raise
    except (HTTPException, ValueError, ArithmeticError) as error:
        raise ProtocolError(f"the answer is not valid: {error}") from error


def _check_encoding(method: str, answer: urllib3.BaseHTTPResponse) -> None:
    if (encoding := _encoding(answer)) and method != "HEAD":
        raise Unacceptable(f"its answer is encoded ({encoding[:20]!r}), which was not requested")


def _check_length(answer: urllib3.BaseHTTPResponse) -> None:
    length = answer.headers.get("content-length", "0").strip()
    lengths = {one.strip() for one in length.split(",")}
    if len(lengths) > 1 or not (length := lengths.pop()).isdecimal() or len(length) > 18:
        raise Unacceptable(f"its answer gives {length[:20]!r} as its length")


def _encoding(answer: urllib3.BaseHTTPResponse) -> str:
    encoding = answer.headers.get("content-encoding", "").strip().lower()
    return "" if encoding == "identity" else encoding


def _whole(method: str, answer: urllib3.BaseHTTPResponse, most: int) -> bytes:
    """Read an answer to its end, so that its connection can be reused."""
    declared = int(answer.headers.get("content-length", "0").partition(",")[0])
    # Closed at once: an error's traceback would keep the body until the next garbage collection.
    with io.BytesIO() as content:
        if declared <= most or method == "HEAD":
            while content.tell() <= most and (piece := answer.read(_STEP, decode_content=False)):
                content.write(piece)
        if content.tell() > most or (declared > most and method != "HEAD"):
            raise Unacceptable(f"its answer is longer than {most} bytes, a limit that is fixed")
        answer.release_conn()
        return content.getvalue()


def _beginning(method: str, answer: urllib3.BaseHTTPResponse) -> bytes:
    """Read the beginning of a refusal; only its status matters, even if the rest is invalid."""
    content = io.BytesIO()
    try:
        while content.tell() < _STEP and (piece := answer.read(_STEP, decode_content=False)):
            content.write(piece)
    except (HTTPError, HTTPException, ValueError):
        pass
    if content.tell() < _STEP:
        answer.release_conn()
    else:
        answer.close()
    return b"" if _encoding(answer) and method != "HEAD" else content.getvalue()


def _replay(
    method: str, answer: urllib3.BaseHTTPResponse, content: bytes
) -> urllib3.BaseHTTPResponse:
    """Return an answer with the content that was read."""
    return urllib3.HTTPResponse(
        io.BytesIO(content),
        headers=answer.headers,
        status=answer.status,
        reason=answer.reason,
        version=answer.version,
        decode_content=False,
        enforce_content_length=False,
        request_method=method,
    )
