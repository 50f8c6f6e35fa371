"""Agents that are killed in the middle of their work.

For each line of standard input, a number N, it forks an agent that does `run --once` and kills
itself with SIGKILL before its N-th change to a file under the folder given; 0: never. Two lines of
JSON come back: the process ID, then the status and the steps that were done.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.processes import forks

from raft_snapshot_agent.__main__ import main as command

_CHANGES = (
    "open",
    "link",
    "rename",
    "replace",
    "unlink",
    "remove",
    "mkdir",
    "write",
    "writev",
    "pwrite",
    "ftruncate",
    "fsync",
    "fdatasync",
)
_KINDS = {
    ".spool": "spool",
    ".snap.partial": "partial snapshot",
    ".snap": "snapshot",
    ".json.partial": "partial manifest",
    ".snap.json": "manifest",
}


def main() -> None:
    configuration, root, *options = sys.argv[1:]
    forks.load()
    for line in sys.stdin:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _install(Path(root), int(line), writer)
            sys.argv = ["raft-snapshot-agent", "run", "--once", "-c", configuration, *options]
            _be_the_agent()
        os.close(writer)
        print(json.dumps({"pid": pid}), flush=True)
        with os.fdopen(reader) as steps:
            done = steps.read().splitlines()
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "steps": done}), flush=True)


def _be_the_agent() -> None:
    code = 70
    try:
        command()
    except SystemExit as ending:
        code = int(ending.code or 0)
    finally:
        os._exit(code)


def _install(root: Path, deadly: int, told: int) -> None:
    """Count and report every change under `root`, and die before the deadly one."""
    lock = threading.Lock()
    number = itertools.count(1)
    write = os.write

    def counted(name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **options: Any) -> Any:
            what = _what(root, arguments)
            if what is None:
                return change(*arguments, **options)
            with lock:
                if next(number) == deadly:
                    os.kill(os.getpid(), signal.SIGKILL)
                write(told, f"{name} {what}\n".encode())
            return change(*arguments, **options)

        return counting

    for name in _CHANGES:
        setattr(os, name, counted(name, getattr(os, name)))
    fcntl.flock = counted("flock", fcntl.flock)


def _what(root: Path, arguments: tuple[Any, ...]) -> str | None:
    """Say what kind of file under `root` a call is about; nothing for any other."""
    paths = [Path(_path(argument)) for argument in arguments[:2] if not isinstance(argument, list)]
    found = [path for path in paths if path.is_relative_to(root)]
    if not found:
        return None
    return _KINDS.get("".join(found[-1].suffixes[-2:]), _KINDS.get(found[-1].suffix, "folder"))


def _path(argument: Any) -> str:
    if isinstance(argument, int):
        with contextlib.suppress(OSError):
            return str(Path(f"/proc/self/fd/{argument}").readlink())
        return ""
    return os.fspath(argument) if isinstance(argument, str | Path) else ""


if __name__ == "__main__":
    main()
