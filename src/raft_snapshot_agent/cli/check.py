"""`check`: whether every storage has a fresh snapshot, for monitoring systems."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

import typer

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.loaded import LoadedFleet
from raft_snapshot_agent.core.duration import parse_duration
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.core.state.holding import CheckState
from raft_snapshot_agent.core.state.verdict import Verdict, judge_holding, overall
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.destination.holdings import look_at_all
from raft_snapshot_agent.doctor.nagios import (
    document,
    line,
    unknown_document,
    unknown_line,
)
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.redaction import redact
from raft_snapshot_agent.service import assembly

Shelf = tuple[str, Destination, ScheduleSpec]
"""A cluster's name, one of its storages, and the cluster's schedule."""


def check(
    load: Callable[[], LoadedFleet], names: Collection[str], max_age: str | None, layout: Format
) -> int:
    """Print on one line how old the newest snapshots are; return an exit code for Nagios.

    Arguments:
        load: Loads the configuration.
        names: The storages to check; none: all.
        max_age: Maximum age of the newest snapshot, as typed.
        layout: Whether to print a line or a JSON document.
    """
    try:
        results = _results(load, names, None if max_age is None else _age(max_age))
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 - monitoring systems read standard output
        return _print_unknown(redact(str(as_failure(error))), layout)
    if layout is Format.JSON:
        output.data(document(results))
    else:
        output.text(line(results))
    return int(overall(results))


def _print_unknown(why: str, layout: Format) -> int:
    if layout is Format.JSON:
        output.data(unknown_document(why))
    else:
        output.text(unknown_line(why))
    return int(CheckState.UNKNOWN)


def _results(
    load: Callable[[], LoadedFleet], names: Collection[str], max_age: timedelta | None
) -> list[Verdict]:
    shelves = _chosen(_shelves(load()), names)
    now = datetime.now(UTC)
    timed = [(destination, timing) for _, destination, timing in shelves]
    holdings = wait_for(lambda: look_at_all(timed, now))
    return [
        judge_holding(holding, now, max_age, cluster)
        for (cluster, *_), holding in zip(shelves, holdings, strict=True)
    ]


def _shelves(fleet: LoadedFleet) -> list[Shelf]:
    return [
        (cluster, destination, loaded.timing)
        for cluster, loaded in fleet.clusters.items()
        for destination in assembly.destinations(loaded.config, cluster=cluster)
    ]


def _chosen(shelves: list[Shelf], names: Collection[str]) -> list[Shelf]:
    known = dict.fromkeys(destination.name for _, destination, _ in shelves)
    for name in names:
        if name not in known:
            hint = f"there are: {', '.join(known)}"
            raise ConfigError(f"no storage is called {name!r}", hint=hint)
    return [shelf for shelf in shelves if not names or shelf[1].name in names]


def _age(text: str) -> timedelta:
    try:
        age = parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"--max-age: {error}", hint="write the unit, such as 2h") from error
    if not age:
        raise ConfigError(
            "--max-age: must be longer than zero", hint="write how old it may be, such as 2h"
        )
    return age
