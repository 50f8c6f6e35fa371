"""Merges the notification memories of two processes.

A three-way merge: an entry that this process has changed since its last read is kept; all others
are taken from the file.
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
    """Return the merged memories.

    Arguments:
        base: Content as this process last read or wrote it.
        ours: Present memories of this process.
        theirs: Present content of the file.
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
    """Return `theirs` with the changes from `base` to `ours` applied."""
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
