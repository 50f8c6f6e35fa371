"""Connections to a server, by HTTP, HTTPS, proxy or unix socket, and their errors."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

import urllib3

from raft_snapshot_agent.errors import ConfigError, Unreachable
from raft_snapshot_agent.network.exchange import SMALL, exchange
from raft_snapshot_agent.network.pools import Pools
from raft_snapshot_agent.network.trust import TlsOptions
from raft_snapshot_agent.network.unix import UnixPool
from raft_snapshot_agent.observe.debug_log import log_request
from raft_snapshot_agent.vault.exposure import exposes, exposure, proxy_to
from raft_snapshot_agent.vault.settings import TlsSettings, VaultSettings
from raft_snapshot_agent.vault.transport_errors import Asked, map_errors, refuse_for_proxy


class NodeConnection:
    """The connections to one address."""

    def __init__(self, address: str, settings: VaultSettings) -> None:
        """Open a pool of connections; no network I/O.

        Raises:
            ConfigError: A certificate, key or proxy cannot be used, or others could read the token
                on the way.
        """
        proxy = proxy_to(address, settings.proxy)
        if exposes(address, settings):
            raise exposure(address)
        named = bool(settings.tls.ca_file or settings.tls.ca_path)
        self._asked = Asked(address, address, proxy, named)
        self._base = "" if address.startswith("unix:") else address
        unix = address.startswith("unix:")
        self._pools = Pools(_trust(settings.tls), server_hostname=settings.tls.server_name)
        self._unix = UnixPool(urlsplit(address).path) if unix else None
        self._pool()

    def ask(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        patience: str = "timeout",
        most: int = SMALL,
        **how: Any,
    ) -> urllib3.BaseHTTPResponse:
        """Make one request, without retries or redirects.

        Arguments:
            method: HTTP method.
            path: Path below the address.
            seconds: Total time limit; see `exchange`.
            patience: Name of the time-out setting below `vault`, for the hint.
            most: Most bytes of the answer.
            how: Further arguments of `exchange` and of urllib3's `urlopen`.

        Raises:
            Unreachable: There was no answer, or a certificate or key cannot be used.
        """
        try:
            pool = self._pool()
        except ConfigError as error:  # as while a program renews a certificate
            what = f"cannot reach {self._asked.shown}: {error.message}"
            raise Unreachable(what, hint=error.hint) from error
        with self.map_errors(patience), log_request(method, self._asked.url + path) as request:
            answer = exchange(pool, method, self._base + path, seconds=seconds, most=most, **how)
            request.status = answer.status
        refuse_for_proxy(self._asked, answer)
        return answer

    def map_errors(self, patience: str = "timeout") -> AbstractContextManager[None]:
        """Map errors of the HTTP library to one-line messages."""
        return map_errors(self._asked, patience)

    def close(self) -> None:
        """Close idle connections; the next request opens one."""
        (self._unix or self._pools).clear()

    def _pool(self) -> Any:
        if self._unix is not None:
            return self._unix
        try:
            return self._pools.pool(self._asked.url, self._asked.proxy)
        except ConfigError as error:
            raise ConfigError(f"vault.tls: {error.message}", hint=error.hint) from error


def _trust(tls: TlsSettings) -> TlsOptions:
    return TlsOptions(
        ca_file=tls.ca_file,
        ca_path=tls.ca_path,
        skip_verify=tls.skip_verify,
        system=False,
        client_cert=tls.client_cert,
        client_key=tls.client_key,
    )
