"""Blocking work beside the event loop."""

from __future__ import annotations

import gc
import threading
import weakref

import anyio
import anyio.lowlevel
import pytest

from raft_snapshot_agent.threads import MOST_NEW, in_thread


class _Half:
    """What failed work leaves behind: half a list, for one."""


@pytest.mark.anyio
async def test_failed_work_leaves_nothing_in_memory_but_its_error() -> None:
    left: list[weakref.ref[_Half]] = []

    def inner() -> None:
        half = _Half()
        left.append(weakref.ref(half))
        raise ValueError("half")

    def work() -> None:
        half = _Half()
        left.append(weakref.ref(half))
        try:
            inner()
        except ValueError as error:
            raise OSError("whole") from error

    gc.disable()
    try:
        with pytest.raises(OSError, match="whole") as kept:
            await in_thread(work, abandon=True)
        assert kept.value.__cause__ is not None
        assert [one() for one in left] == [None, None]
    finally:
        gc.enable()


@pytest.mark.anyio
async def test_work_that_fails_with_the_error_of_others_does_not_end_them() -> None:
    shared: list[ValueError] = []
    told, go_on = anyio.Event(), anyio.Event()
    ended: list[str] = []

    async def other() -> None:
        try:
            int("of another")
        except ValueError as error:
            shared.append(error)
        told.set()
        await go_on.wait()
        ended.append("well")

    def work() -> None:
        raise shared[0]

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other)
            await told.wait()
            with pytest.raises(ValueError, match="of another"):
                await in_thread(work, abandon=True)
            go_on.set()
    assert ended == ["well"]


@pytest.mark.anyio
@pytest.mark.parametrize("abandon", [True, False])
async def test_thousands_of_short_works_share_a_few_threads(abandon: bool) -> None:
    lock = threading.Lock()
    working = most = done = 0

    def work() -> None:
        nonlocal working, most, done
        with lock:
            working += 1
            most = max(most, working)
        with lock:
            working -= 1
            done += 1

    before = threading.active_count()
    threads = before

    async def one() -> None:
        nonlocal threads
        await in_thread(work, abandon=abandon)
        threads = max(threads, threading.active_count())

    async with anyio.create_task_group() as tasks:
        for _ in range(2000):
            tasks.start_soon(one)
    assert done == 2000
    # A thread that has told its result may still be there for a moment; one that stands still
    # for long lets another begin.
    assert most <= 4 * MOST_NEW
    assert threads - before < 1000


@pytest.mark.anyio
async def test_threads_that_wait_for_others_keep_none_from_beginning() -> None:
    go_on = threading.Event()

    def wait() -> bool:
        return go_on.wait(300)

    with anyio.fail_after(240):
        async with anyio.create_task_group() as tasks:
            for _ in range(3 * MOST_NEW):
                tasks.start_soon(lambda: in_thread(wait, abandon=True))
            await anyio.lowlevel.checkpoint()
            await in_thread(go_on.set, abandon=True)
    assert go_on.is_set()


@pytest.mark.anyio
async def test_who_is_cancelled_before_its_turn_gives_it_up() -> None:
    go_on = threading.Event()
    begun: list[int] = []
    with anyio.fail_after(240):
        async with anyio.create_task_group() as tasks:
            for _ in range(MOST_NEW):
                tasks.start_soon(lambda: in_thread(lambda: go_on.wait(300), abandon=True))
            await anyio.lowlevel.checkpoint()
            with anyio.CancelScope() as scope:
                scope.cancel()
                await in_thread(lambda: begun.append(1), abandon=True)
            go_on.set()
        await in_thread(lambda: begun.append(2), abandon=True)
    assert begun == [2]


@pytest.mark.anyio
async def test_what_comes_too_late_is_discarded_before_a_patient_caller_goes_on() -> None:
    begun, go_on = threading.Event(), threading.Event()
    discarded: list[str] = []

    def create() -> str:
        begun.set()
        assert go_on.wait(60)
        return "a file"

    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            try:
                await in_thread(create, abandon=True, discard=discarded.append, patience=60.0)
            finally:
                assert discarded == ["a file"]

        tasks.start_soon(wait)
        await anyio.to_thread.run_sync(begun.wait, 60)
        tasks.cancel_scope.cancel()
        go_on.set()
