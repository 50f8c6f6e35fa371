"""Let all threads of this process share one heap."""

from __future__ import annotations

import sys

_ARENA_MAX = -8


def share_heap() -> None:
    """Make threads that start from now on allocate from the heap of the first.

    By default the C library gives up to eight heaps to each processor, and freed memory of one
    is of no use to threads of another. This process needs no more than one: Python allocates
    while it holds its lock. Other C libraries than glibc are left as they are.

    Source: mallopt(3), `M_ARENA_MAX`.
    """
    if sys.platform == "linux":
        import ctypes

        library = ctypes.CDLL(None)
        if hasattr(library, "mallopt"):
            library.mallopt(_ARENA_MAX, 1)
