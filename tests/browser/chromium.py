"""A real Chromium, where `make soak` or this host has one, driven over WebDriver."""

from __future__ import annotations

import json
import os
import shutil
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from raft_snapshot_agent.servers.process import (
    LOOPBACK,
    ServerProcess,
    free_ports,
    release_ports,
    until,
)

DRIVER = shutil.which("chromedriver")
# `make soak` installs it where it may; a machine without Debian's packages has no browser to drive.
needs_chromium = pytest.mark.skipif(
    DRIVER is None or shutil.which("chromium") is None,
    reason="Chromium is not here: it comes with Debian's packages chromium and chromium-driver",
)
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)


class Browser:
    """One window."""

    def __init__(self, port: int) -> None:
        self._root = f"http://{LOOPBACK}:{port}"
        options = {"args": [*_ARGUMENTS]}
        logs = {"performance": "ALL", "browser": "ALL"}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logs}
        told = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{told['sessionId']}"

    def close(self) -> None:
        self._call("DELETE", self._session)

    def open(self, address: str) -> None:
        self._call("POST", f"{self._session}/url", {"url": address})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page and return what it returns."""
        body = {"script": script, "args": list(arguments)}
        return self._call("POST", f"{self._session}/execute/sync", body)

    def wait(self, script: str) -> Any:
        """Run a script in the page, which calls its last argument in the end."""
        self._call("POST", f"{self._session}/timeouts", {"script": 60_000})
        return self._call("POST", f"{self._session}/execute/async", {"script": script, "args": []})

    def press(self, keys: str) -> None:
        """Press keys, wherever the focus is."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        body = {"actions": [{"type": "key", "id": "keys", "actions": actions}]}
        self._call("POST", f"{self._session}/actions", body)

    def look(self, width: int, height: int, scheme: str, *, phone: bool = False) -> None:
        """Take the size of a screen, and what its user likes."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.tell("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.tell("Emulation.setEmulatedMedia", features=features)

    def tell(self, command: str, **parameters: Any) -> Any:
        """Send a command of the developer tools."""
        body = {"cmd": command, "params": parameters}
        return self._call("POST", f"{self._session}/goog/cdp/execute", body)

    def shoot(self, file: Path) -> None:
        """Write a picture of the window."""
        file.write_bytes(b64decode(self._call("GET", f"{self._session}/screenshot")))

    def requests(self) -> list[str]:
        """List the addresses that were asked since the last time."""
        said = self._call("POST", f"{self._session}/se/log", {"type": "performance"})
        events = [json.loads(one["message"])["message"] for one in said]
        sent = [one for one in events if one["method"] == "Network.requestWillBeSent"]
        return [one["params"]["request"]["url"] for one in sent]

    def complaints(self) -> list[str]:
        """List what the browser said of the pages, such as of their policy."""
        said = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [one["message"] for one in said]

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self._root}{path}", data=data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except HTTPError as error:
            with error:
                raise AssertionError(error.read().decode()[:2000]) from None


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """Run a browser."""
    (port,) = free_ports(1)
    home = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)}
    command = [str(DRIVER), f"--port={port}"]
    process = ServerProcess("chromedriver", command, folder / "chromedriver.log", home)

    def answers() -> bool:
        with suppress(OSError, URLError), urlopen(f"http://{LOOPBACK}:{port}/status", timeout=30):
            return True
        return False

    process.start()
    try:
        until(answers, "chromedriver answers", within=120)
        browser = Browser(port)
        try:
            yield browser
        finally:
            browser.close()
    finally:
        process.kill()
        release_ports([port])
