"""What counts as a wall clock that was set, with two clocks that the test sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from raft_snapshot_agent.service.wall_clock import WallClockWatch

HOUR = timedelta(hours=1)


class Host:
    """A host with a wall clock and the time since boot."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 27, 12, tzinfo=UTC)
        self.uptime = timedelta(days=3)

    def go_on(self, elapsed: timedelta, stepped: timedelta = timedelta(0)) -> None:
        self.now += elapsed + stepped
        self.uptime += elapsed


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def watch(host: Host) -> WallClockWatch:
    return WallClockWatch(lambda: host.now, lambda: host.uptime)


def test_a_step_back_is_found_once(host: Host, watch: WallClockWatch) -> None:
    host.go_on(HOUR, stepped=-2 * HOUR)
    assert watch.find_step() == -2 * HOUR
    host.go_on(HOUR)
    assert not watch.find_step()


@pytest.mark.parametrize("step", [timedelta(0), timedelta(seconds=-9), timedelta(minutes=5)])
def test_a_small_step_is_none(host: Host, watch: WallClockWatch, step: timedelta) -> None:
    host.go_on(HOUR, stepped=step)
    assert not watch.find_step()


def test_a_host_that_was_suspended_set_no_clock(host: Host, watch: WallClockWatch) -> None:
    host.go_on(timedelta(days=3))
    assert not watch.find_step()


def test_what_was_set_forward_and_then_right_was_set_back(
    host: Host, watch: WallClockWatch
) -> None:
    host.go_on(HOUR, stepped=HOUR)
    assert watch.find_step() == HOUR
    assert not watch.find_step()
    host.go_on(HOUR, stepped=-HOUR)
    assert watch.find_step() == -HOUR


def test_a_clock_that_is_slewed_back_slowly_is_none(host: Host, watch: WallClockWatch) -> None:
    for _ in range(100):
        host.go_on(timedelta(seconds=30), stepped=-timedelta(milliseconds=500))
        assert not watch.find_step()


def test_small_steps_one_after_the_other_add_up(host: Host, watch: WallClockWatch) -> None:
    found = []
    for _ in range(120):
        host.go_on(timedelta(seconds=30), stepped=-timedelta(seconds=9))
        found.append(-watch.find_step())
    assert 0.6 * 120 * timedelta(seconds=9) < sum(found, timedelta(0))
    assert max(found) < timedelta(seconds=20)


def test_the_time_since_boot_is_read_by_itself() -> None:
    now = datetime(2026, 11, 27, 12, tzinfo=UTC)
    watch = WallClockWatch(lambda: now)
    now -= HOUR
    assert HOUR <= -watch.find_step() < HOUR + timedelta(minutes=1)
