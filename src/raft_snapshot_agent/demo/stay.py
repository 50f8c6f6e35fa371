"""`demo --stay`: cluster, agents and page run until Ctrl-C, with three things to try."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from raft_snapshot_agent.demo.screen import Screen
from raft_snapshot_agent.servers.openbao import OpenBaoCluster
from raft_snapshot_agent.servers.process import ServerProcess, program
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

_LOOK_EVERY = 1.0
_TRIED = "app/7"
"""The secret to overwrite and recover."""


def has_page() -> bool:
    """Return whether the page can be served: its libraries come with the extra `demo`."""
    return find_spec("uvicorn") is not None and find_spec("starlette") is not None


@dataclass(frozen=True, slots=True)
class Playground:
    """The running parts of the demo."""

    folder: Path
    cluster: OpenBaoCluster
    s3: SeaweedFS
    agents: Sequence[ServerProcess]
    config: Path
    """Of the agent beside the leader: `status` finds it by that."""
    operators: Path
    """The same with what `recover` needs."""
    page: str
    """Its address; empty where there is none."""


def add_operators_part(document: dict[str, object], folder: Path, keys: Sequence[str]) -> None:
    """Add what `recover` needs: the unseal keys, each in a file.

    Arguments:
        document: The configuration of an agent.
        folder: Of the demo.
        keys: The unseal keys.
    """
    references = []
    for number, key in enumerate(keys, 1):
        path = folder / f"unseal_{number}"
        path.write_text(key)
        references.append(f"file://{path}")
    document["drill"] = {"unseal": {"keys": references}}


def stay(screen: Screen, playground: Playground) -> None:
    """Show what can be tried, and wait for Ctrl-C."""
    token = playground.folder / "root_token"
    token.write_text(playground.cluster.root_token)
    screen.note("")
    if playground.page:
        screen.note(f"The page: {playground.page}")
    screen.note(f"The same in a terminal: {_agent('status --watch', playground.config)}")
    for title, commands in _list_trials(playground, token):
        screen.note(f"\n{title}")
        for command in commands:
            screen.note(f"  {command}")
    screen.note("\nCtrl-C ends it and removes everything.")
    try:
        while True:
            for agent in playground.agents:
                agent.check()
            time.sleep(_LOOK_EVERY)
    except KeyboardInterrupt:
        screen.note("\nStopping.")


def _list_trials(playground: Playground, token: Path) -> list[tuple[str, list[str]]]:
    leader, s3 = playground.cluster.leader(), playground.s3.process.pid
    operator = f"BAO_TOKEN=$(cat {shlex.quote(str(token))})"
    bao = f"BAO_ADDR={leader.address} {operator} {shlex.quote(program('bao'))}"
    put = shlex.quote(json.dumps({"password": "overwritten by mistake"}))
    recover = _agent(f"recover --latest secret/{_TRIED}", playground.operators)
    return [
        (
            "1. Kill the leader: another agent takes over.",
            [f"kill -9 {leader.process.pid}    # {leader.name}"],
        ),
        (
            "2. Break a storage: the other still gets its snapshots. Then mend it.",
            [f"kill -STOP {s3}    # the S3 server", f"kill -CONT {s3}"],
        ),
        (
            "3. Overwrite one secret, and get it back out of a snapshot (before the first thing).",
            [
                f"echo {put} | {bao} kv put -mount=secret {_TRIED} -",
                f"{operator} {recover}",
            ],
        ),
    ]


def _agent(command: str, config: Path) -> str:
    called = f"{shlex.quote(sys.executable)} -m raft_snapshot_agent"
    return f"{called} {command} --config {shlex.quote(str(config))}"
