"""What to do about a problem names the cluster, where there are several."""

from __future__ import annotations

from raft_snapshot_agent.core.advice import acknowledge, command
from raft_snapshot_agent.core.snapshots.notes import Alarm


def test_a_command_names_the_cluster_if_there_are_several() -> None:
    assert command("doctor", "") == "raft-snapshot-agent doctor"
    assert command("doctor", "prod") == "raft-snapshot-agent doctor --cluster prod"


def test_every_way_to_end_an_alarm_is_the_same_and_names_the_cluster() -> None:
    said = Alarm("the index went back", "a.snap", "").describe_remedy("prod")
    assert said.endswith(acknowledge("prod"))
    assert acknowledge("prod").endswith(
        "run raft-snapshot-agent prune --acknowledge --cluster prod"
    )
