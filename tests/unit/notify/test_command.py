"""Programs that are run for a message: what they get, and what they may not do."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from tests.unit.core.statuses import NOW
from tests.unit.notify.notices import channel, notice, notifier
from tests.unit.processes import until

from raft_snapshot_agent.errors import ConfigError, NotificationError
from raft_snapshot_agent.notify.message import document, encode, make_test

SECRET = "a-secret-in-the-environment"


def program(folder: Path, *lines: str) -> str:
    """Write a program in Python that the agent can run."""
    path = folder / "told"
    path.write_text("\n".join((f"#!{sys.executable}", "import json, os, sys, time", *lines)) + "\n")
    path.chmod(0o700)
    return str(path)


def test_a_program_gets_the_document_on_its_input(tmp_path: Path) -> None:
    path = program(
        tmp_path,
        "open(sys.argv[1], 'w').write(sys.stdin.read())",
        "print('done', os.environ['RAFT_SNAPSHOT_EVENT'], os.environ['RAFT_SNAPSHOT_STATE'])",
    )
    out = tmp_path / "out ; $(touch x)"
    said = channel("exec", command=(path, str(out))).send(notice())
    assert said == "exit code 0: done failed firing"
    assert json.loads(out.read_text()) == document(notice())
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted((out.name, "told"))


def test_a_program_is_told_of_a_test_by_one_word(tmp_path: Path) -> None:
    path = program(
        tmp_path, "print(os.environ['RAFT_SNAPSHOT_EVENT'], json.load(sys.stdin)['event'])"
    )
    assert channel("exec", command=(path,)).send(make_test(NOW)) == "exit code 0: test test"


def test_no_disk_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told may be that it is full, and containers often have none to write to."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    said = channel("exec", command=(program(tmp_path, "print(len(sys.stdin.read()))"),))
    assert said.send(notice()) == f"exit code 0: {len(encode(notice()))}"


def test_a_program_sees_no_secret_of_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VAULT_TOKEN", "AWS_SECRET_ACCESS_KEY", "MY_PASSWORD", "NOTIFY_SOCKET"):
        monkeypatch.setenv(name, SECRET)
    path = program(tmp_path, "json.dump(dict(os.environ), open(sys.argv[1], 'w'))")
    channel("exec", command=(path, str(tmp_path / "seen"))).send(notice())
    seen = json.loads((tmp_path / "seen").read_text())
    assert SECRET not in seen.values()
    assert {"PATH", "RAFT_SNAPSHOT_EVENT"} <= set(seen)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("print('no\\nroute'); sys.exit(7)", "ended with 7: no route"),
        ("time.sleep(600)", "did not end within 1 s"),
        ("os.close(1); os.close(2); time.sleep(600)", "did not end within 1 s"),
        ("os.kill(os.getpid(), 15)", "ended with -15"),
    ],
)
def test_a_program_that_fails_or_hangs_is_told_in_one_line(
    tmp_path: Path, line: str, said: str
) -> None:
    path = program(tmp_path, line)
    with pytest.raises(NotificationError) as caught:
        channel("exec", command=(path,), timeout="1s" if "sleep" in line else "60s").send(notice())
    assert said in str(caught.value)


def test_an_endless_talker_fills_no_memory(tmp_path: Path) -> None:
    path = program(tmp_path, "while True: os.write(1, b'x' * 65536)")
    with pytest.raises(NotificationError) as caught:
        channel("exec", command=(path,), timeout="1s").send(notice())
    assert len(str(caught.value)) < 1000


def test_who_reads_nothing_and_leaves_a_child_holds_nobody_up(tmp_path: Path) -> None:
    path = program(
        tmp_path,
        "child = os.fork()",
        "if not child: time.sleep(600)",
        "open(sys.argv[1], 'w').write(str(child))",
    )
    pid = tmp_path / "pid"
    assert channel("exec", command=(path, str(pid)), timeout="2m").send(notice()) == "exit code 0"
    child = int(pid.read_text())
    try:
        until(lambda: is_dead(child), within=60)
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_program_that_is_not_there_is_known_before(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    for command in (("no-such-program",), (str(plain),), (str(tmp_path / "gone"),)):
        with pytest.raises(ConfigError):
            notifier("exec", command=command).check([""])
        with pytest.raises(NotificationError):
            channel("exec", command=command).send(notice())
    notifier("exec", command=("sh", "-c", "true")).check([""])
