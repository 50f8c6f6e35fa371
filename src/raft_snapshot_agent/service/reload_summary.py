"""What a reload changed, in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raft_snapshot_agent.core.enumeration import enumerate_names
from raft_snapshot_agent.service.active_cluster import ActiveCluster


def describe_reload(
    before: Mapping[str, ActiveCluster],
    now: Mapping[str, ActiveCluster],
    disabled: Sequence[str] = (),
) -> str:
    """Return which clusters have changed and which have not.

    Arguments:
        before: The clusters under the previous configuration.
        now: The clusters under the new one; an unchanged cluster has the same objects.
        disabled: Names of the clusters whose configuration is invalid.
    """
    kept = before.keys() & now.keys()
    changed = [name for name in now if name in kept and not now[name].has_objects_of(before[name])]
    if not any((*before, *now)):  # one cluster, which has no name
        return f"Reloaded the configuration: {'changed' if changed else 'unchanged'}."
    named = {
        "changed": changed,
        "added": [name for name in now if name not in before],
        "removed": [name or "unnamed" for name in before if name not in now],
        "disabled": disabled,
    }
    parts = [
        f"{len(names)} {what} ({enumerate_names(names)})" for what, names in named.items() if names
    ]
    parts.append(f"{len(kept) - len(changed)} unchanged")
    return f"Reloaded the configuration; clusters: {', '.join(parts)}."
