"""Runs the agent's command again and again in one process, and measures it.

A process of its own, so that memory, threads and files are the agent's and not the test's; one
for many commands, so that what one of them leaves behind is seen by those after it, and the start
is paid once. It speaks lines of JSON: what to run, and how that ended.
"""

from __future__ import annotations

import ctypes
import gc
import io
import json
import os
import sys
import threading
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

from tests.processes.forks import lose_patience

from raft_snapshot_agent.__main__ import main

_libc = ctypes.CDLL(None)


def work() -> None:
    lose_patience()
    answers = sys.stdout
    for line in sys.stdin:
        folder, arguments = json.loads(line)
        os.chdir(folder)
        answers.write(json.dumps(measured(arguments)) + "\n")
        answers.flush()


def measured(arguments: list[str]) -> dict[str, Any]:
    gc.unfreeze()  # a command keeps all it has loaded out of the search for garbage, for its process
    gc.collect()
    _libc.malloc_trim(0)  # or what was freed after all the lies before adds up
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    said, began, code = io.StringIO(), time.monotonic(), -1
    with (
        redirect_stdout(said),
        redirect_stderr(said),
        mock.patch.object(sys, "argv", ["raft-snapshot-agent", *arguments]),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else -1
    return {
        "code": code,
        "said": said.getvalue(),
        "seconds": time.monotonic() - began,
        "peak": _peak(),
        "threads": threading.active_count(),
        "files": len(list(Path("/proc/self/fd").iterdir())),
    }


def _peak() -> int:
    """Bytes of memory at the most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (kib,) = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(kib) * 1024


if __name__ == "__main__":
    work()
