"""`doctor`: everything that can be wrong, and what to do about it."""

from __future__ import annotations

import os
from dataclasses import asdict

from raft_snapshot_agent import assembly
from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.operator import with_token_file
from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.load import Loaded
from raft_snapshot_agent.doctor import Finding, Patient, examine
from raft_snapshot_agent.vault.leader import Cluster


def doctor(loaded: Loaded, layout: Format) -> int:
    """Check everything and change nothing; return the exit code."""
    config = with_token_file(loaded, os.environ).config
    places = assembly.places(config) if config.storages else ()
    patient = Patient(config, os.environ, places, Cluster(config.vault, config.run_on))

    async def work() -> list[Finding]:
        return await examine(patient)

    found = wait_for(work)
    rows = [asdict(finding) for finding in found]
    for row in rows:
        del row["exit_code"]
    output.table(rows, layout)
    return max((finding.exit_code for finding in found), default=0)
