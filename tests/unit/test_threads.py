"""Blocking work beside the event loop."""

from __future__ import annotations

import gc
import weakref

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
