"""Checks endpoints and proxies, for all object stores."""

from __future__ import annotations

import os
import re
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

from raft_snapshot_agent.errors import ConfigError, StorageError, StorageUnavailable
from raft_snapshot_agent.network.address import is_host
from raft_snapshot_agent.network.clear_text import refuse_plain_http
from raft_snapshot_agent.network.failures import Trouble
from raft_snapshot_agent.redaction import remember

_OF_A_SECRET = re.compile("KEY$|SECRET|TOKEN$|PASSWORD|CONNECTION_STRING")


def bare_endpoint(endpoint: str) -> str:
    """Return an endpoint that has only scheme, host and port; refuse others."""
    url = _split(endpoint)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ValueError("must be a URL with its scheme, such as https://minio.example.org:9000")
    if url.username or url.password or url.query or url.fragment or url.path.strip("/"):
        raise ValueError("must be scheme, host and port only: no credentials, path or query")
    return f"{url.scheme}://{url.netloc}"


def server_url(url: str) -> str:
    """Return a URL of scheme, host, port and path, without slashes at the end; refuse others."""
    parts = _split(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be a URL with its scheme, such as https://store.example.org/backups")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must be scheme, host, port and path only: no credentials, no query")
    return url.rstrip("/")


def _split(url: str) -> SplitResult:
    try:
        usable = urlsplit(url).port != 0
    except ValueError:  # an invalid port or invalid brackets
        usable = False
    if not usable:
        what = "its port must be a number from 1 to 65535, and an IPv6 address stands in brackets"
        raise ValueError(f"is not a URL: {what}, such as https://[2001:db8::1]:9000")
    parts = urlsplit(url)
    if parts.hostname and not is_host(parts.hostname):
        raise ValueError("is not a URL: its host must be one name or address, without spaces")
    return parts


Endpoint = Annotated[str, AfterValidator(bare_endpoint)]


def environment(*names: str) -> str | None:
    """Return the first of these environment variables that is set and not empty.

    The line break at the end of a file, which no header may contain, is not part of the value.
    """
    values = ((name, os.environ.get(name, "").rstrip("\r\n")) for name in names)
    name, value = next(((name, value) for name, value in values if value), ("", None))
    if value is not None and _OF_A_SECRET.search(name):
        remember(value)
    return value


def environment_endpoint(allow_http: bool | None, *names: str) -> str | None:
    """Return the endpoint in the first of these environment variables that is set."""
    endpoint = environment(*names)
    if endpoint is None:
        return None
    try:
        refuse_plain_http(checked := bare_endpoint(endpoint), allow_http)
    except ValueError as error:
        raise ConfigError(f"the endpoint in the environment, {endpoint}: {error}") from error
    return checked


def trouble_at_proxy(doing: str, trouble: Trouble) -> StorageError:
    """Return the error for a failure of the proxy instead of the store."""
    kind = StorageError if trouble.lasting else StorageUnavailable
    return kind(f"{doing}: {trouble.why}", hint=trouble.hint)
