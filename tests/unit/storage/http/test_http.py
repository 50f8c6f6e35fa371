"""What a request over plain HTTP ends with is told without holes, whatever the library raised."""

from __future__ import annotations

from datetime import timedelta
from ssl import SSLCertVerificationError, SSLError
from typing import Any

import pytest
from tests.holes import HOLES
from urllib3 import HTTPResponse, connection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    IncompleteRead,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)
from urllib3.exceptions import SSLError as LibrarySSLError

from raft_snapshot_agent.errors import StorageError, StorageUnavailable
from raft_snapshot_agent.network.trust import TlsOptions
from raft_snapshot_agent.storage.http.http import Http, refusal

UNTRUSTED = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {} (_ssl.c:1000)"
NOBODY: Any = connection.HTTPConnection("127.0.0.1")
RAISED = [
    HTTPError(),
    ProtocolError(""),
    ProtocolError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer")),
    IncompleteRead(1, 2),
    ReadTimeoutError(NOBODY, "", ""),
    ConnectTimeoutError(),
    NewConnectionError(NOBODY, ""),
    NameResolutionError("", NOBODY, OSError()),  # type: ignore[arg-type]
    LibrarySSLError(""),
    LibrarySSLError(SSLError(1, "")),
    LibrarySSLError(SSLCertVerificationError(1, UNTRUSTED.format(""))),
    OSError(),
    OSError(5, "line\x1b[2J\nbreak"),
    TimeoutError(),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("url", ["https://dav.example.org/a", "swift", ""])
def test_no_message_has_a_hole(error: Exception, url: str) -> None:
    http = Http(timedelta(seconds=1), TlsOptions())
    with pytest.raises(StorageError) as caught, http.translated("cannot store a", url):
        raise error
    assert caught.value.hint
    assert str(caught.value).isprintable()
    assert not HOLES.search(str(caught.value)), str(caught.value)


def test_the_systems_reason_stands_in_the_message() -> None:
    http = Http(timedelta(seconds=1), TlsOptions())
    with (
        pytest.raises(StorageUnavailable) as caught,
        http.translated("cannot store a", "https://a"),
    ):
        raise ProtocolError("broken") from ConnectionResetError(104, "Connection reset by peer")
    assert str(caught.value) == (
        "cannot store a: the connection to a broke: Connection reset by peer"
        " (it may be temporary; check the store)"
    )


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("unable to get local issuer certificate", "likely set ca_file"),
        ("certificate has expired", "renew it there"),
        ("EE certificate key too weak", "a stronger key"),
        ("Hostname mismatch, certificate is not valid for 'a'", "another host's"),
    ],
)
def test_a_certificate_is_not_trusted_for_a_reason(reason: str, hint: str) -> None:
    http = Http(timedelta(seconds=1), TlsOptions())
    with (
        pytest.raises(StorageError, match=reason) as caught,
        http.translated("cannot", "https://a"),
    ):
        raise LibrarySSLError(SSLCertVerificationError(1, UNTRUSTED.format(reason)))
    assert hint in caught.value.hint


BODIES = [b"", b"\x00\xff", b"{}", b"[]", b"<a/>", b"null", b"\n \n"]


@pytest.mark.parametrize("status", [301, 401, 403, 413, 418, 423, 500, 501, 507])
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("reason", [None, "", "Odd"])
def test_no_refusal_has_a_hole(status: int, body: bytes, reason: str | None) -> None:
    answer = HTTPResponse(body, status=status, reason=reason)
    error = refusal("cannot store a", answer, denied="allow it", otherwise="check url")
    assert error.hint
    assert str(status) in error.message
    assert str(error).isprintable()
    assert not HOLES.search(str(error)), str(error)


def test_what_is_no_text_is_not_shown() -> None:
    headers = {"content-type": "application/octet-stream"}
    answer = HTTPResponse(b"binary", status=500, reason="Odd", headers=headers)
    error = refusal("cannot store a", answer, denied="", otherwise="")
    assert error.message == "cannot store a: the store answered 500 Odd"
