"""What is forked is told from what is started in nothing but the time it takes."""

from __future__ import annotations

import json
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


def test_a_fork_finds_everything_loaded_and_built(tmp_path: Path) -> None:
    settings = {"path": str(tmp_path / "none"), "type": "local"}
    (tmp_path / "agent.json").write_text(
        json.dumps(
            {"vault": {"auth": {"token": "none", "method": "token"}}, "storages": [settings]}
        )
    )
    script = tmp_path / "script.py"
    script.write_text(
        "import sys; from raft_snapshot_agent.__main__ import main;"
        "from pydantic._internal import _model_construction as models; from typer import utils;"
        "built = []; models.complete_model_class = lambda *_, **__: built.append('a model');"
        "utils.get_params_from_function = lambda one: built.append(one);"
        "before = set(sys.modules); sys.argv = ['', 'list', '-c', 'agent.json']\n"
        "try: main()\n"
        "finally: print(built, sorted(set(sys.modules) - before))"
    )
    with Command([], env=ENVIRONMENT, folder=tmp_path, entry=str(script)) as forked:
        said, _ = forked.communicate(timeout=60)
    assert said.decode().endswith("[] []\n")


@pytest.mark.parametrize(("name", "found"), [("SSL_CERT_FILE", 0), ("SSL_CERT_DIR", 0), ("A", 1)])
def test_a_fork_trusts_whom_its_own_environment_names(
    tmp_path: Path, name: str, found: int
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from raft_snapshot_agent.network import trust; trust.context(trust.TlsOptions());"
        "print(trust._load_context.cache_info().hits)"
    )
    (tmp_path / "nobody.pem").touch()
    environment = {**ENVIRONMENT, name: str(tmp_path / "nobody.pem")}
    with Command([], env=environment, entry=str(script)) as forked:
        assert forked.communicate(timeout=60)[0] == f"{found}\n".encode()
