"""Agents in many states, as the board would publish them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from raft_snapshot_agent.core.snapshots.scrub_note import LastReading, ScrubNote
from raft_snapshot_agent.core.snapshots.snapshot import ArchiveMeta, Snapshot, Stored
from raft_snapshot_agent.core.state.drill_status import DrillStatus
from raft_snapshot_agent.core.state.freshness import Census, DueTime
from raft_snapshot_agent.core.state.holding import Holding, Survey
from raft_snapshot_agent.core.state.report import Outcome
from raft_snapshot_agent.core.state.role import Role
from raft_snapshot_agent.core.state.run_durations import RunDurations
from raft_snapshot_agent.core.state.status import (
    Activity,
    AgentStatus,
    ClusterStatus,
    LeaseStatus,
    RunSummary,
)
from raft_snapshot_agent.core.state.storage_status import OngoingFailure, StorageStatus

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def storage(
    name: str = "s3", taken: datetime | None = NOW - HOUR / 2, **changes: object
) -> StorageStatus:
    """A storage whose newest snapshot was taken then; nothing: it was listed, and holds none."""
    newest = None if taken is None else Stored(f"a-{name}.snap", taken, 31769, 4711, verified=True)
    due = None if taken is None else DueTime(taken + HOUR, taken + 1.5 * HOUR)
    found = StorageStatus(
        name,
        "s3" if name == "s3" else "local",
        location="s3://bucket/prefix",
        schedule="every 1h",
        interval=HOUR,
        next_due=NOW + HOUR / 2,
        holding=Holding(
            name, "s3", survey=Survey(Census(newest, 1 if newest else 0)), deadline=due
        ),
        listed_at=NOW - timedelta(minutes=1),
        stored=24 if taken else 0,
        stored_bytes=24 * 31769 if taken else 0,
        oldest=None if taken is None else taken - 24 * HOUR,
        last_index=None if taken is None else 4711,
        last_success=taken,
        uploads={"ok": 3},
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def scrubbed(state: str = "whole", *vanished: str) -> StorageStatus:
    """A storage that was read back an hour ago."""
    reading = LastReading(NOW - HOUR, state)
    return storage("s3").scrubbed(ScrubNote({"a.snap": reading}, vanished, NOW - HOUR))


def run(
    outcome: Outcome = Outcome.OK, exit_code: int = 0, at: datetime = NOW - HOUR / 2
) -> RunSummary:
    snapshot = Snapshot(ArchiveMeta(4711, 3, 27122), 31769, "ab" * 32)
    return RunSummary(
        "0a1b2c",
        at,
        at + timedelta(seconds=4),
        outcome,
        "https://a:8200",
        snapshot,
        exit_code=exit_code,
    )


def cluster(name: str = "prod", *storages: StorageStatus, **changes: object) -> ClusterStatus:
    """A cluster whose snapshots this agent takes, and all is well."""
    found = ClusterStatus(
        name,
        storages or (storage("local"), storage("s3")),
        Role.WORKS,
        node="https://a:8200",
        next_due=NOW + HOUR / 2,
        last_attempt=NOW - HOUR / 2,
        runs=(run(),),
        attempts={"ok": 3},
        heartbeat=NOW - timedelta(seconds=3),
        phases={("download", ""): 2.5, ("upload", "s3"): 3.25},
        durations=RunDurations().after(4.0).after(250.0).after(7200.0),
        spool_free=1 << 30,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def agent(*clusters: ClusterStatus, **changes: object) -> AgentStatus:
    found = AgentStatus(
        "1.2.3",
        NOW - 3 * HOUR,
        NOW,
        clusters or (cluster(),),
        config_source="/etc/raft-snapshot-agent/config.yaml",
        config_loaded_at=NOW - 3 * HOUR,
        reloads={"ok": 1},
        notifications={("webhook", "ok"): 2},
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def fresh() -> AgentStatus:
    """What is known before anything was done."""
    blank = (StorageStatus("local", "local"), StorageStatus("s3", "s3"))
    return AgentStatus("1.2.3", NOW, NOW, (ClusterStatus("", blank),))


FAILURE = OngoingFailure("s3: connection refused", NOW - HOUR, 3)
STATES = {
    "fine": agent(),
    "fresh": fresh(),
    "partial": agent(cluster("prod", storage("local"), storage("s3", failing=FAILURE))),
    "failed": agent(cluster(failing=FAILURE, runs=(run(Outcome.FAILED, 2),))),
    "broken": agent(cluster(verification_failures=1, runs=(run(Outcome.FAILED, 4),))),
    "never": agent(cluster("prod", storage("s3", None))),
    "stale": agent(cluster("prod", storage("s3", NOW - 9 * HOUR))),
    "standby": agent(cluster(role=Role.STANDS_BY)),
    "lease elsewhere": agent(cluster(role=Role.STANDS_BY, lease=LeaseStatus("s3://b", "other"))),
    "lease held": agent(cluster(lease=LeaseStatus("s3://b", "me", held=True))),
    "lease lost": agent(cluster(role=Role.STANDS_BY, lease=LeaseStatus("s3://b", trouble="503"))),
    "alarm": agent(cluster("prod", storage("s3", alarm="it shrank"))),
    "scrubbed": agent(cluster("prod", scrubbed())),
    "rotten": agent(cluster("prod", scrubbed("broken", "gone.snap"))),
    "drilled": agent(cluster(drill=DrillStatus("a.snap", passed=True, at=NOW, seconds=9.5))),
    "drill failed": agent(cluster(drill=DrillStatus("a.snap", passed=False, at=NOW, reason="no"))),
    "disabled": agent(cluster(disabled="config.yaml:3: vault.address: is empty")),
    "busy": agent(cluster(activity=Activity("0a1b2c", NOW, 1 << 20))),
    "stuck": agent(cluster(stuck=True, login_failing="403", token_expires_at=NOW + HOUR)),
    "refused": agent(config_refused="config.yaml:3: unknown key", reloads={"ok": 1, "refused": 1}),
    "two": agent(cluster("prod"), cluster("staging", storage("local", None, required=False))),
    "odd names": agent(cluster('a"b\\c\nd', storage("ü=}{,"))),
}
