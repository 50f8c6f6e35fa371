"""What is forked is told from what is started in nothing but the time it takes."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from tests.cluster import command as cluster
from tests.processes.command import Command

ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "VAULT_TOKEN": "é"}


@pytest.mark.parametrize(
    ("arguments", "data"),
    [
        (["--version"], None),
        (["no-such-command"], None),
        (["inspect", "here.snap"], None),
        (["inspect", "-"], b"no snapshot at all"),
        (["--debug", "list", "-c", "nowhere.yaml"], None),
        (["config", "show"], None),
    ],
)
def test_a_fork_does_as_a_process_of_its_own(
    tmp_path: Path, arguments: list[str], data: bytes | None
) -> None:
    (tmp_path / "here.snap").write_bytes(b"\x1f\x8b")
    started = subprocess.run(
        [*cluster.AGENT, *arguments],
        input=data or b"",
        capture_output=True,
        env=ENVIRONMENT,
        cwd=tmp_path,
        check=False,
    )
    forked = Command(arguments, env=ENVIRONMENT, folder=tmp_path, stdin=subprocess.PIPE)
    with forked:
        said = forked.communicate(data, timeout=60)
    assert (forked.wait(), *said) == (started.returncode, started.stdout, started.stderr)


def test_a_fork_is_seen_to_be_killed() -> None:
    read, write = os.pipe()
    with Command(["inspect", "-"], env=ENVIRONMENT, stdin=read) as forked:
        assert forked.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            forked.wait(0.01)
        forked.send_signal(signal.SIGKILL)
        assert forked.wait(60) == -signal.SIGKILL
    os.close(write)
    os.close(read)


@pytest.mark.parametrize(
    ("text", "code"), [("", 0), ("raise SystemExit", 0), ("raise SystemExit(3)", 3)]
)
def test_a_script_ends_as_it_says(tmp_path: Path, text: str, code: int) -> None:
    (script := tmp_path / "script.py").write_text(f"import sys\nprint(sys.argv[1])\n{text}\n")
    with Command(["one"], env=ENVIRONMENT, entry=str(script)) as forked:
        assert forked.communicate(timeout=60) == (b"one\n", b"")
    assert forked.returncode == code


def test_what_nobody_caught_is_told_as_python_does() -> None:
    with Command([], env=ENVIRONMENT, entry="os:no_such_function") as forked:
        _, said = forked.communicate(timeout=60)
    assert forked.returncode == 1
    assert b"Traceback" in said
    assert b"AttributeError" in said


@pytest.mark.parametrize("impatient", [True, False])
def test_only_an_impatient_fork_tries_again_without_a_wait(tmp_path: Path, impatient: bool) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import stamina; from raft_snapshot_agent.storage.http import patience as http;"
        "print(stamina.is_testing(), max(http._WAITS) == 0.0)"
    )
    forked = Command([], env=ENVIRONMENT, entry=str(script), impatient=impatient)
    with forked:
        assert forked.communicate(timeout=60) == (f"{impatient} {impatient}\n".encode(), b"")
