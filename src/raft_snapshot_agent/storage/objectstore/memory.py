"""How the C library deals with the memory of large pieces."""

from __future__ import annotations

import contextlib
from functools import cache

_M_MMAP_THRESHOLD = -3
"""Source: glibc's malloc.h."""
_LARGE = 1 << 20


@cache
def give_memory_back() -> None:
    """Have freed pieces returned at once; by itself glibc keeps some for every thread."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):  # another C library has no such need
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
