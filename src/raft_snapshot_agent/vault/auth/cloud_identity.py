"""Requests to metadata servers and token services, which attest this host's identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.error_text import read_document
from raft_snapshot_agent.errors import Denied, ServerError, Unreachable
from raft_snapshot_agent.network.pools import is_plain, open_pool
from raft_snapshot_agent.network.proxies import route
from raft_snapshot_agent.network.trust import TlsOptions

_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class CloudIdentity:
    """A service that attests this host's identity."""

    name: str
    hint: str
    """What to check after a failure."""

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> str:
        """Make a request and return the answer's text; redirects are not followed.

        Raises:
            Unreachable: There was no answer.
            Denied: The request was refused.
        """
        # Imported here, because settings are read without the HTTP library, which is slow to load.
        from urllib3 import Timeout

        from raft_snapshot_agent.network.exchange import exchange
        from raft_snapshot_agent.vault.transport_errors import Asked, map_errors, refuse_for_proxy

        parts = urlsplit(url)
        where = f"{self.name} at {parts.scheme}://{parts.netloc}"
        proxy = route(url)
        asked = Asked(url, where, proxy)
        with open_pool(TlsOptions(), proxy, tls=not is_plain(url)) as pool:
            try:
                with map_errors(asked):
                    response = exchange(
                        pool,
                        method,
                        url,
                        seconds=_SECONDS,
                        headers=dict(headers),
                        body=body,
                        timeout=Timeout(total=_SECONDS),
                    )
            except Unreachable as error:
                hint = error.hint if proxy else self.hint
                raise Unreachable(error.message, hint=hint) from error
        refuse_for_proxy(asked, response)
        text = response.data.decode("utf-8", "replace").strip()
        if response.status != 200:
            said = read_document(text).with_status(response.status)
            raise Denied(f"{where} answers with {said}", hint=self.hint)
        return text

    def ask_json(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> dict[str, Any]:
        """Request a JSON object.

        Raises:
            Unreachable: There was no answer.
            Denied: The request was refused.
            ServerError: The answer is not a JSON object.
        """
        try:
            document = read_json(self.ask(method, url, headers, body))
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise ServerError(f"{self.name} does not answer with JSON", hint=self.hint)
        return document

    def require_text(self, document: Mapping[str, Any], key: str) -> str:
        """Return a text field of an answer.

        Raises:
            ServerError: The field is missing or not a text.
        """
        value = document.get(key)
        if not isinstance(value, str) or not value:
            raise ServerError(f"{self.name} answers without {key}", hint=self.hint)
        return value
