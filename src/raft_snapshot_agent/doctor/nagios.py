"""The output of `check` for Nagios and similar systems: one state, one line, one document."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from raft_snapshot_agent.core.state.holding import CheckState
from raft_snapshot_agent.core.state.plugin_line import format_plugin_line
from raft_snapshot_agent.core.state.verdict import Verdict, overall, rank

_LONGEST = 300
"""Maximum characters per storage, as the line must be short."""


def line(results: Sequence[Verdict]) -> str:
    """Return the line of a plugin, the worst result first, with performance data.

    Source: "Nagios Plugins Development Guidelines".
    """
    ranked = sorted(results, key=lambda one: rank(one.state))
    told = "; ".join(f"{one.label}: {_short(one.message)}" for one in ranked)
    measured = " ".join(_format_perfdata(one) for one in results if one.age is not None)
    return format_plugin_line(overall(results).name, told) + (f" | {measured}" if measured else "")


def unknown_line(why: str) -> str:
    """Return the line for the state UNKNOWN."""
    return format_plugin_line(CheckState.UNKNOWN.name, why)


def document(results: Sequence[Verdict]) -> dict[str, Any]:
    """Return the results as a JSON document."""
    state = overall(results)
    return {
        "status": state.name,
        "exit_code": int(state),
        "storages": [_entry(one) for one in results],
    }


def unknown_document(why: str) -> dict[str, Any]:
    """Return the JSON document for the state UNKNOWN."""
    return {"status": CheckState.UNKNOWN.name, "exit_code": 3, "message": why, "storages": []}


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _format_perfdata(result: Verdict) -> str:
    label = "".join("_" if one in "'= |" else one for one in f"age_{result.label}")
    seconds = int((result.age or timedelta(0)).total_seconds())
    limit = "" if result.limit is None else str(int(result.limit.total_seconds()))
    bounds = f";{limit}" if result.required else f"{limit};"
    return f"{label}={seconds}s;{bounds};0"


def _entry(result: Verdict) -> dict[str, Any]:
    newest = result.newest
    return {
        "cluster": result.cluster or None,
        "storage": result.storage,
        "status": result.state.name,
        "message": result.message,
        "newest": None if newest is None else newest.name,
        "taken_at": None if newest is None else newest.taken_at.isoformat(),
        "age_seconds": None if result.age is None else int(result.age.total_seconds()),
        "limit_seconds": None if result.limit is None else int(result.limit.total_seconds()),
        "due_at": None if result.due is None else result.due.isoformat(),
    }
