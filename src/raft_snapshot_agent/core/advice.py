"""What to do about a problem, with a command to paste that names the cluster."""

from __future__ import annotations

from shlex import quote

CHECK_FIRST = "check the cluster (list, inspect, diff), and only if no data is missing"
"""What an operator must do before an alarm is acknowledged: retention may then delete old ones."""


def command(arguments: str, cluster: str) -> str:
    """Return a command of the agent.

    Arguments:
        arguments: Its name and arguments.
        cluster: The cluster's name; empty if it is the only one.
    """
    which = f" --cluster {quote(cluster)}" if cluster else ""
    return f"raft-snapshot-agent {arguments}{which}"


def advise(what: str, arguments: str, cluster: str) -> str:
    """Return a remedy with its command."""
    return f"{what}: {command(arguments, cluster)}"


def acknowledge(cluster: str) -> str:
    """Return how an operator ends an alarm of the guard."""
    return f"{CHECK_FIRST}, run {command('prune --acknowledge', cluster)}"
