"""What two processes have told, in one memory: of each entry, what was changed last.

A three-way merge: an entry that this process has changed since it last looked is its own; any
other is as another process has left it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

from raft_snapshot_agent.core.alarms.notices import MOST_RECORDS, NoticeMemory, RunNote

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")
Memories = Mapping[str, NoticeMemory]
"""By notifier."""


def merge_memories(base: Memories, ours: Memories, theirs: Memories) -> dict[str, NoticeMemory]:
    """Return what there is to remember after both.

    Arguments:
        base: What this process last read or wrote.
        ours: What it has made of that.
        theirs: What the file holds now.
    """
    nothing = NoticeMemory()
    names = {**merge_maps(base, ours, theirs)}
    return {
        name: _merge(base.get(name, nothing), ours[name], theirs.get(name, nothing))
        if name in ours
        else one
        for name, one in names.items()
    }


def merge_maps(
    base: Mapping[_K, _V], ours: Mapping[_K, _V], theirs: Mapping[_K, _V]
) -> dict[_K, _V]:
    """Return `theirs` with what was added, replaced and removed from `base` to `ours`."""
    changed = {key: one for key, one in ours.items() if base.get(key) != one}
    removed = base.keys() - ours.keys()
    return {key: one for key, one in {**theirs, **changed}.items() if key not in removed}


def _merge(base: NoticeMemory, ours: NoticeMemory, theirs: NoticeMemory) -> NoticeMemory:
    records = merge_maps(base.records, ours.records, theirs.records)
    runs = merge_maps(*(_by_run(one.runs) for one in (base, ours, theirs)))
    return NoticeMemory(
        dict([*records.items()][:MOST_RECORDS]),
        merge_maps(base.sent, ours.sent, theirs.sent),
        tuple(sorted(runs.values(), key=lambda one: one.at))[-MOST_RECORDS:],
        merge_maps(base.begun, ours.begun, theirs.begun),
        merge_maps(base.ended, ours.ended, theirs.ended),
    )


def _by_run(runs: tuple[RunNote, ...]) -> dict[tuple[str, str, str], RunNote]:
    return {(one.event, one.cluster, one.run_id): one for one in runs}
