"""A snapshot to restore goes to nobody who does not lead: a standby would seal itself."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from tests.http_proxy import Exchange, pass_through, status
from tests.lying import SNAPSHOT_PATH, LyingProxy

from raft_snapshot_agent.errors import ServerError
from raft_snapshot_agent.servers.openbao import OpenBaoCluster
from raft_snapshot_agent.vault.leader import Cluster
from raft_snapshot_agent.vault.settings import VaultSettings

WHO_LEADS = "/v1/sys/leader"
OTHER = "https://other.example:8200"
LATER = {"active_time": "2031-01-01T00:00:00Z"}


@pytest.fixture
def node(bao: OpenBaoCluster) -> Iterator[LyingProxy]:
    """The leader, in front of which something may answer."""
    with LyingProxy(bao.leader().address) as proxy:
        yield proxy


@pytest.fixture
def cluster(bao: OpenBaoCluster, node: LyingProxy) -> Iterator[Cluster]:
    auth = {"method": "token", "token": bao.root_token}
    given = {"address": node.address, "auth": auth}
    made = Cluster(VaultSettings.model_validate(given), "anywhere")
    yield made
    made.close()


def answer(bao: OpenBaoCluster, node: LyingProxy, **changed: Any) -> dict[str, Any]:
    """Return what the leader says of itself at the proxy's address, with changes."""
    said = bao.leader().api("GET", "sys/leader")
    return {**said, "leader_address": node.address, **changed}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"is_self": False, "leader_address": OTHER}, f"the leader now: {OTHER}"),
        ({"is_self": False, "leader_address": ""}, "the leader now: none"),
        ({**LATER, "leader_address": OTHER}, f"the leader now: {OTHER}"),
        (LATER, "lost the leadership since it was checked, and leads again"),
    ],
)
@pytest.mark.parametrize("looks", [0, 1])
def test_one_that_leads_no_more_gets_nothing(
    bao: OpenBaoCluster,
    node: LyingProxy,
    cluster: Cluster,
    changed: dict[str, str],
    words: str,
    looks: int,
) -> None:
    node.override(WHO_LEADS, 200, answer(bao, node))
    leader = cluster.find_leader()
    before, after = iter([answer(bao, node)] * looks), answer(bao, node, **changed)

    def say(exchange: Exchange) -> None:
        status(200, next(before, after))(exchange)

    node.behave(WHO_LEADS, say)
    with pytest.raises(ServerError) as raised:
        cluster.send_snapshot(leader, io.BytesIO(b"no snapshot"), force=True)
    assert words in str(raised.value)
    assert ("(restore again" in str(raised.value)) is (words.startswith("the leader now"))
    assert "nothing was changed" in str(raised.value)
    assert "POST" not in {request.method for request in node.requests}


def test_the_upload_uses_the_connection_that_was_asked(
    bao: OpenBaoCluster, node: LyingProxy, cluster: Cluster
) -> None:
    used: list[Any] = []

    def note(exchange: Exchange) -> None:
        used.append(exchange.client)
        pass_through(exchange)

    node.override(WHO_LEADS, 200, answer(bao, node))
    leader = cluster.find_leader()
    cluster.close()
    node.behave(WHO_LEADS, note)
    node.behave(SNAPSHOT_PATH, note)
    with pytest.raises(ServerError, match="gzip"):
        cluster.send_snapshot(leader, io.BytesIO(b"no snapshot"), force=False)
    assert len(used) > 1
    assert len(set(used)) == 1
