"""How an object store is reached: what all that speak HTTP have in common."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

from raft_snapshot_agent import __version__
from raft_snapshot_agent.errors import ConfigError, StorageError, StorageUnavailable, reason_of
from raft_snapshot_agent.network.address import ProxyAddress, looked_up
from raft_snapshot_agent.network.clear_text import refuse_plain_http
from raft_snapshot_agent.network.failures import Trouble
from raft_snapshot_agent.network.library import proxy_options
from raft_snapshot_agent.redaction import remember

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_OF_A_SECRET = re.compile("KEY$|SECRET|TOKEN$|PASSWORD|CONNECTION_STRING")
_CONNECT = timedelta(seconds=5)
_RETRY_FOR = timedelta(seconds=60)
_AS_LONG_AS_IT_TAKES = timedelta(days=7)


def bare_endpoint(endpoint: str) -> str:
    """Accept scheme, host and port, and nothing else."""
    url = _split(endpoint)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ValueError("must be a URL with its scheme, such as https://minio.example.org:9000")
    if url.username or url.password or url.query or url.fragment or url.path.strip("/"):
        raise ValueError("must be scheme, host and port only: no credentials, path or query")
    return f"{url.scheme}://{url.netloc}"


def server_url(url: str) -> str:
    """Accept scheme, host, port and path, and cut the slashes off the end."""
    parts = _split(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be a URL with its scheme, such as https://store.example.org/backups")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must be scheme, host, port and path only: no credentials, no query")
    return url.rstrip("/")


def _split(url: str) -> SplitResult:
    try:
        usable = urlsplit(url).port != 0
    except ValueError:  # of a port that is none, or of brackets
        usable = False
    if not usable:
        what = "its port must be a number from 1 to 65535, and an IPv6 address stands in brackets"
        raise ValueError(f"is not a URL: {what}, such as https://[2001:db8::1]:9000")
    return urlsplit(url)


Endpoint = Annotated[str, AfterValidator(bare_endpoint)]


def environment(*names: str) -> str | None:
    """Tell the first of these environment variables that is set, and not to nothing."""
    found = next((name for name in names if os.environ.get(name)), None)
    if found is None:
        return None
    if _OF_A_SECRET.search(found):
        remember(os.environ[found])
    return os.environ[found]


def environment_endpoint(allow_http: bool | None, *names: str) -> str | None:
    """Tell the endpoint in the first of these environment variables that is set."""
    endpoint = environment(*names)
    if endpoint is None:
        return None
    try:
        refuse_plain_http(checked := bare_endpoint(endpoint), allow_http)
    except ValueError as error:
        raise ConfigError(f"the endpoint in the environment, {endpoint}: {error}") from error
    return checked


def client_config(
    endpoint: str,
    timeout: timedelta,
    ca_file: Path | None,
    *,
    streaming: bool,
    proxy: ProxyAddress | None = None,
    others: Iterable[str] = (),
) -> ClientConfig:
    """Configure the HTTP client.

    Arguments:
        endpoint: The store's.
        timeout: For the whole of a request; for one of `streaming` between bytes only.
        ca_file: Trusted beside the system's certificates.
        streaming: Whether answers are long.
        proxy: The one of the configuration; by default the environment's.
        others: Whom else the client asks, for credentials.

    Raises:
        ConfigError: The certificates cannot be read, or a proxy cannot be used.
    """
    config: ClientConfig = {
        "allow_http": endpoint.startswith("http:"),
        "connect_timeout": min(_CONNECT, timeout),
        "timeout": timeout,
        "user_agent": f"raft-snapshot-agent/{__version__}",
    }
    way = proxy_options((endpoint, *others), looked_up(proxy))
    config |= {"proxy_url": way.url, "proxy_excludes": way.excludes}
    if streaming:
        config |= {"timeout": _AS_LONG_AS_IT_TAKES, "read_timeout": timeout}
    if ca_file is not None:
        config["root_certificate"] = _certificates(ca_file)
    return config


def trouble_at_proxy(doing: str, trouble: Trouble) -> StorageError:
    """Translate a failure of the proxy's, not of the store's."""
    kind = StorageError if trouble.lasting else StorageUnavailable
    return kind(f"{doing}: {trouble.why}", hint=trouble.hint)


def retry_config(timeout: timedelta) -> RetryConfig:
    """Retry briefly: a store that refuses is known within seconds, one that hangs in minutes."""
    return {
        "max_retries": 4,
        "retry_timeout": min(_RETRY_FOR, timeout),
        "backoff": {
            "init_backoff": timedelta(milliseconds=250),
            "max_backoff": timedelta(seconds=5),
            "base": 2,
        },
    }


def _certificates(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read the certificates in {path}: {reason_of(error)}", hint="check ca_file"
        ) from error
