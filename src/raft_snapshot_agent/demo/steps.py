"""The demo's steps, in order; each must succeed."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import anyio

from raft_snapshot_agent.config.load import load
from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.core.snapshots.naming import newest_first
from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.demo.screen import Screen
from raft_snapshot_agent.demo.stay import Playground, add_operators_part, has_page, stay
from raft_snapshot_agent.demo.way_back import (
    CANARY,
    CANARY_VALUE,
    LATER,
    drill_and_recover,
    tell_changes,
)
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import AgentError, ServerError, VerificationError
from raft_snapshot_agent.restore.examine import examine
from raft_snapshot_agent.restore.reader import StoredReader
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster, prepare_agent
from raft_snapshot_agent.servers.process import ServerProcess, free_ports
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS
from raft_snapshot_agent.service import assembly

_NODES = 3
_SECRETS = 50
_EVERY = 3
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Stage:
    """What the steps share: cluster, agents and storages."""

    folder: Path
    cluster: OpenBaoCluster
    destinations: tuple[Destination, ...]
    agents: dict[str, ServerProcess]
    s3: SeaweedFS
    pages: dict[str, str]
    """Addresses of the agents' pages, by node."""


def play(screen: Screen, *, goes_on: bool = False) -> None:
    """Run every step.

    Arguments:
        screen: Where they are shown.
        goes_on: Leave cluster, agents and page running after the first steps, until Ctrl-C.

    Raises:
        AgentError: A step did not hold.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="raft-demo-")))
        stage = _set_up(screen, stack, folder)
        _watch_snapshots(screen, stage)
        if goes_on:
            stay(screen, _playground(stage))
            return
        _kill_leader(screen, stage)
        _stop_agents(screen, stage)
        anyio.run(_verify_all, screen, stage)
        anyio.run(tell_changes, screen, stage.destinations[0])
        spool = folder / "spool"
        anyio.run(drill_and_recover, screen, stage.destinations[1], stage.cluster, spool)


def _set_up(screen: Screen, stack: ExitStack, folder: Path) -> Stage:
    with screen.step("Starting three OpenBao nodes") as seen:
        cluster = stack.enter_context(
            OpenBaoCluster.start(folder / "bao", nodes=_NODES, shares=3, threshold=2)
        )
        version = cluster.leader().seal_status()["version"]
        seen.append(f"OpenBao {version}: three nodes on loopback, {cluster.leader().name} leads")
    with screen.step("Starting an S3 server") as seen:
        s3 = stack.enter_context(SeaweedFS.start(folder / "s3"))
        s3.create_bucket("vault-backups")
        seen.append(f"SeaweedFS: S3 at {s3.endpoint}, bucket vault-backups")
    with screen.step("Setting up policy and AppRole") as seen:
        role = prepare_agent(cluster, token_ttl="20m")  # noqa: S106
        for number in range(_SECRETS):
            cluster.write_secret(f"app/{number}", {"password": f"secret number {number}"})
        cluster.write_secret(CANARY, {"value": CANARY_VALUE})
        seen.append(f"policy and AppRole for the agent, {_SECRETS} secrets written")
    with screen.step("Starting an agent beside each node") as seen:
        pages = dict(zip((n.name for n in cluster.nodes), _choose_pages(), strict=False))
        files = {
            n.name: _write_configuration(folder, n, role, s3, pages.get(n.name, ""))
            for n in cluster.nodes
        }
        agents = {name: _start_agent(stack, folder, name, file) for name, file in files.items()}
        seen.append(f"three agents, one beside each node; a snapshot every {_EVERY} s")
    if pages:
        screen.detail(f"how things stand, while it runs: {pages[cluster.leader().name]}")
    config = load(next(iter(files.values())), {}).config
    return Stage(folder, cluster, assembly.destinations(config), agents, s3, pages)


def _choose_pages() -> list[str]:
    """Choose an address for the page of each agent; none where it cannot be served."""
    return [f"http://127.0.0.1:{port}/" for port in free_ports(_NODES)] if has_page() else []


def _playground(stage: Stage) -> Playground:
    name = stage.cluster.leader().name
    file = stage.folder / f"{name}.json"
    own = stage.folder / "operator.json"
    document = read_json(file.read_text())
    add_operators_part(document, stage.folder, stage.cluster.unseal_keys)
    own.write_text(json.dumps(document, indent=2))
    agents = [*stage.agents.values()]
    page = stage.pages.get(name, "")
    return Playground(stage.folder, stage.cluster, stage.s3, agents, file, own, page)


def _write_configuration(
    folder: Path, node: OpenBaoNode, role: AppRole, s3: SeaweedFS, page: str
) -> Path:
    (folder / "secret_id").write_text(role.secret_id)
    (folder / "s3_key").write_text(s3.secret_access_key)
    (folder / "spool").mkdir(exist_ok=True)
    auth = {"method": "approle", "role_id": role.role_id, "secret_id": f"file://{folder}/secret_id"}
    bucket = {
        "type": "s3",
        "bucket": "vault-backups",
        "prefix": "demo/",
        "endpoint": s3.endpoint,
        "region": s3.region,
        "access_key_id": s3.access_key_id,
        "secret_access_key": f"file://{folder}/s3_key",
    }
    document = {
        "vault": {"address": node.address, "auth": auth},
        "schedule": {"every": f"{_EVERY}s"},
        "retention": {"last": 20},
        "spool": str(folder / "spool"),
        "storages": [{"type": "local", "path": str(folder / "snapshots")}, bucket],
    }
    if page:
        document["web"] = {"listen": urlsplit(page).netloc}
    file = folder / f"{node.name}.json"
    file.write_text(json.dumps(document, indent=2))
    return file


def _start_agent(stack: ExitStack, folder: Path, name: str, file: Path) -> ServerProcess:
    argv = [sys.executable, "-m", "raft_snapshot_agent", "run", "--config", str(file)]
    agent = ServerProcess(f"agent-{name}", argv, folder / f"agent-{name}.log", {"HOME": "/"})
    agent.start()
    stack.callback(agent.kill)
    return agent


def _watch_snapshots(screen: Screen, stage: Stage) -> None:
    with screen.step("Waiting for two snapshots in each storage") as seen:
        _until(
            lambda: all(len(found) >= 2 for found in _list_stored(stage)), "two snapshots", stage
        )
        seen.append("two snapshots arrived in both storages")
    for destination, found in zip(stage.destinations, _list_stored(stage), strict=True):
        screen.detail(f"{destination.name}: {found[0].name}")
    for number in range(LATER):
        stage.cluster.write_secret(f"later/{number}", {"password": "new"})


def _kill_leader(screen: Screen, stage: Stage) -> None:
    with screen.step("Killing the leader") as seen:
        old = stage.cluster.leader()
        before = _list_stored(stage)[1][0]
        old.kill()
        start = time.monotonic()
        new = stage.cluster.leader()
        elected = time.monotonic() - start
        _until(lambda: _list_stored(stage)[1][0].name != before.name, "the takeover", stage)
        taken = time.monotonic() - start - elected
        seen += [f"leader {old.name} killed (kill -9)", f"{new.name} leads after {elected:.1f} s"]
    screen.detail(f"its agent's first snapshot came {taken:.1f} s later")


def _stop_agents(screen: Screen, stage: Stage) -> None:
    with screen.step("Stopping the agents") as seen:
        for agent in stage.agents.values():
            agent.terminate()
        left = [*stage.folder.glob("spool/.*"), *stage.folder.glob("snapshots/.*")]
        if left:
            raise VerificationError(f"left behind: {left[0].name}")
        seen.append("agents stopped with SIGTERM; no temporary file is left")


async def _verify_all(screen: Screen, stage: Stage) -> None:
    with screen.step("Verifying every stored snapshot") as seen:
        digests = []
        for destination in stage.destinations:
            stored = await destination.stored()
            digests.append(
                {one.name: (await examine(StoredReader(destination, one))).sha256 for one in stored}
            )
        if digests[0] != digests[1]:
            raise VerificationError("the two storages do not hold the same snapshots")
        count = sum(map(len, digests))
        seen.append(f"{count} of {count} stored snapshots are whole; both storages hold the same")


def _list_stored(stage: Stage) -> list[tuple[Stored, ...]]:
    async def ask() -> list[tuple[Stored, ...]]:
        return [newest_first(await destination.stored()) for destination in stage.destinations]

    return anyio.run(ask)


def _until(holds: Callable[[], bool], what: str, stage: Stage) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        for agent in stage.agents.values():
            agent.check()
        try:
            if holds():
                return
        except (AgentError, IndexError):
            pass  # not yet
        time.sleep(0.2)
    raise ServerError(f"{what} did not come within {_PATIENCE:g} s")
