"""How things can stand, one status of each kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.snapshot_file.mount_counts import MountCounts, Tally
from raft_snapshot_agent.core.snapshots.notes import Alarm
from raft_snapshot_agent.core.snapshots.snapshot import ArchiveMeta, Snapshot, Stored
from raft_snapshot_agent.core.state.drill_status import DrillStatus
from raft_snapshot_agent.core.state.freshness import Census, DueTime
from raft_snapshot_agent.core.state.holding import Holding, Survey
from raft_snapshot_agent.core.state.report import Outcome
from raft_snapshot_agent.core.state.role import Role
from raft_snapshot_agent.core.state.status import (
    Activity,
    AgentStatus,
    ClusterStatus,
    LeaseStatus,
    RunSummary,
)
from raft_snapshot_agent.core.state.storage_status import OngoingFailure, StorageStatus
from raft_snapshot_agent.errors import StorageUnavailable

NOW = datetime(2026, 11, 26, 12, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
SIZE = 14_800_000
HOSTILE = "<script>alert('x')</script>\"&"


def slot(back: int) -> datetime:
    return NOW.replace(minute=0) - back * HOUR


def stored(back: int, **more: object) -> Stored:
    taken = slot(back)
    index = 48_000 - 37 * back
    name = f"raft-snapshot-{taken:%Y%m%dT%H%M%SZ}-i{index}-0a1b2c.snap"
    found = Stored(name, taken, SIZE - 21_000 * back, index, verified=True)
    return replace(found, **more)  # type: ignore[arg-type]


def run(back: int, outcome: Outcome = Outcome.OK, **more: object) -> RunSummary:
    one = stored(back)
    counts = MountCounts(
        {"secret/": Tally(900 - 3 * back, 90_000 - 400 * back), "pki/": Tally(40, 5000)},
        Tally(70, 800),
    )
    whole = Snapshot(ArchiveMeta(one.index or 0, 3, one.size), one.size, "", counts.to_text())
    done = RunSummary(
        f"run-{back}",
        slot(back),
        slot(back) + timedelta(seconds=8),
        outcome,
        "https://vault-1:8200",
    )
    snapshot = None if outcome is Outcome.FAILED else whole
    return replace(done, snapshot=snapshot, **more)  # type: ignore[arg-type]


def runs(count: int = 60) -> tuple[RunSummary, ...]:
    return tuple(run(back) for back in reversed(range(count)))


def storage(
    name: str = "local",
    kind: str = "local",
    newest: int | None = 0,
    alarm: Alarm | None = None,
    count: int = 60,
    **more: object,
) -> StorageStatus:
    """A storage whose newest snapshot is so many hours old."""
    one = None if newest is None else stored(newest)
    due = None if one is None else DueTime(one.taken_at + HOUR, one.taken_at + 1.5 * HOUR)
    listed = () if newest is None else tuple(stored(newest + back) for back in range(count))
    size = sum(each.size for each in listed)
    oldest = listed[-1].taken_at if listed else None
    told = str(alarm) if alarm else ""
    survey = Survey(Census(one, len(listed)), len(listed), size, oldest, told, listed=listed)
    holding = Holding(name, kind, survey=survey, deadline=due)
    made = StorageStatus(
        name,
        kind,
        location="/var/backups/vault" if kind == "local" else f"{kind}://vault-backups/prod",
        schedule="every 1h",
        interval=HOUR,
        next_due=NOW.replace(minute=0) + HOUR,
        retention=Retention(last=24, daily=7),
        holding=holding,
        listed_at=NOW - timedelta(minutes=20),
        stored=len(listed),
        stored_bytes=size,
        oldest=oldest,
        last_index=None if one is None else one.index,
        last_success=None if one is None else one.taken_at,
        alarm=told,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def cluster(name: str = "", **more: object) -> ClusterStatus:
    made = ClusterStatus(
        name,
        (storage(), storage("s3", "s3")),
        Role.WORKS,
        "https://vault-1:8200",
        next_due=NOW.replace(minute=0) + HOUR,
        last_attempt=slot(0),
        runs=runs(),
        attempts={"ok": 60},
        heartbeat=NOW,
        drill=DrillStatus(stored(5).name, passed=True, at=slot(4), seconds=4.2),
    )
    return replace(made, **more)  # type: ignore[arg-type]


def agent(*clusters: ClusterStatus) -> AgentStatus:
    return AgentStatus(
        "0.1.0",
        NOW - 60 * HOUR,
        NOW,
        clusters or (cluster(),),
        "/etc/raft-snapshot-agent/config.yaml",
        NOW - 60 * HOUR,
    )


def _partial() -> AgentStatus:
    why = "s3: cannot reach s3.example.org: connection refused"
    bad = OngoingFailure(why.removeprefix("s3: "), slot(2), 3)
    short = {"failed": ("s3",), "error": why}
    last = [run(back, Outcome.PARTIAL, **short) for back in (2, 1, 0)]
    s3 = storage("s3", "s3", newest=3, failing=bad)
    return agent(cluster(storages=(storage(), s3), runs=(*runs()[:-3], *last)))


def _failed() -> AgentStatus:
    why = "permission denied: the token has no read permission on sys/storage/raft/snapshot"
    last = [run(back, Outcome.FAILED, error=why) for back in (3, 2, 1, 0)]
    both = (storage(newest=4), storage("s3", "s3", newest=4))
    bad = OngoingFailure(why, slot(3), 4)
    return agent(cluster(storages=both, runs=(*runs()[:-4], *last), failing=bad, login_failing=why))


def _never() -> AgentStatus:
    blank = StorageStatus("local", "local", schedule="every 1h", next_due=NOW + HOUR)
    fresh = ClusterStatus("", (blank,), next_due=NOW + HOUR, heartbeat=NOW)
    return agent(fresh)


def _guard() -> AgentStatus:
    alarm = Alarm("the cluster's ID changed", stored(0).name, "2026-11-26T12:00:00Z")
    return agent(cluster(storages=(storage(alarm=alarm), storage("s3", "s3"))))


def _unlisted() -> AgentStatus:
    error = StorageUnavailable("cannot list s3: connection refused", hint="check the endpoint")
    s3 = storage("s3", "s3", holding=Holding("s3", "s3", survey=Survey(error=error)))
    return agent(cluster(storages=(storage(), s3)))


def _gap() -> AgentStatus:
    def is_kept(moment: datetime) -> bool:
        return not slot(30) <= moment <= slot(20)

    def holed(some: StorageStatus) -> StorageStatus:
        assert some.holding is not None
        kept = tuple(one for one in some.snapshots if is_kept(one.taken_at))
        survey = replace(some.holding.survey, listed=kept, count=len(kept))
        return replace(some, stored=len(kept), holding=replace(some.holding, survey=survey))

    kept = tuple(one for one in runs() if is_kept(one.started_at))
    return agent(cluster(runs=kept, storages=(holed(storage()), holed(storage("s3", "s3")))))


def _hostile() -> AgentStatus:
    bad = OngoingFailure(HOSTILE, slot(1))
    last = run(0, Outcome.FAILED, error=HOSTILE, node=HOSTILE)
    dirty = storage(HOSTILE, HOSTILE, failing=bad, location=HOSTILE, warnings=(HOSTILE,))
    return agent(
        cluster(
            HOSTILE,
            storages=(dirty,),
            runs=(*runs(), last),
            failing=bad,
            node=HOSTILE,
            lease=LeaseStatus(HOSTILE, HOSTILE, trouble=HOSTILE),
            drill=DrillStatus(HOSTILE, passed=False, at=NOW, reason=HOSTILE),
            login_failing=HOSTILE,
        )
    )


def many(count: int = 500, snapshots: int = 20) -> AgentStatus:
    """As many clusters; each twentieth is late, each fiftieth fails."""
    some = storage(count=snapshots)
    fine = cluster(storages=(some,), runs=runs(24))
    late = replace(fine, storages=(storage(newest=4),))
    failed = _failed().clusters[0]
    made = (
        replace(failed if n % 50 == 7 else late if n % 20 == 3 else fine, name=f"team-{n:03}")
        for n in range(count)
    )
    return agent(*made)


KINDS: dict[str, Callable[[], AgentStatus]] = {
    "fine": agent,
    "partial": _partial,
    "failed": _failed,
    "never-run": _never,
    "standby": lambda: agent(cluster(role=Role.STANDS_BY, runs=(), node="")),
    "lease-elsewhere": lambda: agent(
        cluster(
            role=Role.STANDS_BY,
            runs=(),
            lease=LeaseStatus("s3://vault-backups/prod/lease", "vault-2.example.org/4711"),
        )
    ),
    "lease-trouble": lambda: agent(
        cluster(lease=LeaseStatus("s3://b/lease", held=True, trouble="cannot read the record"))
    ),
    "stale": lambda: agent(
        cluster(storages=(storage(newest=5), storage("s3", "s3", newest=5)), runs=runs()[:-5])
    ),
    "guard-alarm": _guard,
    "unlisted": _unlisted,
    "gap": _gap,
    "running": lambda: agent(
        cluster(activity=Activity("run-x", NOW - timedelta(seconds=4), received=9_000_000))
    ),
    "stuck": lambda: agent(cluster(stuck=True, activity=Activity("run-x", NOW - 2 * HOUR))),
    "drill-failed": lambda: agent(
        cluster(drill=DrillStatus(stored(1).name, passed=False, at=slot(1), reason="no such mount"))
    ),
    "disabled": lambda: agent(cluster("berlin", disabled="no secret"), cluster("paris")),
    "refused": lambda: replace(agent(), config_refused="line 4: unknown key"),
    "hostile": _hostile,
    "nothing": lambda: replace(agent(), clusters=()),
    "two": lambda: agent(cluster("berlin"), cluster("paris")),
    "many": lambda: many(60),
}
