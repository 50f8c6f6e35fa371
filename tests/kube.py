"""A small API server of Kubernetes that knows Leases, as strict as the real one is with them.

Source: the API reference of coordination.k8s.io/v1, "Resource Versions" and "Status" in the API
concepts, and `MicroTime`, which is parsed with six digits of a second.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import trustme

from raft_snapshot_agent.servers.process import LOOPBACK

NAMESPACE = "vault"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.test-of-leases.c2lnbmF0dXJl"
_PATH = re.compile(r"/apis/coordination\.k8s\.io/v1/namespaces/([^/]+)/leases(?:/([^/?]+))?")
_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")


class _Refusal(Exception):
    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class Kube:
    """Leases in one namespace, behind TLS and a bearer token."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._versions = 100
        self.leases: dict[str, dict[str, Any]] = {}
        self.tokens = {TOKEN}
        self.forbidden: set[str] = set()
        """Verbs that the role lacks."""
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer((LOOPBACK, 0), self._handler())
        authority = trustme.CA()
        self._authority = folder / "ca.crt"
        authority.cert_pem.write_to_path(str(self._authority))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(LOOPBACK).configure_cert(context)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def kubeconfig(self, token: str = TOKEN) -> Path:
        """Write a file such as kubectl uses."""
        server = {
            "server": f"https://{LOOPBACK}:{self.port}",
            "certificate-authority": str(self._authority),
        }
        context = {"cluster": "test", "user": "agent", "namespace": NAMESPACE}
        document = {
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": server}],
            "users": [{"name": "agent", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": context}],
        }
        path = self._folder / "kubeconfig"
        path.write_text(json.dumps(document))
        return path

    def service_account(self, token: str = TOKEN) -> Path:
        """Write the files that a pod has."""
        folder = self._folder / "serviceaccount"
        folder.mkdir(exist_ok=True)
        (folder / "token").write_text(token)
        (folder / "namespace").write_text(NAMESPACE)
        (folder / "ca.crt").write_bytes(self._authority.read_bytes())
        return folder

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, verb: str, path: str, token: str, body: Any) -> tuple[int, dict[str, Any]]:
        """Do what a request asks for; return its status and document."""
        self.requests.append(verb)
        try:
            with self._lock:
                return self._done(verb, path, token, body)
        except _Refusal as refusal:
            status = {"reason": refusal.reason, "message": str(refusal), "code": refusal.code}
            return refusal.code, {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "metadata": {},
                **status,
            }

    def _done(self, verb: str, path: str, token: str, body: Any) -> tuple[int, dict[str, Any]]:
        found = _PATH.fullmatch(path)
        if found is None:
            raise _Refusal(404, "NotFound", "the server could not find the requested resource")
        if token not in self.tokens:
            raise _Refusal(401, "Unauthorized", "Unauthorized")
        namespace, name = found.groups()
        if verb in self.forbidden or namespace != NAMESPACE:
            what = 'leases.coordination.k8s.io is forbidden: User "agent" cannot'
            raise _Refusal(403, "Forbidden", f"{what} {verb} resource in {namespace!r}")
        match verb:
            case "get":
                return 200, self._found(name)
            case "create":
                return 201, self._created(body)
            case "update":
                return 200, self._replaced(name, body)
            case _:
                del self.leases[name]
                return 200, {"kind": "Status", "status": "Success"}

    def _found(self, name: str) -> dict[str, Any]:
        if name not in self.leases:
            what = f'leases.coordination.k8s.io "{name}" not found'
            raise _Refusal(404, "NotFound", what)
        return self.leases[name]

    def _created(self, lease: dict[str, Any]) -> dict[str, Any]:
        name = lease["metadata"]["name"]
        if lease["metadata"].get("resourceVersion"):
            what = "resourceVersion should not be set on objects to be created"
            raise _Refusal(400, "BadRequest", what)
        if name in self.leases:
            what = f'leases.coordination.k8s.io "{name}" already exists'
            raise _Refusal(409, "AlreadyExists", what)
        return self._kept(name, lease)

    def _replaced(self, name: str, lease: dict[str, Any]) -> dict[str, Any]:
        old = self._found(name)
        expected = lease["metadata"].get("resourceVersion")
        if not expected:
            what = "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"
            raise _Refusal(422, "Invalid", what)
        if expected != old["metadata"]["resourceVersion"]:
            what = "the object has been modified; please apply your changes to the latest version"
            raise _Refusal(409, "Conflict", what)
        return self._kept(name, lease)

    def _kept(self, name: str, lease: dict[str, Any]) -> dict[str, Any]:
        spec = lease["spec"]
        for moment in ("acquireTime", "renewTime"):
            if spec.get(moment) is not None and not _MICRO_TIME.fullmatch(spec[moment]):
                raise _Refusal(400, "BadRequest", f"parsing time {spec[moment]!r} as MicroTime")
        if not isinstance(spec["leaseDurationSeconds"], int) or spec["leaseDurationSeconds"] < 1:
            raise _Refusal(422, "Invalid", "leaseDurationSeconds: must be greater than 0")
        self._versions += 7
        about = {key: one for key, one in lease["metadata"].items() if one is not None}
        about |= {"namespace": NAMESPACE, "resourceVersion": str(self._versions)}
        self.leases[name] = {**lease, "metadata": about}
        return self.leases[name]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        kube = self
        verbs: Mapping[str, str] = {"GET": "get", "POST": "create", "PUT": "update"}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or "null")
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                code, document = kube.answer(verbs[self.command], self.path, token, body)
                text = json.dumps(document).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = _serve  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None: ...

        return Handler
