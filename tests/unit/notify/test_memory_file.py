"""The memory of what was told, where a daemon and a run of one snapshot share it."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.core.statuses import NOW
from tests.unit.notify.notices import record

from raft_snapshot_agent.core.alarms.alert_events import AlertEvent
from raft_snapshot_agent.core.alarms.notices import AlertRecord, NoticeMemory
from raft_snapshot_agent.errors import NotificationError
from raft_snapshot_agent.flock import locked
from raft_snapshot_agent.notify import memory_file
from raft_snapshot_agent.notify.memory_file import MemoryFile

TIMES = 15
WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from raft_snapshot_agent.core.alarms.notices import NoticeMemory
from raft_snapshot_agent.notify import memory_file
from raft_snapshot_agent.notify.memory_file import MemoryFile

memory_file._WAIT = 300
folder, who, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
file, memories = MemoryFile(folder, "a.yaml"), {}
print("ready", flush=True)
sys.stdin.readline()
for number in range(times):
    begun = {f"{who}-{one}": "run" for one in range(number + 1)}
    base, memories = memories, {"webhook": NoticeMemory(begun=begun)}
    file.merge(base, memories)
"""


def remembering(*records: AlertRecord) -> dict[str, NoticeMemory]:
    return {"webhook": NoticeMemory({one.alert.key: one for one in records})}


def test_two_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), who, str(TIMES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for who in ("daemon", "once")
    ]
    for one in writers:
        assert one.stdout is not None
        assert one.stdout.readline() == b"ready\n"
    for one in writers:
        assert one.stdin is not None
        one.stdin.write(b"go\n")
        one.stdin.flush()
    for one in writers:
        one.communicate(timeout=300)
        assert one.returncode == 0

    (memory,) = MemoryFile(tmp_path, "a.yaml").read().values()
    assert len(memory.begun) == 2 * TIMES
    assert sorted(one.suffix for one in tmp_path.iterdir()) == [".json", ".lock"]


def test_what_another_entered_stays_and_what_was_dropped_goes(tmp_path: Path) -> None:
    ours, theirs = record(storage="a"), record(storage="b")
    daemon, once = MemoryFile(tmp_path, "a.yaml"), MemoryFile(tmp_path, "a.yaml")
    daemon.merge({}, remembering(ours))
    once.merge(remembering(ours), remembering(ours, theirs))
    told = record(storage="a", told=NOW + timedelta(hours=1))
    daemon.merge(remembering(ours), remembering(told))
    assert daemon.read() == remembering(told, theirs)

    daemon.merge(remembering(told), remembering())
    assert daemon.read() == remembering(theirs)


def test_a_notifier_that_is_not_configured_any_more_is_forgotten(tmp_path: Path) -> None:
    file = MemoryFile(tmp_path, "a.yaml")
    file.merge({}, {"old": NoticeMemory(), "webhook": NoticeMemory()})
    file.merge(file.read(), {"webhook": NoticeMemory(sent={AlertEvent.FAILED: NOW})})
    assert [*file.read()] == ["webhook"]


def test_a_file_that_somebody_removed_is_written_whole(tmp_path: Path) -> None:
    file, known = MemoryFile(tmp_path, "a.yaml"), remembering(record(storage="a"))
    file.merge({}, known)
    next(tmp_path.glob("*.json")).unlink()
    file.merge(known, {**known, "other": NoticeMemory()})
    assert file.read() == {**known, "other": NoticeMemory()}


def test_a_process_that_never_lets_go_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_file, "_WAIT", 0.1)
    file = MemoryFile(tmp_path, "a.yaml")
    file.merge({}, {})
    with (
        locked(next(tmp_path.glob("*.lock")), 0),
        pytest.raises(NotificationError, match=r"another process has held .*lock for") as caught,
    ):
        file.merge({}, remembering())
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
