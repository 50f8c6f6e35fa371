"""Servers of other people's, each a script beside this file, run for the tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOPBACK = "127.0.0.1"
USERNAME = "backup"
SWIFT_USER = "test:backup"
PASSWORD = "pässword"


@contextmanager
def running(script: str, log: Path, *arguments: str) -> Iterator[str]:
    """Run a server's script until the end of the block; yield the line it prints when it serves."""
    path = Path(__file__).with_name(script)
    command = [sys.executable, "-W", "ignore", str(path), *arguments]
    with (
        log.open("w") as told,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=told, text=True) as server,
    ):
        assert server.stdout is not None
        try:
            line = server.stdout.readline().strip()
            assert line, f"{script} does not serve: {log.read_text()}"
            yield line
        finally:
            server.kill()
