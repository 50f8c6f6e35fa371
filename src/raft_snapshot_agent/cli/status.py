"""`status`: the state in one word, and how to solve problems."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.cli.status_source import Document, ask_daemon, ask_storages, ask_url
from raft_snapshot_agent.config.loaded import LoadedFleet
from raft_snapshot_agent.core.ages import format_age
from raft_snapshot_agent.core.alarms.problems import EXIT_CODES, STARTING, Severity
from raft_snapshot_agent.core.sizes import format_size
from raft_snapshot_agent.errors import AgentError, ConfigError
from raft_snapshot_agent.standard_output import flush

_EVERY = 2.0
"""Seconds between two updates of `--watch`."""
_FROM_STORAGES = 60.0
"""The same if the storages are read."""
_RUNS = 10
_LISTED = 50
"""Maximum number of clusters without problems that are listed."""


@dataclass(frozen=True, slots=True)
class StatusWish:
    """The arguments of `status`."""

    url: str | None = None
    watch: bool = False
    quiet: bool = False
    verbose: bool = False
    layout: Format = Format.TABLE
    cluster: str | None = None
    """Show only this cluster."""


@dataclass(frozen=True, slots=True)
class StatusSource:
    """How to find and load the configuration; with a URL neither is needed."""

    locate: Callable[[], Path | None]
    """Returns the path of its file, which identifies the daemon even if the file is invalid."""
    load: Callable[[], LoadedFleet]
    """Loads it if no daemon answers."""


def status(source: StatusSource, wish: StatusWish) -> int:
    """Print the status; return the exit code.

    Arguments:
        source: How to find the configuration.
        wish: The arguments.
    """
    while True:
        found, running = _ask(source, wish.url)
        if wish.watch and output.is_terminal(sys.stdout):
            output.clear()
        try:
            if wish.cluster is not None:
                found = _only(found, wish.cluster)
            show(found, running=running, wish=wish)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            hint = "use one version for this command and the daemon"
            raise AgentError("the answer is not a status document", hint=hint) from error
        if not wish.watch:
            return exit_code(found)
        flush()
        time.sleep(_EVERY if running else _FROM_STORAGES)


def _ask(source: StatusSource, url: str | None) -> tuple[Document, bool]:
    """Return the status, and whether a daemon reported it."""
    if url is not None:
        return ask_url(url), True
    found = ask_daemon(source.locate())
    return (ask_storages(source.load), False) if found is None else (found, True)


def _only(found: Document, cluster: str) -> Document:
    """Return the part of a status about one cluster.

    Raises:
        ConfigError: It has no cluster of that name.
    """
    names = [one["cluster"] for one in found["clusters"]]
    if cluster not in names:
        there = ", ".join(filter(None, names)) or "one without a name"
        raise ConfigError(f"no cluster is called {cluster!r}", hint=f"there are: {there}")
    problems = [one for one in found["problems"] if one["cluster"] == cluster]
    worst = _find_worst(problems)
    word = found["summary"] if found["summary"] == STARTING and not problems else str(worst)
    clusters = [one for one in found["clusters"] if one["cluster"] == cluster]
    told = {"summary": word, "status": clusters[0]["status"], "exit_code": EXIT_CODES[worst]}
    return {**found, **told, "problems": problems, "clusters": clusters}


def exit_code(found: Document) -> int:
    """Return 0 without problems, 6 if something needs attention, 2 if snapshots fail."""
    return EXIT_CODES[_find_worst(found["problems"])]


def _find_worst(problems: list[Document]) -> Severity:
    return max((Severity[one["severity"].upper()] for one in problems), default=Severity.FINE)


def show(found: Document, *, running: bool, wish: StatusWish) -> None:
    """Print the status.

    Arguments:
        found: The status.
        running: Whether a daemon reported it.
        wish: The arguments.
    """
    if wish.layout is Format.JSON:
        output.data(found)
        return
    output.text(f"{found['summary']}: {_summarise(found, running)}")
    if wish.quiet:
        return
    for problem in found["problems"]:
        subject = "/".join(filter(None, (problem["cluster"], problem["storage"])))
        since = f" (since {problem['since']})" if problem["since"] else ""
        told = f"{problem['message']}{since}"
        output.report([(problem["severity"], subject or "-", told, problem["advice"])])
    now = _moment(found["at"])
    concerned = {one["cluster"] for one in found["problems"]}
    clusters = sorted(found["clusters"], key=lambda one: one["cluster"] not in concerned)
    for cluster in clusters[: len(concerned) + _LISTED]:
        _show_cluster(cluster, now, running, wish.verbose)
    if len(clusters) > len(concerned) + _LISTED:
        output.text(f"... and {len(clusters) - len(concerned) - _LISTED} clusters without problems")


def _summarise(found: Document, running: bool) -> str:
    clusters = len(found["clusters"])
    many = f"{clusters} clusters, " if clusters > 1 else ""
    if not running:
        return f"{many}from the storages, as no daemon with this configuration answers here"
    since = format_age(_moment(found["at"]) - _moment(found["started_at"]))
    return f"{many}the daemon (version {found['version']}) has run for {since}"


def _show_cluster(cluster: Document, now: datetime, running: bool, verbose: bool) -> None:
    output.text("")
    name = cluster["cluster"] or "The cluster"
    told = "; ".join(_describe(cluster, now)) if running else "according to its storages:"
    output.text(f"{name} {told}")
    output.table([_row(one, now) for one in cluster["storages"]], Format.TABLE)
    if drill := cluster["drill"]:
        output.text(_describe_drill(drill, now))
    if verbose and cluster["runs"]:
        output.text("")
        output.table([_run(one) for one in cluster["runs"][-_RUNS:]], Format.TABLE)


def _describe(cluster: Document, now: datetime) -> Iterator[str]:
    """Describe which agent works for a cluster, and when its next snapshot is due."""
    node = f", from {cluster['node']}" if cluster["node"] else ""
    yield _describe_worker(cluster, node)
    if cluster["running"]:
        received = format_size(cluster["running"]["received_bytes"])
        since = format_age(now - _moment(cluster["running"]["since"]))
        yield f"a snapshot is under way ({received} received in {since})"
    elif cluster["next_due"]:
        due = _moment(cluster["next_due"])
        yield f"the next is due in {format_age(due - now)} ({due:%Y-%m-%d %H:%M:%S} UTC)"


def _describe_worker(cluster: Document, node: str) -> str:
    if cluster["disabled"]:
        return "is disabled, its configuration is invalid"
    lease = cluster["lease"]
    if lease and not lease["held"]:
        if lease["holder"]:
            return f"is left to another agent ({lease['holder']} holds the lease)"
        if lease["trouble"]:
            return "is backed up by an unknown agent: the lease cannot be read"
        return "is backed up by nobody at present: nobody holds the lease"
    if cluster["failing"]:
        return "is not backed up by this agent, whose last snapshot failed"
    return {
        "works": f"is backed up by this agent{node}",
        "stands by": "is left to another agent",
    }.get(cluster["role"], "has not run yet")


def _describe_drill(drill: Document, now: datetime) -> str:
    passed = f"passed in {drill['seconds']:.1f} s"
    how = passed if drill["passed"] else f"failed: {drill['reason']}"
    age = format_age(now - _moment(drill["at"]))
    return f"The last drill, {age} ago, of {drill['snapshot']}, {how}"


def _row(storage: Document, now: datetime) -> dict[str, str]:
    taken = storage["taken_at"]
    return {
        "storage": storage["storage"],
        "state": storage["status"],
        "newest": f"{format_age(now - _moment(taken))} old" if taken else "-",
        "schedule": storage["schedule"],
        "stored": str(storage["stored"]),
        "size": format_size(storage["stored_bytes"]),
        "location": storage["location"],
    }


def _run(run: Document) -> dict[str, str]:
    snapshot = run["snapshot"]
    took = _moment(run["finished_at"]) - _moment(run["started_at"])
    return {
        "started": run["started_at"],
        "outcome": run["outcome"],
        "took": format_age(took),
        "index": str(snapshot["index"]) if snapshot else "-",
        "size": format_size(snapshot["bytes"]) if snapshot else "-",
        "error": run["error"] or "",
    }


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
