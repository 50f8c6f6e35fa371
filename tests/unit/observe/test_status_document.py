"""The status for programs: JSON that says the same as the value."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.core.state.drill_status import DrillStatus
from raft_snapshot_agent.core.state.holding import Survey
from raft_snapshot_agent.core.state.report import Report
from raft_snapshot_agent.core.state.status import Activity, AgentStatus, ClusterStatus, LeaseStatus
from raft_snapshot_agent.core.state.storage_status import StorageStatus
from raft_snapshot_agent.errors import Unreachable
from raft_snapshot_agent.observe.status_document import document

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)


def test_it_is_json_and_tells_of_each_part() -> None:
    survey = Survey.of([Stored("a.snap", NOW - timedelta(minutes=5), 10, 7, verified=True)], NOW)
    storage = replace(
        StorageStatus("disk", "local").with_survey(
            survey, ScheduleSpec(Every(timedelta(hours=1))), NOW
        ),
        interval=timedelta(hours=1),
        next_due=NOW + timedelta(minutes=55),
    )
    cluster = replace(
        ClusterStatus("prod", (storage,)).ended(
            Report("run", NOW, NOW, error=Unreachable("no answer"))
        ),
        activity=Activity("", NOW, 5),
        lease=LeaseStatus("s3://b/lease", "other"),
        drill=DrillStatus("a.snap", False, NOW, 3.0, "no key", "openbao 2.7.2", "active"),
    )
    status = AgentStatus("1", NOW, NOW, (cluster,), notifications={("mail", "failed"): 2})
    told = json.loads(json.dumps(document(status)))
    assert (told["status"], told["exit_code"]) == ("CRITICAL", 2), "as `status` ends"
    assert told["at"] == "2026-11-23T15:30:00Z"
    assert told["notifications"] == [{"notifier": "mail", "outcome": "failed", "count": 2}]
    (found,) = told["clusters"]
    assert found["failing"] == {"message": "no answer", "since": "2026-11-23T15:30:00Z", "times": 1}
    assert found["attempts"] == {"ok": 0, "partial": 0, "failed": 1, "skipped": 0, "stopped": 0}
    assert found["running"] == {"since": "2026-11-23T15:30:00Z", "received_bytes": 5}
    assert found["lease"]["holder"] == "other"
    assert found["drill"] == {
        "snapshot": "a.snap",
        "passed": False,
        "at": "2026-11-23T15:30:00Z",
        "seconds": 3.0,
        "reason": "no key",
        "server": "openbao 2.7.2",
        "proved": "active",
    }
    (disk,) = found["storages"]
    assert (disk["newest"], disk["age_seconds"], disk["interval_seconds"]) == ("a.snap", 300, 3600)
    assert (disk["status"], disk["message"], disk["stored"]) == ("OK", "5m old", 1)


def test_what_is_not_known_is_null() -> None:
    told = document(AgentStatus("1", NOW, NOW, (ClusterStatus("", (StorageStatus("a", "s3"),)),)))
    (cluster,) = told["clusters"]
    assert (cluster["cluster"], cluster["running"], cluster["lease"]) == (None, None, None)
    assert cluster["storages"][0]["newest"] is None
    assert cluster["storages"][0]["status"] == told["status"] == "UNKNOWN"
