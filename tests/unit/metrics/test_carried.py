"""What an earlier run left: counters go on, other clusters stay, odd text harms nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.metrics.statuses import FAILURE, HOUR, NOW, STATES, agent, cluster, fresh, storage

from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.core.state.holding import Holding, Survey
from raft_snapshot_agent.core.state.status import ClusterStatus
from raft_snapshot_agent.core.state.storage_status import StorageStatus
from raft_snapshot_agent.errors import StorageUnavailable
from raft_snapshot_agent.metrics.carried import Carried
from raft_snapshot_agent.metrics.exposition import exposition
from raft_snapshot_agent.metrics.metric import JudgedStatus
from raft_snapshot_agent.metrics.table import SNAPSHOTS


def carried(text: str) -> Carried:
    return Carried.read(text, SNAPSHOTS)


@pytest.mark.parametrize("state", STATES)
def test_what_was_written_is_read_back(state: str) -> None:
    view = JudgedStatus.of(STATES[state])

    found = carried(exposition(STATES[state], metrics=SNAPSHOTS)[1].decode()).samples

    for metric in SNAPSHOTS:
        for labels, value in metric.read(view):
            assert repr(found[metric.name][labels]) == repr(float(value))


def test_counters_go_on() -> None:
    before = agent(
        cluster(
            "",
            storage("local", uploads={"ok": 3, "failed": 1}, pruned=2),
            storage("s3", failing=FAILURE),
            attempts={"ok": 4, "partial": 1},
            verification_failures=1,
        )
    )
    text = exposition(before, metrics=SNAPSHOTS)[1].decode()

    (began,) = fresh().clusters
    resumed = carried(text).resume(began, NOW)

    assert {key: one for key, one in resumed.attempts.items() if one} == {"ok": 4, "partial": 1}
    assert resumed.verification_failures == 1
    assert resumed.durations == before.clusters[0].durations
    assert resumed.failing is None
    local, s3 = resumed.storages
    assert dict(local.uploads) == {"ok": 3, "failed": 1}
    assert local.pruned == 2
    assert s3.failing is not None
    assert s3.failing.times == FAILURE.times


def test_when_a_storage_is_overdue_stays_known_while_it_cannot_be_listed() -> None:
    text = exposition(agent(cluster("", storage("s3"))), metrics=SNAPSHOTS)[1].decode()
    timing = ScheduleSpec(Every(HOUR))
    began = ClusterStatus("", (StorageStatus("s3", "s3", holding=Holding("s3", "s3")),))
    failed = Survey(error=StorageUnavailable("no answer"))

    def tell(survey: Survey) -> tuple[float, float]:
        (s3,) = carried(text).resume(began, NOW).storages
        told = agent(replace(began, storages=(s3.with_survey(survey, timing, NOW),)))
        samples = carried(exposition(told, metrics=SNAPSHOTS)[1].decode()).samples
        names = ("overdue_timestamp_seconds", "last_success_timestamp_seconds")
        late, taken = (samples[f"raft_snapshot_{name}"]["", "s3"] for name in names)
        return late - NOW.timestamp(), taken - NOW.timestamp()

    assert tell(failed) == (HOUR.total_seconds(), -HOUR.total_seconds() / 2)
    found = Survey.of([Stored("b.snap", NOW - 9 * HOUR, 10, verified=True)], NOW)
    assert tell(found) == (-7.5 * HOUR.total_seconds(), -9 * HOUR.total_seconds())


def test_other_clusters_stay_and_those_told_anew_are_there_once() -> None:
    text = exposition(agent(cluster("a"), cluster("b"), cluster("gone")), metrics=SNAPSHOTS)[1]

    metrics = carried(text.decode()).beside(SNAPSHOTS, {"b"})
    again = exposition(agent(cluster("a")), metrics=metrics)[1].decode()
    whole = exposition(agent(cluster("a"), cluster("b")), metrics=SNAPSHOTS)[1].decode()

    lines = [one for one in again.splitlines() if not one.startswith("#")]
    assert len(lines) == len(set(lines))
    assert carried(again).samples.keys() == carried(whole).samples.keys()
    for name, samples in carried(whole).samples.items():
        assert carried(again).samples[name].keys() == samples.keys()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00\xff",
        "raft_snapshot_attempts_total 5\n",
        'raft_snapshot_attempts_total{cluster="",outcome="ok"} many\n',
        'raft_snapshot_attempts_total{cluster="",outcome="ok"} NaN\n',
        'raft_snapshot_attempts_total{cluster="",outcome="ok"} +Inf\n',
        'raft_snapshot_attempts_total{cluster="",outcome="ok"} -7\n',
        'raft_snapshot_attempts_total{cluster="",outcome="ok} 5\n',
        'raft_snapshot_attempts_total{cluster="",outcome="ok",more="x"} 5\n',
        'another_total{cluster="",outcome="ok"} 5\n',
        "raft_snapshot_attempts_total{" + 'a="",' * 9999 + "} 5\n",
    ],
)  # fmt: skip
def test_what_is_no_sample_of_ours_counts_as_nothing(text: str) -> None:
    (began,) = fresh().clusters
    resumed = carried(text).resume(began, NOW)
    assert sum(resumed.attempts.values()) == 0
    assert replace(resumed, attempts={}, storages=began.storages) == began


@pytest.mark.parametrize(
    "spoilt",
    [
        ('_bucket{cluster="",le="3.0"} 0', '_bucket{cluster="",le="3.0"} 9'),
        ('_bucket{cluster="",le="3.0"} 0\n', "\n"),
        ('_sum{cluster=""} 7454.0', '_sum{cluster=""} NaN'),
        ('_sum{cluster=""} 7454.0', '_sum{cluster=""} -1'),
    ],
)
def test_a_histogram_that_makes_no_sense_begins_anew(spoilt: tuple[str, str]) -> None:
    text = exposition(agent(cluster("")), metrics=SNAPSHOTS)[1].decode()
    assert spoilt[0] in text
    (began,) = fresh().clusters

    resumed = carried(text.replace(*spoilt)).resume(began, NOW)

    assert resumed.durations == began.durations
