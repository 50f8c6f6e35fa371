"""One request and its answer: bounded in time as a whole, and in size while it is read."""

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

SMALL = 1 << 20
"""Most bytes of an answer that is no list; real ones have a few thousand."""
_STEP = 64 << 10
_FAILED = 300
"""From this status on an answer is a refusal, or a redirect, which nobody follows."""


class Unacceptable(HTTPError):
    """An answer that is not taken: too long, encoded unasked, or of no clear length."""


def exchange(
    pool: Any,
    method: str,
    url: str,
    *,
    seconds: float = math.inf,
    most: int = SMALL,
    streaming: bool = False,
    **how: Any,
) -> urllib3.BaseHTTPResponse:
    """Make one request; neither repeated nor redirected, and nothing in it is decoded.

    Arguments:
        pool: Of the library.
        method: The verb.
        url: As the pool wants it.
        seconds: From its beginning to the end of the answer; of a `streaming` one to its body.
        most: Bytes of the answer.
        streaming: Leave the answer's body to be read.
        how: Of the library's `urlopen`.

    Raises:
        HTTPError: There was no answer that can be taken.
    """
    answer: urllib3.BaseHTTPResponse | None = None
    try:
        with _ended_in_time(seconds):
            answer = pool.urlopen(
                method, url, retries=False, redirect=False, preload_content=False,
                decode_content=False, **how,
            )  # fmt: skip
            assert answer is not None  # noqa: S101 - the pool is of any kind
            return _take_answer(method, answer, most, streaming=streaming)
    except BaseException:
        if answer is not None:
            answer.close()
        raise


def _take_answer(
    method: str, answer: urllib3.BaseHTTPResponse, most: int, *, streaming: bool
) -> urllib3.BaseHTTPResponse:
    if answer.status >= _FAILED:
        return _replay(method, answer, _beginning(method, answer))
    _check_length(answer)
    if streaming:
        return answer
    _check_encoding(method, answer)
    return _replay(method, answer, _whole(method, answer, most))


def read_on(answer: urllib3.BaseHTTPResponse, size: int, seconds: float) -> bytes:
    """Read at most `size` bytes more of an answer, in so many seconds; empty at the end.

    Raises:
        HTTPError: They did not come.
    """
    with reading(answer, seconds):
        return answer.read(size, decode_content=False)


@contextmanager
def reading(answer: urllib3.BaseHTTPResponse, seconds: float) -> Iterator[Deadline]:
    """Read on in an answer for so many seconds, then cut it off.

    Raises:
        HTTPError: The rest did not come.
    """
    with _ended_in_time(seconds) as deadline:
        if isinstance(answer.connection, Watched):
            deadline.watch(answer.connection)
        yield deadline


@contextmanager
def _ended_in_time(seconds: float) -> Iterator[Deadline]:
    """Turn whatever comes of a connection that was cut off into a time-out.

    Also where it seems to have ended well: some answers end where their connection does.
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
    """Read an answer to its end, which lets its connection be used again."""
    declared = int(answer.headers.get("content-length", "0").partition(",")[0])
    # Closed at once: an error's traceback would keep what came until garbage is looked for.
    with io.BytesIO() as content:
        if declared <= most or method == "HEAD":
            while content.tell() <= most and (piece := answer.read(_STEP, decode_content=False)):
                content.write(piece)
        if content.tell() > most or (declared > most and method != "HEAD"):
            raise Unacceptable(f"its answer is longer than {most} bytes, a limit that is fixed")
        answer.release_conn()
        return content.getvalue()


def _beginning(method: str, answer: urllib3.BaseHTTPResponse) -> bytes:
    """Read what a refusal begins with; its status counts, however long or odd the rest is."""
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
    """Make an answer of what was read."""
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
