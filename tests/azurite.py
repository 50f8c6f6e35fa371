"""An Azure Blob Storage on loopback: Azurite."""

from __future__ import annotations

import base64
import hmac
import secrets
import sys
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlencode
from xml.etree import ElementTree as ET

import urllib3

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.servers.process import (
    LOOPBACK,
    ServerProcess,
    free_ports,
    program,
    release_ports,
    until,
)

ACCOUNT = "backups"
_MAIN = Path(sys.prefix) / "azurite/node_modules/azurite/dist/src/blob/main.js"
_VERSION = "2023-11-03"


class Azurite:
    """A running server with one account; what it holds is in memory."""

    account = ACCOUNT

    def __init__(self, folder: Path) -> None:
        if not _MAIN.exists():
            raise ConfigError("Azurite is not installed", hint="make .venv/azurite/stamp")
        (self._port,) = free_ports(1)
        self.endpoint = f"http://{LOOPBACK}:{self._port}/{ACCOUNT}"
        self.key = base64.b64encode(secrets.token_bytes(64)).decode()
        self._pool = urllib3.PoolManager(maxsize=8, retries=2, timeout=20.0)
        command = [
            program("node"),
            str(_MAIN),
            "--blobHost",
            LOOPBACK,
            "--blobPort",
            str(self._port),
            "--inMemoryPersistence",
            "--disableTelemetry",
            "--skipApiVersionCheck",
            "--silent",
        ]
        accounts = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{self.key}", "HOME": str(folder)}
        self._process = ServerProcess("azurite", command, folder / "azurite.log", accounts)

    def __enter__(self) -> Self:
        self._process.start()
        try:
            until(self._answers, "Azurite answers", within=60.0)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._pool.clear()
        release_ports([self._port])

    def create_container(self, name: str) -> None:
        assert self._ask("PUT", f"/{name}", {"restype": "container"}).status == 201

    def put(self, container: str, key: str, content: bytes) -> None:
        headers = {"x-ms-blob-type": "BlockBlob"}
        answer = self._ask("PUT", f"/{container}/{quote(key)}", {}, headers, content)
        assert answer.status == 201, answer.data

    def keys(self, container: str) -> list[str]:
        return [element.findtext("Name", "") for element in self._blobs(container)]

    def tiers(self, container: str) -> dict[str, str | None]:
        return {
            element.findtext("Name", ""): element.findtext("Properties/AccessTier")
            for element in self._blobs(container)
        }

    def sas(self, container: str, rights: str) -> str:
        """Sign a token for a container, such as with the `rights` racwdl.

        Source: "Create a service SAS", version 2020-12-06 and later.
        """
        expiry = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
        fields = [rights, "", expiry, f"/blob/{ACCOUNT}/{container}", "", "", "", _VERSION, "c"]
        signature = self._sign("\n".join([*fields, *[""] * 7]))
        pairs = {"sv": _VERSION, "sr": "c", "sp": rights, "se": expiry, "sig": signature}
        return urlencode(pairs)

    def _blobs(self, container: str) -> list[ET.Element]:
        found: list[ET.Element] = []
        marker = ""
        while True:
            query = {"comp": "list", "marker": marker, "restype": "container"}
            answer = self._ask("GET", f"/{container}", query)
            page = ET.fromstring(answer.data)
            found += page.iterfind("Blobs/Blob")
            marker = page.findtext("NextMarker", "")
            if not marker:
                return found

    def _ask(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> urllib3.BaseHTTPResponse:
        """Make a request signed with the account's key.

        Source: "Authorize with Shared Key".
        """
        own = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _VERSION, **(headers or {})}
        length = str(len(body)) if body else ""
        lines = "".join(f"{name}:{own[name]}\n" for name in sorted(own))
        resource = f"/{ACCOUNT}/{ACCOUNT}{path}"
        resource += "".join(f"\n{name}:{query[name]}" for name in sorted(query))
        text = f"{method}\n\n\n{length}\n\n\n\n\n\n\n\n\n{lines}{resource}"
        own["authorization"] = f"SharedKey {ACCOUNT}:{self._sign(text)}"
        url = f"{self.endpoint}{path}" + (f"?{urlencode(query)}" if query else "")
        return self._pool.request(method, url, headers=own, body=body or None)

    def _sign(self, text: str) -> str:
        digest = hmac.digest(base64.b64decode(self.key), text.encode(), "sha256")
        return base64.b64encode(digest).decode()

    def _answers(self) -> bool:
        self._process.check()
        try:
            return self._pool.request("GET", self.endpoint, retries=False).status > 0
        except urllib3.exceptions.HTTPError:
            return False
