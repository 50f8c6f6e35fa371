"""`doctor`: checks everything and prints what to do."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import asdict

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.operator import with_token_file
from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.doctor import CHECKS, PROBE, examine, worst_first
from raft_snapshot_agent.doctor.results import CheckContext, CheckResult, Status
from raft_snapshot_agent.service import assembly
from raft_snapshot_agent.vault.environment import environment_token_file
from raft_snapshot_agent.vault.leader import Cluster


def doctor(loaded: Loaded, layout: Format, *, probe: bool = False) -> int:
    """Check everything without changing anything; return the exit code.

    Arguments:
        loaded: The configuration of one cluster.
        layout: Whether to print a table or JSON.
        probe: Also write a small object to each storage, and remove it.
    """
    config = with_token_file(loaded, os.environ).config
    by_file = loaded.config.vault.auth is None and config.vault.auth is not None
    destinations = assembly.destinations(config, cluster=loaded.name) if config.storages else ()
    cluster = Cluster(config.vault, config.run_on)
    context = CheckContext(config, os.environ, destinations, cluster, tell=output.talk)
    context.token_file = environment_token_file(os.environ) if by_file else None
    context.cautions = loaded.warnings
    context.source, context.phase = loaded.source, loaded.phase
    checks = {**CHECKS, **PROBE} if probe else CHECKS

    async def work() -> list[CheckResult]:
        return await examine(context, checks)

    found = wait_for(work)
    if layout is Format.JSON:
        output.data([_document(result) for result in found])
    else:
        output.report([_line(result) for result in worst_first(found)])
        output.talk(_summary(found))
    return max((result.exit_code for result in found), default=0)


def _document(result: CheckResult) -> dict[str, str]:
    document = asdict(result)
    del document["exit_code"]
    return document


def _line(result: CheckResult) -> tuple[str, str, str, str]:
    return result.status.value, result.check, result.message, result.advice


def _summary(found: list[CheckResult]) -> str:
    number = Counter(result.status for result in found)
    words = {
        Status.FAILURE: "failed",
        Status.WARNING: "to check",
        Status.SKIPPED: "not checked",
        Status.SUCCESS: "good",
    }
    counts = ", ".join(f"{number[one]} {word}" for one, word in words.items() if number[one])
    return f"{len(found)} findings: {counts}"
