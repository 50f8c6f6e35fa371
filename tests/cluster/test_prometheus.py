"""A real Prometheus scrapes the exposition, and our alerts fire when they should, and resolve."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from tests.faults.site import Site
from tests.lying import CuttingTcpProxy
from tests.prometheus import Exporter, Prometheus, needs_prometheus, prometheus
from tests.unit.metrics.statuses import FAILURE, HOUR, agent, cluster, run, storage

from raft_snapshot_agent.core.state.drill_status import DrillStatus
from raft_snapshot_agent.core.state.report import Outcome
from raft_snapshot_agent.core.state.role import Role
from raft_snapshot_agent.core.state.status import AgentStatus, LeaseStatus
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.servers.process import LOOPBACK, free_ports, release_ports, until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

RULES = (Path(__file__).parents[2] / "contrib" / "prometheus" / "alerts.yaml").read_text()
PATIENCE = 120


def hastened(rules: str) -> str:
    """The rules, without their waiting, and over a shorter while."""
    soon = re.sub(r"^ +for: \w+\n", "", rules, flags=re.MULTILINE)
    return soon.replace("[1h]", "[15s]").replace("[7d:10m]", "[15m:1s]")


def now() -> datetime:
    return datetime.now(UTC)


def fine() -> AgentStatus:
    s3 = storage("s3", now())
    leased = LeaseStatus("s3://bucket", "me", held=True)
    return agent(cluster("prod", s3, lease=leased, runs=(run(),), heartbeat=now()), at=now())


def stale() -> AgentStatus:
    return with_cluster(storages=(storage("s3", now() - 9 * HOUR),))


def with_cluster(**changes: object) -> AgentStatus:
    status = fine()
    changed = replace(status.clusters[0], **changes)  # type: ignore[arg-type]
    return replace(status, clusters=(changed,))


STATES: dict[str, Callable[[], AgentStatus | None]] = {
    "RaftSnapshotTooOld": stale,
    "RaftSnapshotAgentAbsent": lambda: None,
    "RaftSnapshotAgentDown": lambda: None,
    "RaftSnapshotDisabled": lambda: with_cluster(disabled="no auth"),
    "RaftSnapshotNeverTaken": lambda: with_cluster(storages=(storage("s3", None),)),
    "RaftSnapshotPartial": lambda: with_cluster(storages=(storage("s3", now(), failing=FAILURE),)),
    "RaftSnapshotVerificationFailed": lambda: with_cluster(
        verification_failures=1, runs=(run(Outcome.FAILED, 4),)
    ),
    "RaftSnapshotDrillFailed": lambda: with_cluster(
        drill=DrillStatus("a.snap", passed=False, at=now(), reason="a canary is missing")
    ),
    "RaftSnapshotNoLeader": lambda: with_cluster(
        role=Role.STANDS_BY, lease=LeaseStatus("s3://bucket")
    ),
    "RaftSnapshotLeaseFailing": lambda: with_cluster(lease=LeaseStatus("s3://b", trouble="503")),
}


@dataclass
class Agent:
    """Whose state is set by the test."""

    state: Callable[[], AgentStatus | None] = fine

    def read(self) -> AgentStatus | None:
        return self.state()


@contextmanager
def watched(watched_agent: Agent, folder: Path) -> Iterator[Prometheus]:
    """Let a Prometheus scrape an agent; nothing fires to begin with."""
    with (
        Exporter(watched_agent.read) as exporter,
        prometheus(folder, exporter.port, hastened(RULES)) as server,
    ):
        until(lambda: not server.firing(), "nothing fires", within=PATIENCE, pause=0.2)
        yield server


def seen_to_fire_and_resolve(watched_agent: Agent, server: Prometheus, name: str) -> None:
    watched_agent.state = STATES[name]
    until(lambda: name in server.firing(), f"{name} fires", within=PATIENCE, pause=0.2)
    watched_agent.state = fine
    until(lambda: not server.firing(), f"{name} resolves", within=PATIENCE, pause=0.2)


@needs_prometheus
@pytest.mark.timeout(500)
def test_a_snapshot_that_is_too_old_fires_and_resolves(tmp_path: Path) -> None:
    found = Agent()
    with watched(found, tmp_path) as server:
        targets = server.ask("targets")["activeTargets"]
        assert {one["scrapePool"] for one in targets} == {"agents"}
        seen_to_fire_and_resolve(found, server, "RaftSnapshotTooOld")


@needs_prometheus
@pytest.mark.soak
@pytest.mark.timeout(900)
def test_every_alert_that_matters_fires_and_resolves(tmp_path: Path) -> None:
    found = Agent()
    with watched(found, tmp_path) as server:
        for name in STATES:
            seen_to_fire_and_resolve(found, server, name)


@pytest.fixture
def site(
    tmp_path: Path, seaweed: SeaweedFS, bucket: str, bao: OpenBaoCluster, approle: AppRole
) -> Iterator[Site]:
    with Site(tmp_path, seaweed, bucket, approle) as site:
        site.vault["address"] = bao.leader().address
        yield site


@needs_prometheus
@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_real_agent_is_scraped_and_a_restart_forgets_nothing(site: Site) -> None:
    (port,) = free_ports(1)
    site.more["web"] = {"listen": f"{LOOPBACK}:{port}"}
    (folder := site.root / "prometheus").mkdir()

    def taken(server: Prometheus) -> dict[str, float]:
        """When the newest snapshot of each storage was taken, as Prometheus knows it now."""
        query = "raft_snapshot_last_success_timestamp_seconds>0"
        return {
            one["metric"]["storage"]: float(one["value"][1])
            for one in server.ask(f"query?query={query}")["result"]
        }

    try:
        with ExitStack() as stack:
            with site.command("run"):
                server = stack.enter_context(prometheus(folder, port, hastened(RULES)))
                both = {"local", "s3"}
                until(lambda: taken(server).keys() == both, "both are told", within=PATIENCE)
                until(lambda: not server.firing(), "nothing fires", within=PATIENCE, pause=0.2)
                first = taken(server)
            absent = {"RaftSnapshotAgentAbsent", "RaftSnapshotAgentDown"}
            until(lambda: server.firing() == absent, "it is missed", within=PATIENCE, pause=0.2)
            with site.command("run"):
                until(lambda: taken(server) == first, "it is known again", within=PATIENCE)
                until(lambda: not server.firing(), "nothing fires", within=PATIENCE, pause=0.2)
                assert taken(server) == first
        assert [len(names) for names in site.names()] == [1, 1]
    finally:
        release_ports([port])


@needs_prometheus
@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_storage_that_goes_away_fires_over_a_restart_until_it_is_back(site: Site) -> None:
    (port,) = free_ports(1)
    site.more |= {"web": {"listen": f"{LOOPBACK}:{port}"}, "schedule": {"every": "2s"}}
    (folder := site.root / "prometheus").mkdir()
    upstream, late = urlsplit(site.seaweed.endpoint), "RaftSnapshotTooOld"

    def holds(server: Prometheus, query: str) -> bool:
        return bool(server.ask(f"query?query={quote(query)}")["result"])

    try:
        with (
            CuttingTcpProxy(upstream.hostname or "", upstream.port or 0) as line,
            ExitStack() as stack,
        ):
            site.s3 |= {"endpoint": line.address, "timeout": "1s"}
            known = 'raft_snapshot_overdue_timestamp_seconds{storage="s3"}>0'
            unlisted = 'raft_snapshot_storage_state{storage="s3"}==3'
            with site.command("run"):
                server = stack.enter_context(prometheus(folder, port, hastened(RULES)))
                until(lambda: holds(server, known), "it is known", within=PATIENCE)
                line.refuse()
                until(lambda: holds(server, unlisted), "it is lost", within=PATIENCE)
                until(lambda: late in server.firing(), "it fires", within=PATIENCE)
            until(lambda: not holds(server, unlisted), "the agent is gone", within=PATIENCE)
            with site.command("run"):
                until(lambda: holds(server, unlisted), "it is still lost", within=PATIENCE)
                until(lambda: late in server.firing(), "it fires again", within=PATIENCE)
                assert not holds(server, known)
                line.restore()
                until(lambda: late not in server.firing(), "it resolves", within=PATIENCE)
    finally:
        release_ports([port])
