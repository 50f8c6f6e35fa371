"""Keystone's `POST /v3/auth/tokens` on loopback, in a thread, written after its documentation.

The real one needs a database and a web server of its own; this answers as it does, for two
credentials, with a token that is good at a real Swift.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.stores.fixtures import Account
from tests.stores.running import LOOPBACK, PASSWORD, USERNAME

APPLICATION = "app-id"
APPLICATION_SECRET = "app-secret"
PROJECT = "backups"

_PASSWORD = {
    "identity": {
        "methods": ["password"],
        "password": {
            "user": {"name": USERNAME, "domain": {"name": "Default"}, "password": PASSWORD}
        },
    },
    "scope": {"project": {"name": PROJECT, "domain": {"name": "Default"}}},
}
_APPLICATION = {
    "identity": {
        "methods": ["application_credential"],
        "application_credential": {"id": APPLICATION, "secret": APPLICATION_SECRET},
    }
}


@dataclass(slots=True)
class Keystone:
    """A running one."""

    url: str = ""
    regions: dict[str, str] = field(default_factory=dict)
    """The object store of each region."""
    logins: int = 0


@contextmanager
def running_keystone(account: Account) -> Iterator[Keystone]:
    """Run one whose tokens open an account."""
    keystone = Keystone(regions={"one": account.storage_url})

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            keystone.logins += 1
            if self.path != "/identity/v3/auth/tokens":
                return self._answer(404, {"error": {"code": 404}})
            if asked["auth"] not in (_PASSWORD, _APPLICATION):
                return self._answer(401, {"error": {"code": 401, "title": "Unauthorized"}})
            return self._answer(201, {"token": {"catalog": _catalog(keystone)}}, account.token)

        def _answer(self, status: int, document: Any, token: str = "") -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            if token:
                self.send_header("X-Subject-Token", token)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        keystone.url = f"http://{LOOPBACK}:{server.server_address[1]}/identity"
        serving = threading.Thread(target=server.serve_forever, args=(0.02,))
        serving.start()
        try:
            yield keystone
        finally:
            server.shutdown()
            serving.join()


def _catalog(keystone: Keystone) -> list[dict[str, Any]]:
    stores = [
        {"interface": interface, "region": region, "region_id": region, "url": url}
        for region, public in keystone.regions.items()
        for interface, url in (("internal", "http://internal.example/v1"), ("public", public))
    ]
    return [
        {"type": "identity", "name": "keystone", "endpoints": []},
        {"type": "object-store", "name": "swift", "endpoints": stores},
    ]
