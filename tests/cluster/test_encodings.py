"""Names that a terminal, or the locale, cannot express: shown escaped, and never a defect."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cluster.command import environment

from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster

NAME = "büro→"
COMMANDS = (
    "list",
    "doctor",
    "status",
    "check",
    "inspect --latest",
    "verify --all",
    "prune --dry-run",
    "config check",
    "config show",
)
some_or_all = pytest.mark.parametrize(
    "commands",
    [
        pytest.param(COMMANDS[:2], id="two"),
        pytest.param(COMMANDS[2:], id="the others", marks=pytest.mark.soak),
    ],
)
LOCALE = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def run(folder: Path, command: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    agent = [sys.executable, "-m", "raft_snapshot_agent", *command.split()]
    return subprocess.run(
        [*agent, "-c", folder / "agent.json"],
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


@pytest.fixture
def folder(bao: OpenBaoCluster, approle: AppRole, tmp_path: Path) -> Path:
    auth = {"method": "approle", "role_id": approle.role_id, "secret_id": approle.secret_id}
    local = {"type": "local", "name": NAME, "path": str(tmp_path / NAME)}
    document = {
        "vault": {"address": bao.leader().address, "auth": auth},
        "spool": str(tmp_path / "spool"),
        "storages": [local],
    }
    (tmp_path / "agent.json").write_text(json.dumps(document))
    return tmp_path


@some_or_all
def test_a_terminal_that_cannot_show_a_name_gets_it_escaped(
    folder: Path, commands: tuple[str, ...]
) -> None:
    done = run(folder, "run --once", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    for command in commands:
        usual, ascii_only = (
            run(folder, command, PYTHONIOENCODING=encoding) for encoding in ("utf-8", "ascii")
        )
        assert ascii_only.stderr == usual.stderr.decode().encode("ascii", "backslashreplace")
        assert ascii_only.returncode == usual.returncode
        assert (b"b\\xfcro\\u2192" in ascii_only.stdout) == (NAME.encode() in usual.stdout)


@pytest.mark.parametrize("command", ["run --once", "list", "config check"])
def test_a_locale_that_cannot_express_a_path_is_told(folder: Path, command: str) -> None:
    told = run(folder, command, **LOCALE)
    assert told.returncode == 1
    assert told.stderr.startswith(b"error: ")
    assert told.stderr.count(b"\n") == 1
    assert b"cannot be expressed in ascii, the encoding of this locale" in told.stderr
    assert b"PYTHONUTF8=1" in told.stderr


@some_or_all
def test_no_command_takes_such_a_locale_for_a_defect(
    folder: Path, commands: tuple[str, ...]
) -> None:
    for command in commands:
        told = run(folder, command, **LOCALE)
        assert b"unexpected" not in told.stderr + told.stdout
        assert b"bug" not in told.stderr + told.stdout
