"""Notifies systemd, for a service of `Type=notify`.

Source: sd_notify(3) and sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

from raft_snapshot_agent.core.state.report import Outcome, Report
from raft_snapshot_agent.errors import LeaseHeld

_MICROSECONDS = 1_000_000


class Notifier:
    """Tells systemd how the service is; without systemd it tells nobody."""

    def __init__(self, environ: Mapping[str, str] = os.environ, subject: str = "") -> None:
        """Read from the environment which socket to notify.

        Arguments:
            environ: As systemd gave it to the service.
            subject: What every status begins with, where there is more than one.
        """
        self._environ = environ
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._watchdog = _watchdog(environ)
        self._subject = f"{subject}: " if subject else ""

    def about(self, subject: str) -> Notifier:
        """Return a notifier whose messages name one of several clusters."""
        return Notifier(self._environ, subject)

    @property
    def heartbeat(self) -> timedelta | None:
        """How often `alive` is wanted; `None`: not at all."""
        return None if self._watchdog is None else self._watchdog / 3

    def ready(self, status: str) -> None:
        """Notify that the service is ready, after its start or a reload."""
        self._send("READY=1", self._status(status))

    def status(self, status: str) -> None:
        """Notify what the service does, in a line for `systemctl status`."""
        self._send(self._status(status))

    def reloading(self) -> None:
        """Notify that the configuration is being reloaded, until `ready`."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """Notify that the service is stopping."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Keep the watchdog quiet."""
        self._send("WATCHDOG=1")

    def _status(self, text: str) -> str:
        return f"STATUS={' '.join(f'{self._subject}{text}'.split())}"

    def _send(self, *assignments: str) -> None:
        if self._address is None:
            return
        # systemd that went away must not take the service with it.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(1)
            datagrams.sendto("\n".join(assignments).encode(), self._address)


def summary(report: Report) -> str:
    """Return in one line how the last run ended."""
    match report.outcome:
        case Outcome.OK:
            where = ", ".join(one.storage for one in report.deliveries if one.error is None)
            return f"Last snapshot at {report.finished_at:%Y-%m-%d %H:%M:%S} UTC to {where}."
        case Outcome.PARTIAL:
            failed = ", ".join(one.storage for one in report.deliveries if one.error is not None)
            return f"Last snapshot did not reach {failed}; see the log."
        case Outcome.SKIPPED:
            held = isinstance(report.error, LeaseHeld)
            why = "another agent holds the lease" if held else "this node does not lead"
            return f"Standing by: {why}."
        case _:
            return "The last snapshot failed; see the log."


def _address(name: str) -> str | None:
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else None


def _watchdog(environ: Mapping[str, str]) -> timedelta | None:
    pid = environ.get("WATCHDOG_PID", "")
    try:
        interval = timedelta(seconds=int(environ.get("WATCHDOG_USEC", "")) / _MICROSECONDS)
    except ValueError:
        return None
    meant_for_us = not pid or pid == str(os.getpid())
    return interval if meant_for_us and interval > timedelta(0) else None
