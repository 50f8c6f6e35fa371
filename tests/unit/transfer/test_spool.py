from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from raft_snapshot_agent.core.snapshots.snapshot import ArchiveMeta, Snapshot
from raft_snapshot_agent.errors import Interrupted, SpoolError, Stopped, VerificationError
from raft_snapshot_agent.transfer.spool import Spool
from raft_snapshot_agent.transfer.spool_files import sweep

META = ArchiveMeta(index=4711, term=3, size=1)
SNAPSHOT = Snapshot(META, 1, "sha")
MIB = 1 << 20


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool.create(tmp_path, "0a1b2c") as made:
        yield made


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def everything(spool: Spool, step: int = 300_000) -> bytes:
    content = b""
    while piece := spool.read(len(content), step):
        content += piece
    return content


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_followers_read_what_was_written(spool: Spool, threads: ThreadPoolExecutor) -> None:
    content = os.urandom(3 * MIB + 5)
    followers = [threads.submit(everything, spool) for _ in range(5)]
    for start in range(0, len(content), 100_000):
        spool.write(content[start : start + 100_000])
    spool.complete()
    spool.accept(SNAPSHOT)
    assert all(follower.result(30) == content for follower in followers)


def test_a_follower_that_comes_late_reads_all_of_it(spool: Spool) -> None:
    spool.write(b"all of it")
    spool.complete()
    spool.accept(SNAPSHOT)
    assert everything(spool) == b"all of it"
    assert spool.verdict() == SNAPSHOT


def test_the_end_of_the_stream_is_not_the_end_for_a_follower(
    spool: Spool, threads: ThreadPoolExecutor
) -> None:
    spool.write(b"whole")
    spool.complete()
    follower = threads.submit(everything, spool)
    assert spool.wait_for_bytes(5) == 5
    assert not follower.done()
    spool.accept(SNAPSHOT)
    assert follower.result(30) == b"whole"


def test_follow_tells_how_far_it_may_be_read(spool: Spool) -> None:
    spool.write(b"x" * MIB)
    assert spool.follow(0) == MIB
    assert spool.follow(10) == MIB
    spool.write(b"y")
    spool.complete()
    assert spool.follow(MIB) == MIB + 1
    spool.accept(SNAPSHOT)
    assert spool.follow(MIB + 1) == MIB + 1


def test_the_first_bytes_are_seen_at_once(spool: Spool) -> None:
    spool.write(b"head")
    assert spool.read(0, 100) == b"head"


def test_any_number_of_small_chunks_keep_their_order(spool: Spool) -> None:
    """More than one system call takes."""
    chunks = [b"%06d" % number for number in range(5000)]
    for chunk in chunks:
        spool.write(chunk)
    spool.complete()
    spool.accept(SNAPSHOT)
    assert everything(spool) == b"".join(chunks)


def test_a_disk_that_takes_a_part_is_given_the_rest(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "writev", lambda file, chunks: os.write(file, b"".join(chunks)[:7]))
    for chunk in (b"the first", b"the second", b"the third"):
        spool.write(chunk)
    spool.complete()
    spool.accept(SNAPSHOT)
    assert everything(spool) == b"the firstthe secondthe third"


def test_what_meta_json_says_is_known_before_the_verdict(
    spool: Spool, threads: ThreadPoolExecutor
) -> None:
    waiting = threads.submit(spool.meta)
    spool.announce(META)
    assert waiting.result(30) == META


def test_a_failure_wakes_everybody(spool: Spool, threads: ThreadPoolExecutor) -> None:
    spool.write(b"begun")
    error = VerificationError("the snapshot is cut off")
    waiters: list[Callable[[], Any]] = [
        lambda: everything(spool),
        lambda: spool.follow(5),
        lambda: spool.wait_for_bytes(5),
        spool.meta,
        spool.verdict,
    ]
    waiting: list[Future[Any]] = [threads.submit(waiter) for waiter in waiters]
    spool.fail(error)
    assert [future.exception(30) for future in waiting] == [error] * len(waiters)
    with pytest.raises(VerificationError):
        spool.write(b"more")
    assert spool.error is error


def test_a_failure_after_the_last_byte_still_fails_the_followers(spool: Spool) -> None:
    spool.write(b"broken")
    spool.complete()
    spool.fail(VerificationError("the checksum is wrong"))
    with pytest.raises(VerificationError):
        everything(spool)


def test_the_first_verdict_stands(tmp_path: Path) -> None:
    with Spool.create(tmp_path, "aaaaaa") as failed:
        failed.fail(Interrupted("cut off"))
        failed.fail(VerificationError("too late"))
        assert isinstance(failed.error, Interrupted)
    with Spool.create(tmp_path, "bbbbbb") as accepted:
        accepted.complete()
        accepted.accept(SNAPSHOT)
        accepted.fail(VerificationError("too late"))
        assert accepted.error is None


def test_closing_removes_the_file_and_wakes_who_still_follows(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    with Spool.create(tmp_path, "0a1b2c") as spool:
        spool.write(b"begun")
        follower = threads.submit(spool.follow, 5)
    assert isinstance(follower.exception(30), Stopped)
    assert files(tmp_path) == []


def test_a_disk_that_fails_at_the_end_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    spool = Spool.create(tmp_path, "0a1b2c")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        spool.close()
    assert sweep(tmp_path) == {"0a1b2c"}, "its lock was released"


def test_a_file_that_somebody_truncated_fails_its_readers(spool: Spool) -> None:
    """Not as if it ended there, and not by asking again and again."""
    spool.write(b"whole")
    os.truncate(spool.path, 2)
    with pytest.raises(SpoolError, match="became shorter"):
        spool.peek(2, bytearray(3))
    with pytest.raises(SpoolError, match="became shorter"):
        everything(spool, 2)


def test_only_the_owner_may_read_it(spool: Spool, tmp_path: Path) -> None:
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_is_the_same_growing_file(spool: Spool, tmp_path: Path) -> None:
    spool.write(b"before")
    assert spool.link(tmp_path / "second")
    spool.write(b" and after")
    spool.complete()
    assert (tmp_path / "second").read_bytes() == b"before and after"


def test_only_the_first_gets_a_link_however_many_ask_at_once(spool: Spool, tmp_path: Path) -> None:
    spool.write(b"bytes")
    targets = [tmp_path / str(number) for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        linked = list(threads.map(spool.link, targets))
    assert sum(linked) == 1
    assert [target.exists() for target in targets] == linked


def test_a_link_into_a_missing_folder_is_an_error(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        spool.link(tmp_path / "missing" / "second")


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpoolError) as caught:
        Spool.create(tmp_path / "missing", "0a1b2c")
    assert "No such file or directory" in caught.value.message
    assert "missing" in caught.value.message
    assert caught.value.hint


def test_a_full_disk_is_told(full_disk: Path) -> None:
    with Spool.create(full_disk, "0a1b2c") as spool, pytest.raises(SpoolError) as caught:
        spool.write(bytes(16 * MIB))
    assert "No space left on device" in caught.value.message
    assert str(full_disk) in caught.value.message
    assert "free some space" in caught.value.hint


_MEMORY = """
import resource, sys, threading
from pathlib import Path
from raft_snapshot_agent.core.snapshots.snapshot import ArchiveMeta, Snapshot
from raft_snapshot_agent.transfer.spool import Spool
from raft_snapshot_agent.transfer.spool_files import sweep

def follow(spool):
    position = 0
    while piece := spool.read(position, 1 << 20):
        position += len(piece)

with Spool.create(Path(sys.argv[1]), "0a1b2c") as spool:
    follower = threading.Thread(target=follow, args=(spool,))
    follower.start()
    for _ in range(int(sys.argv[2])):
        spool.write(bytes(1 << 20))
    spool.complete()
    spool.accept(Snapshot(ArchiveMeta(1, 1, 1), 1, "sha"))
    follower.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(folder: Path, mebibytes: int) -> int:
    """Bytes a process needed at most to spool and follow that much."""
    arguments = [sys.executable, "-c", _MEMORY, str(folder), str(mebibytes)]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    return int(done.stdout) * 1024


def test_memory_does_not_grow_with_the_snapshot(tmp_path: Path) -> None:
    assert peak(tmp_path, 256) - peak(tmp_path, 4) < 24 * MIB
