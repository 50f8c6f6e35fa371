"""Keeps the memory of this process, which holds secrets, out of cores and from its neighbours."""

from __future__ import annotations

import resource
import sys

_SET_DUMPABLE = 4


def forbid_dumps() -> None:
    """Disable core dumps, and reading the memory by other processes of this user.

    The limit alone is not enough: where cores are piped to a program, the kernel ignores it. A
    kernel that knows only one of both is left at that.

    Source: core(5) and prctl(2), `PR_SET_DUMPABLE`.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)
