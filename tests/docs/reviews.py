"""The part of Kubernetes that says whose a token is, as servers ask it at a login."""

from __future__ import annotations

import json
import threading
import time
from base64 import urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.docs.chart import NAMESPACE

from raft_snapshot_agent.servers.process import LOOPBACK

ACCOUNT = "raft-snapshot-agent"


class Reviews:
    """The part of Kubernetes' API that servers ask about tokens.

    Source: the API reference of authentication.k8s.io/v1, TokenReview.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        reviews = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                reviews.asked.append(asked["spec"])
                user = {"username": f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}", "uid": "u1"}
                status = {"authenticated": True, "user": user, "audiences": ["vault"]}
                text = json.dumps({**asked, "status": status}).encode()
                self.send_response(201)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.address = f"http://{LOOPBACK}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def account_token() -> str:
    """Make a token like those that Kubernetes projects; nobody here checks its signature."""
    account = {"name": ACCOUNT, "uid": "u1"}
    now = int(time.time())
    claims = {
        "aud": ["vault"],
        "exp": now + 3600,
        "iat": now,
        "nbf": now,
        "iss": "https://kubernetes.default.svc.cluster.local",
        "sub": f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}",
        "kubernetes.io": {"namespace": NAMESPACE, "serviceaccount": account},
    }
    parts = (json.dumps({"alg": "RS256", "kid": "k"}), json.dumps(claims), "s" * 256)
    return ".".join(urlsafe_b64encode(one.encode()).rstrip(b"=").decode() for one in parts)
