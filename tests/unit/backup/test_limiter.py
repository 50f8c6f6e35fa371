from __future__ import annotations

import anyio
import pytest

from raft_snapshot_agent.backup.limiter import ConcurrencyLimiter

pytestmark = pytest.mark.anyio


async def test_so_many_are_let_through_in_the_order_of_coming() -> None:
    limiter, inside, seen = ConcurrencyLimiter(2), 0, list[int]()

    async def pass_through(number: int) -> None:
        nonlocal inside
        async with limiter.permit() as permit:
            inside += 1
            seen.append(number)
            assert inside <= 2
            assert permit.waited == (number >= 2)
            await anyio.sleep(0.01)
            inside -= 1

    async with anyio.create_task_group() as tasks:
        for number in range(6):
            tasks.start_soon(pass_through, number)
    assert seen == [*range(6)]


async def test_one_that_does_not_move_holds_nobody_up_and_goes_on() -> None:
    limiter, ended = ConcurrencyLimiter(1, patience=0.05), list[str]()

    async def stand_still() -> None:
        async with limiter.permit() as permit, anyio.create_task_group() as tasks:
            tasks.start_soon(permit.watch, lambda: 7)
            await anyio.sleep(0.3)
            ended.append("still")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stand_still)
        await anyio.sleep(0.01)
        async with limiter.permit() as permit:
            ended.append("next")
            assert permit.waited
    assert ended == ["next", "still"]
    async with limiter.permit() as permit:
        assert not permit.waited, "the place was given back once, not twice"


async def test_one_that_moves_keeps_its_place() -> None:
    limiter, moved = ConcurrencyLimiter(1, patience=0.05), iter(range(1000))

    async def move() -> None:
        async with limiter.permit() as permit, anyio.create_task_group() as tasks:
            tasks.start_soon(permit.watch, lambda: next(moved))
            await anyio.sleep(0.3)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(move)
        await anyio.sleep(0.01)
        with anyio.move_on_after(0.2) as waiting:
            async with limiter.permit():
                pytest.fail("there is one place only")
    assert waiting.cancelled_caught


async def test_who_is_told_to_stop_while_waiting_takes_no_place() -> None:
    limiter = ConcurrencyLimiter(1)
    async with limiter.permit():
        with anyio.move_on_after(0.01):
            async with limiter.permit():
                pytest.fail("there is one place only")
    async with limiter.permit() as permit:
        assert not permit.waited
