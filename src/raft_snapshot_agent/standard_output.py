"""Standard output, whose failures must be reported before the process ends."""

from __future__ import annotations

import os
import sys


def flush() -> None:
    """Flush standard output now, while a failure can still be reported.

    Raises:
        OSError: It cannot be written. Nothing can fail afterwards: whatever follows is dropped.
    """
    try:
        if sys.stdout:  # not closed at the start
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
