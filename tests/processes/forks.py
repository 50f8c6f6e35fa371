"""Becomes the agent's commands: a process that has loaded everything, and forks one for each order.

Starting Python and loading the agent is most of what a short command costs. Here it is paid once
for all tests of a process. An order comes over the socket of standard input: what to run, where
and in which environment, and the four files it gets: its three standard ones, and the one to which
its exit status is written. A fork begins as a new process would: nothing of the agent was run
before it, and it has no file, environment or signal handler but those it is given.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

_LONGEST = 1 << 20
_FILES = 4
_WAITING = ("gcs.upload", "http.download", "http.patience")


def serve(orders: socket.socket) -> None:
    """Fork until nobody gives orders any more."""
    _load()
    waker, woken = socket.socketpair()
    for end in (waker, woken):
        end.setblocking(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever presses Ctrl-C means the tests
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([orders, woken], (), ())
        if woken in ready:
            woken.recv(4096)
            _report(running)
        if orders in ready:
            message, files, _, _ = socket.recv_fds(orders, _LONGEST, _FILES)
            if not message:
                return
            *standard, status = files
            pid = os.fork()
            if pid == 0:
                _become(json.loads(message), standard)
            for file in standard:
                os.close(file)
            running[pid] = status
            os.write(status, b"%d\n" % pid)


def _report(running: dict[int, int]) -> None:
    """Tell of each that has ended how it did."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            status = running.pop(ended[0])
            with suppress(BrokenPipeError):  # nobody waits for it
                os.write(status, b"%d\n" % os.waitstatus_to_exitcode(ended[1]))
            os.close(status)


def _load() -> None:
    """Import every module of the agent and what it needs, and run none of it."""
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # as the agent does before it imports
    import raft_snapshot_agent

    prefix = f"{raft_snapshot_agent.__name__}."
    for module in pkgutil.walk_packages(raft_snapshot_agent.__path__, prefix):
        importlib.import_module(module.name)
    gc.collect()
    gc.freeze()


def _become(order: dict[str, object], standard: list[int]) -> None:
    """Be the command that was ordered, to its end."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, file in enumerate(standard):
            os.dup2(file, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.environ.clear()
        os.environ.update(order["environment"])  # type: ignore[call-overload]
        time.tzset()
        os.chdir(str(order["folder"]))
        sys.argv = list(order["arguments"])  # type: ignore[call-overload]
        sys.stdin, sys.stdout, sys.stderr = map(_opened, range(3), "rww")
        if order["impatient"]:
            lose_patience()
        _enter(str(order["entry"]))
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001 - as Python tells of one that nobody caught
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def lose_patience() -> None:
    """Try again as often as ever what a storage failed at, without the waits in between."""
    import stamina

    stamina.set_testing(True, attempts=3, cap=True)
    shorten_waits(setattr)


def shorten_waits(set_to: Callable[[object, str, object], None]) -> None:
    """Set the waits before a request is made again to none, as many as they are."""
    for name in _WAITING:
        module = importlib.import_module(f"raft_snapshot_agent.storage.{name}")
        set_to(module, "_WAITS", (0.0,) * len(module._WAITS))


def _enter(entry: str) -> None:
    """Call `MODULE:FUNCTION`, or run a script."""
    module, _, function = entry.partition(":")
    if function:
        getattr(importlib.import_module(module), function)()
    else:
        runpy.run_path(entry, run_name="__main__")


def _opened(number: int, mode: str) -> TextIO:
    """Open a standard file as Python does at its start."""
    ours = (sys.stdin, sys.stdout, sys.stderr)[number]
    raw = open(number, f"{mode}b", closefd=False)  # noqa: SIM115 - it stays open
    lines = number == 2 or raw.isatty()
    return io.TextIOWrapper(raw, ours.encoding, ours.errors, line_buffering=lines)


if __name__ == "__main__":
    serve(socket.socket(fileno=os.dup(0)))
