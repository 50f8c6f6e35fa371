from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_SIZE = 8 << 20


@pytest.fixture
def full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of 8 MiB: a real one where we may mount, else one that only says it is full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode == 0:
        yield folder
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        return
    left = [_SIZE]

    def refuse(file: int, size: int) -> int:
        if Path(f"/proc/self/fd/{file}").readlink().is_relative_to(folder):
            left[0] -= size
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return 0

    write, writev = os.write, os.writev
    monkeypatch.setattr(
        os, "write", lambda file, content: refuse(file, len(content)) or write(file, content)
    )
    monkeypatch.setattr(
        os, "writev", lambda file, all_: refuse(file, sum(map(len, all_))) or writev(file, all_)
    )
    yield folder
