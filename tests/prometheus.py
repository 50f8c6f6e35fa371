"""Prometheus and its tool, where `make test` or this host has them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from raft_snapshot_agent.core.state.status import AgentStatus
from raft_snapshot_agent.metrics.exposition import exposition
from raft_snapshot_agent.servers.process import (
    LOOPBACK,
    ServerProcess,
    free_ports,
    release_ports,
    until,
)

_ROOT = Path(__file__).parent.parent
_FOLDERS = f"{os.environ['PATH']}:{_ROOT / '.venv' / 'prometheus' / 'usr' / 'bin'}"
PROMTOOL = shutil.which("promtool", path=_FOLDERS)
PROMETHEUS = shutil.which("prometheus", path=_FOLDERS)
# `make test` fetches both where Debian's packages are to be had; nothing else reads the rules as they do.
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not here: it comes with Debian's package prometheus"
)
needs_prometheus = pytest.mark.skipif(
    PROMETHEUS is None, reason="prometheus is not here: it comes with Debian's package prometheus"
)


class Exporter:
    """Serves what is said to be the status; nothing: it answers 503."""

    def __init__(self, status: Callable[[], AgentStatus | None]) -> None:
        self.asked: list[str] = []
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                accept = self.headers.get("Accept", "")
                exporter.asked.append(accept)
                if (now := status()) is None:
                    self.send_error(503)
                    return
                kind, content = exposition(now, accept)
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass(frozen=True)
class Prometheus:
    """A real one, with our alert rules, that scrapes every second."""

    port: int
    process: ServerProcess

    def ask(self, path: str) -> Any:
        """Return the data that its API answers with."""
        self.process.check()
        with urlopen(f"http://{LOOPBACK}:{self.port}/api/v1/{path}", timeout=120) as answer:
            return json.load(answer)["data"]

    def firing(self) -> set[str]:
        """Name the alerts that fire now."""
        alerts = self.ask("alerts")["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    def ready(self) -> bool:
        with suppress(OSError, URLError):
            return bool(self.ask("query?query=raft_snapshot_build_info")["result"])
        return False


@contextmanager
def prometheus(folder: Path, target: int, rules: str) -> Iterator[Prometheus]:
    """Run one that scrapes a port of this host.

    Arguments:
        folder: Where it keeps everything.
        target: The port.
        rules: Text of the alert rules.
    """
    (port,) = free_ports(1)
    (folder / "rules.yaml").write_text(rules)
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {"job_name": "agents", "static_configs": [{"targets": [f"{LOOPBACK}:{target}"]}]}
        ],
    }
    (folder / "prometheus.yaml").write_text(json.dumps(config))
    command = [
        str(PROMETHEUS),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={LOOPBACK}:{port}",
        "--log.level=warn",
    ]
    process = ServerProcess("prometheus", command, folder / "prometheus.log", {"PATH": "/bin"})
    found = Prometheus(port, process)
    process.start()
    try:
        until(found.ready, "Prometheus has scraped", within=120, pause=0.2)
        yield found
    finally:
        process.kill()
        release_ports([port])
