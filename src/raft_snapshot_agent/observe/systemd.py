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
from raft_snapshot_agent.errors import AgentError, LeaseFree, LeaseHeld

_MICROSECONDS = 1_000_000


class SystemdNotifier:
    """Sends the state of the service to systemd; does nothing without systemd."""

    def __init__(self, environ: Mapping[str, str] = os.environ, subject: str = "") -> None:
        """Read the notification socket from the environment.

        Arguments:
            environ: Environment set by systemd.
            subject: Prefix of every status, such as the name of a cluster.
        """
        self._environ = environ
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._watchdog = _watchdog(environ)
        self._subject = f"{subject}: " if subject else ""

    def about(self, subject: str) -> SystemdNotifier:
        """Return a notifier whose status lines begin with the name of one cluster."""
        return SystemdNotifier(self._environ, subject)

    @property
    def heartbeat(self) -> timedelta | None:
        """How often to call `alive`; `None` if systemd has no watchdog for the service."""
        return None if self._watchdog is None else self._watchdog / 3

    def ready(self, status: str) -> None:
        """Report that the service is ready after a start or a reload."""
        self._send("READY=1", self._status(status))

    def status(self, status: str) -> None:
        """Set the line shown by `systemctl status`."""
        self._send(self._status(status))

    def reloading(self) -> None:
        """Report that the configuration is being reloaded, until `ready`."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """Report that the service is stopping."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Reset the watchdog timer."""
        self._send("WATCHDOG=1")

    def _status(self, text: str) -> str:
        return f"STATUS={' '.join(f'{self._subject}{text}'.split())}"

    def _send(self, *assignments: str) -> None:
        if self._address is None:
            return
        # A missing systemd must not stop the service.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(1)
            datagrams.sendto("\n".join(assignments).encode(), self._address)


def summary(report: Report) -> str:
    """Return the result of the last run in one line."""
    match report.outcome:
        case Outcome.OK:
            where = ", ".join(one.storage for one in report.deliveries if one.error is None)
            return f"Last snapshot at {report.finished_at:%Y-%m-%d %H:%M:%S} UTC to {where}."
        case Outcome.PARTIAL:
            failed = ", ".join(one.storage for one in report.deliveries if one.error is not None)
            return f"Last snapshot did not reach {failed}; see the log."
        case Outcome.SKIPPED:
            return f"Standing by: {_tell_skip(report.error)}."
        case _:
            return "The last snapshot failed; see the log."


def _tell_skip(why: AgentError | None) -> str:
    match why:
        case LeaseFree():
            return "this agent does not hold the lease"
        case LeaseHeld():
            return "another agent holds the lease"
        case _:
            return "this node does not lead"


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
