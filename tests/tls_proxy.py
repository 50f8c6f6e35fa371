"""The reverse proxy of http_proxy.py, with TLS towards its clients."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import trustme
from tests.http_proxy import Behaviour, HttpProxy, Request


class TlsProxy(HttpProxy):
    """Listens on loopback with a certificate for `name` from `authority`."""

    def __init__(
        self,
        upstream: str,
        choose: Callable[[Request], Behaviour],
        authority: trustme.CA,
        name: str = "127.0.0.1",
    ) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued = authority.issue_cert(name)
        issued.configure_cert(self._context)
        self.certificate = issued.cert_chain_pems[0].bytes()
        """Its own alone."""
        super().__init__(upstream, choose)
        self.address = self.address.replace("http:", "https:")

    def get_request(self) -> Any:
        connection, address = super().get_request()
        return self._context.wrap_socket(connection, server_side=True), address
