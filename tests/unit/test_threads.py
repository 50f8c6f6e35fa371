"""Blocking work beside the event loop."""

from __future__ import annotations

import gc
import weakref

import anyio
import pytest

from raft_snapshot_agent.threads import in_thread


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
