"""Signals that arrive before the daemon obeys them, and after it has ended.

On a busy host, its start takes a second. Until then they would end it by default, or nothing would
happen where it is the first process of a container.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

OBEYED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
_noted: list[int] | None = []
"""`None`: the daemon has taken them, and obeys the others."""


def catch_early_signals() -> None:
    """Exit at SIGTERM and SIGINT, and note the others for the daemon; after it, ignore all."""
    global _noted  # noqa: PLW0603 - as the handlers, it belongs to the process
    _noted = []
    for one in OBEYED:
        signal.signal(one, _note)


def take_early_signals() -> list[int]:
    """Return the signals that came before the daemon."""
    global _noted
    taken, _noted = _noted or [], None
    return taken


def _note(number: int, _: FrameType | None) -> None:
    if _noted is None:
        return
    if number in {signal.SIGTERM, signal.SIGINT}:
        # Nothing is to be cleaned up, and an exception during an import may become another or none.
        os._exit(0)
    _noted.append(number)
