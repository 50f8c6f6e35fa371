"""Disks that are full or cannot be written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_AS_ROOT = [] if os.geteuid() == 0 else ["sudo", "-n"]


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a disk of `size`, such as `8m`, on a folder."""
    owner = f"uid={os.geteuid()},mode=0700"
    _root("mount", "-t", "tmpfs", "-o", f"size={size},{owner}", "tmpfs", str(folder))
    try:
        yield
    finally:
        _root("umount", "--lazy", str(folder))


def freeze(folder: Path) -> None:
    """Make a mounted disk read-only, as a kernel does after errors."""
    _root("mount", "-o", "remount,ro", str(folder))


def thaw(folder: Path) -> None:
    """Make it writable again."""
    _root("mount", "-o", "remount,rw", str(folder))


def _root(*command: str) -> None:
    subprocess.run([*_AS_ROOT, *command], check=True, capture_output=True, timeout=20)
