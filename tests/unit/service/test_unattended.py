from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from contextlib import redirect_stderr
from datetime import UTC, datetime, timedelta

from raft_snapshot_agent.core.schedules.schedule import Cron, Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.observe.run_log import Journal
from raft_snapshot_agent.service.unattended import Unattended

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
HOURLY = {"s3": ScheduleSpec(Every(HOUR))}
Taken = Mapping[str, Iterable[datetime]]


def said(
    looks: Iterable[tuple[datetime, Taken]],
    timings: Mapping[str, ScheduleSpec] = HOURLY,
    private: Iterable[str] = (),
) -> list[str]:
    """Look at these moments at what is stored; return the lines of the log."""
    log = io.StringIO()
    with redirect_stderr(log):
        watch = Unattended(Journal(configure("text", "info")))
        for now, taken in looks:
            watch.look(timings, taken, now, "a standby", {*private})
    return log.getvalue().splitlines()


def each(minutes: int, until: timedelta, taken: Taken) -> list[tuple[datetime, Taken]]:
    count = until // timedelta(minutes=minutes)
    return [(NOW + number * minutes * MINUTE, taken) for number in range(count + 1)]


def test_a_cluster_that_is_served_by_another_agent_is_quiet() -> None:
    looks = [(NOW + n * HOUR / 4, {"s3": [NOW + n // 4 * HOUR]}) for n in range(200)]
    assert said(looks) == []


def test_one_that_nobody_serves_is_an_error_once_an_hour() -> None:
    lines = said(each(5, timedelta(hours=5), {"s3": [NOW]}))

    assert len(lines) == 4
    assert all(" error " in line for line in lines)
    assert "30m overdue" not in lines[0]
    assert "35m overdue and no agent takes it" in lines[0]
    assert "the newest is of 2026-11-23 15:30:00 UTC" in lines[0]
    assert "run_on: anywhere" in lines[0]
    assert 'reason="a standby"' in lines[0]


def test_the_end_is_told_too_and_the_next_time_is_another() -> None:
    later = NOW + 4 * HOUR
    lines = said(
        [
            *each(30, timedelta(hours=3), {"s3": [NOW]}),
            (later, {"s3": [later]}),
            (later + HOUR, {"s3": [later]}),
            (later + timedelta(hours=3), {"s3": [later]}),
        ]
    )

    assert [line.split()[1] for line in lines] == ["error", "error", "info", "error"]
    assert "are stored again; one was 3h overdue" in lines[2]


def test_who_has_just_begun_to_stand_by_waits_for_the_others() -> None:
    long_ago = {"s3": [NOW - timedelta(days=390)]}

    assert said(each(5, HOUR / 2 - MINUTE, long_ago)) == []
    assert len(said(each(5, HOUR / 2 + 5 * MINUTE, long_ago))) == 1


def test_an_empty_storage_counts_from_when_the_agent_began_to_stand_by() -> None:
    (line,) = said(each(5, timedelta(hours=2, minutes=10), {"s3": []}))
    assert "there is none" in line


def test_where_nothing_can_be_listed_nothing_is_known() -> None:
    assert said(each(30, timedelta(days=2), {})) == []


def test_folders_that_others_cannot_see_are_told_once() -> None:
    looks = each(30, timedelta(days=1), {"disk": [NOW]})
    (line,) = said(looks, {"disk": ScheduleSpec(Every(HOUR))}, private=["disk"])
    assert "add a storage that all agents share" in line


def test_with_a_shared_storage_the_own_folder_says_nothing() -> None:
    timings = {"disk": ScheduleSpec(Every(HOUR)), "s3": ScheduleSpec(Every(timedelta(days=1)))}
    looks = each(30, timedelta(hours=24), {"disk": [], "s3": [NOW]})
    assert said(looks, timings, private=["disk"]) == []


def test_a_cron_schedule_and_its_jitter_have_their_time() -> None:
    nightly = {"s3": ScheduleSpec(Cron("0 3 * * *"), jitter=timedelta(hours=2))}
    due = datetime(2026, 11, 24, 3, tzinfo=UTC)

    assert said([(NOW, {"s3": [NOW]}), (due + timedelta(hours=3), {"s3": [NOW]})], nightly) == []
    assert len(said([(NOW, {"s3": [NOW]}), (due + 4 * HOUR, {"s3": [NOW]})], nightly)) == 1


def test_a_clock_that_was_set_back_silences_nothing() -> None:
    ahead = NOW + timedelta(days=2)
    looks = [(ahead, {"s3": [NOW]}), (ahead + 2 * HOUR, {"s3": [NOW]})]
    back = each(5, timedelta(hours=2), {"s3": [NOW - 2 * HOUR]})
    assert [line.split()[1] for line in said([*looks, *back])] == ["error"] * 4


def test_the_log_of_a_new_configuration_is_used() -> None:
    old, new = io.StringIO(), io.StringIO()
    with redirect_stderr(old):
        journal = Journal(configure("text", "info").bind(cluster="a"))
        watch = Unattended(journal)
    with redirect_stderr(new):
        journal.adopt(configure("json", "info").bind(cluster="a"), seed=False)
        for now in (NOW, NOW + 2 * HOUR):
            watch.look(HOURLY, {"s3": []}, now, "a standby", set())
    assert old.getvalue() == ""
    assert '"event": "nobody_works"' in new.getvalue()
