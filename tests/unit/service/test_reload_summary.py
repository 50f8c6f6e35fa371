"""The line that tells what a reload changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.reload_summary import describe_reload


def cluster() -> ActiveCluster:
    """Return one with objects of its own."""
    own: Any = object()
    return ActiveCluster(own, own, own)


def test_it_counts_and_names_what_has_changed() -> None:
    same = cluster()
    old = cluster()
    new = cluster()
    before = {"rome": same, "oslo": same, "bonn": old, "bern": old, "lyon": old, "paris": old}
    now = {"rome": same, "oslo": same, "bonn": new, "bern": new, "lyon": new, "wien": new}
    assert describe_reload(before, now | {"nice": new}, ["kiel"]) == (
        "Reloaded the configuration; clusters: 3 changed (bonn, bern, lyon), 2 added (wien, nice),"
        " 1 removed (paris), 1 disabled (kiel), 2 unchanged."
    )
    assert describe_reload({"rome": same}, {"rome": same}) == (
        "Reloaded the configuration; clusters: 1 unchanged."
    )


def test_a_cluster_at_another_place_of_the_file_is_unchanged() -> None:
    before = cluster()
    later: Any = object()
    now = {"oslo": replace(before, timing=later)}
    assert describe_reload({"oslo": before}, now).endswith("; clusters: 1 unchanged.")


def test_of_one_cluster_it_says_whether_it_has_changed() -> None:
    old = cluster()
    new = cluster()
    assert describe_reload({"": old}, {"": old}) == "Reloaded the configuration: unchanged."
    assert describe_reload({"": old}, {"": new}) == "Reloaded the configuration: changed."
    assert describe_reload({"": old}, {"rome": new}) == (
        "Reloaded the configuration; clusters: 1 added (rome), 1 removed (unnamed), 0 unchanged."
    )
