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
        self._name = name
        self.certificate = self.renew(authority)
        """Its own alone."""
        super().__init__(upstream, choose)
        self.address = self.address.replace("http:", "https:")

    def renew(self, authority: trustme.CA, clients: trustme.CA | None = None) -> bytes:
        """Show another certificate from now on, and accept certificates of `clients` only.

        Returns:
            The certificate.
        """
        issued = authority.issue_cert(self._name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(context)
        if clients is not None:
            clients.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        self._context = context
        return issued.cert_chain_pems[0].bytes()

    def get_request(self) -> Any:
        connection, address = super().get_request()
        return self._context.wrap_socket(connection, server_side=True), address
