"""Authenticates requests to Azure's Blob service by account key or SAS.

Source: "Authorize with Shared Key" and "Create a service SAS" of Azure Storage's documentation.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self
from urllib.parse import parse_qsl, urlsplit

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.redaction import remember

_SIGNED = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
_OWN = "x-ms-"


@dataclass(frozen=True, slots=True)
class Unsigned:
    """One request before it is signed."""

    method: str
    url: str
    """URL, encoded, without parameters."""
    query: Mapping[str, str]
    """In lower case."""
    headers: Mapping[str, str]
    """Likewise."""


class AzureIdentity(Protocol):
    """Authenticates a request."""

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters that authenticate a request."""

    def headers(self, doing: str, request: Unsigned) -> Mapping[str, str]:
        """Return the headers that authenticate a request.

        Arguments:
            doing: Start of the error message.
            request: The request.
        """

    def forget(self) -> bool:
        """Drop cached credentials; return whether a retry may help."""


@dataclass(frozen=True, slots=True)
class SharedKey:
    """An account key."""

    account: str
    key: bytes = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, account: str, key: str) -> Self:
        """Parse a key.

        Raises:
            ConfigError: It is not valid.
        """
        try:
            raw = b64decode(key, validate=True)
        except ValueError:
            raw = b""
        if not raw:
            raise ConfigError(
                "Invalid Access Key: it is not in base64",
                hint="copy it whole: az storage account keys list",
            )
        return cls(account, raw)

    def headers(self, _doing: str, request: Unsigned) -> Mapping[str, str]:
        text = "".join(f"{line}\n" for line in self._lines(request)).encode()
        # The resource is the last line, without a line feed.
        signature = hmac.digest(self.key, text[:-1], hashlib.sha256)
        return {"authorization": f"SharedKey {self.account}:{b64encode(signature).decode()}"}

    def forget(self) -> bool:
        return False

    def _lines(self, request: Unsigned) -> Iterator[str]:
        yield request.method
        for name in _SIGNED:
            value = request.headers.get(name, "")
            yield "" if (name, value) == ("content-length", "0") else value
        own = sorted(name for name in request.headers if name.startswith(_OWN))
        yield from (f"{name}:{' '.join(request.headers[name].split())}" for name in own)
        yield f"/{self.account}{urlsplit(request.url).path}"
        yield from (f"{name}:{request.query[name]}" for name in sorted(request.query))


@dataclass(frozen=True, slots=True)
class SharedSignature:
    """A shared access signature (SAS), which is part of each request's URL."""

    query: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, token: str) -> Self:
        """Parse a SAS.

        Raises:
            ConfigError: It is not valid.
        """
        given = dict(parse_qsl(token.strip().lstrip("?")))
        if "sig" not in given:
            raise ConfigError(
                "the SAS is not valid: it has no sig",
                hint="copy it whole, from sv= on: az storage container generate-sas",
            )
        remember(given["sig"])
        return cls(given)

    def headers(self, _doing: str, _request: Unsigned) -> Mapping[str, str]:
        return {}

    def forget(self) -> bool:
        return False
