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
from typing import Any, TextIO

_LONGEST = 1 << 20
_FILES = 4
# What libraries load when it is used.
_LOADED_WHEN_USED = (
    "anyio._backends._asyncio",
    "anyio._core._signals",
    "encodings.idna",
    "encodings.unicode_escape",
    "encodings.utf_8_sig",
    "pydantic.type_adapter",
    "typer._adapters",
    "typer._click._textwrap",
    "typer._click.decorators",
)
_WAITING = ("gcs.upload", "http.download", "http.patience")


def serve(orders: socket.socket) -> None:
    """Fork until nobody gives orders any more."""
    load()
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


def load() -> None:
    """Import and build all that a command would, and run none of it."""
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # as the agent does before it imports
    import raft_snapshot_agent

    prefix = f"{raft_snapshot_agent.__name__}."
    for module in pkgutil.walk_packages(raft_snapshot_agent.__path__, prefix):
        importlib.import_module(module.name)
    for name in _LOADED_WHEN_USED:
        importlib.import_module(name)
    _build_models()
    _build_commands()
    _load_authorities()
    gc.collect()
    gc.freeze()


def _build_models() -> None:
    """Build the validators of all models, which the agent does for the ones it meets."""
    from pydantic import BaseModel
    from pydantic.dataclasses import is_pydantic_dataclass, rebuild_dataclass

    models = [BaseModel]
    for model in models:
        models += model.__subclasses__()
    for model in models:
        if not model.__pydantic_complete__ and model.__module__.startswith("raft_snapshot_agent."):
            model.model_rebuild()
    for module in [one for name, one in sys.modules.items() if name.startswith("raft_snapshot_")]:
        for value in vars(module).values():
            if isinstance(value, type) and is_pydantic_dataclass(value):
                rebuild_dataclass(value)


def _build_commands() -> None:
    """Build the tree of commands and options, once."""
    import typer.main

    from raft_snapshot_agent.cli.app import app

    build = typer.main.get_command
    built = build(app)
    groups: list[Any] = [built]
    for group in groups:
        for one in group.commands.values():
            groups += [one] if hasattr(one, "commands") else []
            for parameter in one.params:
                parameter.get_runtime_param()
    typer.main.get_command = lambda typer_instance: (
        built if typer_instance is app else build(typer_instance)
    )


def _load_authorities() -> None:
    """Load whom the system trusts; where that changed since, the agent loads it anew."""
    from raft_snapshot_agent.network.trust import TlsOptions, context

    context(TlsOptions())


def _forget_authorities() -> None:
    from raft_snapshot_agent.network import trust

    trust._load_context.cache_clear()


def _become(order: dict[str, Any], standard: list[int]) -> None:
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
        os.environ.update(order["environment"])
        if any(name.startswith("SSL_CERT_") for name in os.environ):
            _forget_authorities()
        time.tzset()
        os.chdir(str(order["folder"]))
        sys.argv = list(order["arguments"])
        for number in order["closed"]:
            os.close(number)
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
        for stream in filter(None, (sys.stdout, sys.stderr)):
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


def _opened(number: int, mode: str) -> TextIO | None:
    """Open a standard file as Python does at its start: nothing for a closed one."""
    try:
        os.fstat(number)
    except OSError:
        return None
    ours = (sys.stdin, sys.stdout, sys.stderr)[number]
    raw = open(number, f"{mode}b", closefd=False)  # noqa: SIM115 - it stays open
    lines = number == 2 or raw.isatty()
    return io.TextIOWrapper(raw, ours.encoding, ours.errors, line_buffering=lines)


if __name__ == "__main__":
    serve(socket.socket(fileno=os.dup(0)))
