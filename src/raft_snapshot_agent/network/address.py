"""The URL of a proxy in the configuration."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.network.proxies import WRITTEN, Proxy, checked_proxy
from raft_snapshot_agent.redaction import remember
from raft_snapshot_agent.secret import Secret

_HOST = re.compile(
    r"(?:[\w-]{1,63}\.)*[\w-]{1,63}\.?|[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?:%[\w.-]+)?"
)
_NO_WORD = 16
"""Least characters; the last part of a path this long hardly occurs in another text."""


def is_host(text: str) -> bool:
    """Return whether a text is a host name, or an IP address without brackets."""
    if _HOST.fullmatch(text) is None:
        return False
    try:
        return text.isascii() or bool(text.encode("idna"))
    except UnicodeError:
        return False


class ProxyAddress(Secret):
    """The URL of an HTTP proxy, or a reference to one; the password is hidden in output."""

    __slots__ = ("_source",)

    def __init__(self, text: str, source: str = "") -> None:
        """Store the URL or reference, and the variable it comes from, if any."""
        super().__init__(text)
        self._source = source

    def resolve(self) -> str:
        """Resolve the URL.

        Raises:
            ConfigError: It is missing, or not the URL of a proxy.
        """
        text = super().resolve()
        try:
            checked_proxy(text)
        except ValueError as error:
            raise ConfigError(str(error), hint=WRITTEN) from None
        return text

    def _remember(self, text: str) -> None:
        """Register only the password as secret, so that messages can name the proxy."""
        remember(unquote(text.rpartition("@")[0].rpartition(":")[2]))

    def check(self) -> None:
        """Check that the text, unless it is a reference, is the URL of a proxy.

        Raises:
            ValueError: It is not a URL of a proxy.
        """
        if not self.is_reference:
            checked_proxy(self._text)

    def proxy(self, key: str) -> Proxy:
        """Return the proxy, resolved now.

        Arguments:
            key: Name for messages if the value does not come from a variable.

        Raises:
            ConfigError: It is missing, or not the URL of a proxy.
        """
        return Proxy.parse(super().resolve(), self._source or key)

    @property
    def reference(self) -> str:
        """The reference, or the URL without credentials."""
        if self.is_reference:
            return self._text
        url = checked_proxy(self._text)
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"


class SecretUrl(Secret):
    """A URL that grants access, or a reference to one; only its host may be shown."""

    __slots__ = ()

    def _remember(self, text: str) -> None:
        """Register as secret everything after the host, and the last part of the path."""
        for part in secret_parts(text):
            remember(part)


def secret_parts(url: str) -> tuple[str, ...]:
    """List the parts of such a URL that must be hidden."""
    _, _, behind = url.partition("://")
    path = behind.partition("/")[2]
    password = behind.partition("/")[0].rpartition("@")[0].rpartition(":")[2]
    last = path.rpartition("/")[2]
    parts = (path, last if len(last) >= _NO_WORD else "", password)
    return tuple(part for part in dict.fromkeys(parts) if part)


def _sound(address: ProxyAddress) -> ProxyAddress:
    address.check()
    return address


def resolve_proxy(address: ProxyAddress | None) -> Proxy | None:
    """Return the proxy configured for a storage, resolved now.

    Raises:
        ConfigError: It is missing, or not the URL of a proxy.
    """
    return None if address is None else address.proxy("the storage's key proxy")


ProxyUrl = Annotated[ProxyAddress, AfterValidator(_sound)]
