from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.faults.site import Site
from tests.lying import LyingProxy, S3Faults
from tests.patience import impatient

from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster, fill, prepare_agent
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

__all__ = ["impatient"]

BIG = 18_000_000


@dataclass(frozen=True, slots=True)
class Filled:
    """A server whose snapshots are uploaded in several parts."""

    cluster: OpenBaoCluster
    approle: AppRole


@pytest.fixture
def site(tmp_path: Path, seaweed: SeaweedFS, bucket: str, approle: AppRole) -> Iterator[Site]:
    """Where the agent of `bao` works."""
    with Site(tmp_path, seaweed, bucket, approle) as site:
        yield site


@pytest.fixture
def server(bao: OpenBaoCluster, site: Site) -> Iterator[LyingProxy]:
    """What the agent takes for its server."""
    with LyingProxy(bao.leader().address) as proxy:
        site.behind(proxy)
        yield proxy


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """A single node that all tests of this process share: leave it unsealed and running."""
    with OpenBaoCluster.start(tmp_path_factory.mktemp("filled")) as cluster:
        fill(cluster, BIG)
        yield Filled(cluster, prepare_agent(cluster))


@pytest.fixture
def big_site(tmp_path: Path, seaweed: SeaweedFS, bucket: str, filled: Filled) -> Iterator[Site]:
    """Where the agent of `filled` works."""
    with Site(tmp_path, seaweed, bucket, filled.approle) as site:
        yield site


@pytest.fixture
def big_server(filled: Filled, big_site: Site) -> Iterator[LyingProxy]:
    """What the agent of `big_site` takes for its server."""
    with LyingProxy(filled.cluster.leader().address) as proxy:
        big_site.behind(proxy)
        yield proxy


@pytest.fixture
def s3(seaweed: SeaweedFS) -> Iterator[S3Faults]:
    """Stands before the S3 store; a site uses it when its endpoint is set so."""
    with S3Faults(seaweed.endpoint) as faults:
        yield faults
