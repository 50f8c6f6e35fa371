"""Keep secrets in memory out of core dumps and away from other processes of the same user."""

from __future__ import annotations

import resource
import sys

_SET_DUMPABLE = 4


def forbid_dumps() -> None:
    """Disable core dumps and access to this process's memory by other processes of the user.

    The limit alone is not enough: the kernel ignores it where core dumps are piped to a program.
    Where the kernel supports only one of the two, that one is used.

    Source: core(5) and prctl(2), `PR_SET_DUMPABLE`.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)
