"""Who is notified, as the configuration says: names, and what can be known without sending."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from raft_snapshot_agent.config.names import derive_names, misplaced_error
from raft_snapshot_agent.notify import AnyNotifier


def name_notifiers(notifiers: Sequence[AnyNotifier]) -> tuple[AnyNotifier, ...]:
    """Give a name to each that has none.

    Raises:
        PydanticCustomError: Two have the same.
    """
    names = derive_names(notifiers, "notifier")
    return tuple(
        one.model_copy(update={"name": name}) for one, name in zip(notifiers, names, strict=True)
    )


def check_clusters(notifiers: Sequence[AnyNotifier], clusters: Collection[str]) -> None:
    """Make sure that notifiers name clusters that there are.

    Raises:
        PydanticCustomError: One does not.
    """
    for index, notifier in enumerate(notifiers):
        for number, name in enumerate(notifier.clusters):
            if name not in clusters:
                there = f"there are: {', '.join(clusters)}" if clusters else "the file names none"
                what = f"no cluster is called {name!r}; {there}"
                raise misplaced_error(what, index, "clusters", number)
