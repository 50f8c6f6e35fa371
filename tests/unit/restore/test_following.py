"""What is concluded from how the server looks that received a snapshot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from raft_snapshot_agent.errors import NoLeader, NotListening, Sealed, ServerError, Unreachable
from raft_snapshot_agent.restore import following
from raft_snapshot_agent.restore.following import follow_leader
from raft_snapshot_agent.vault.answers import Identity
from raft_snapshot_agent.vault.leader import Leader

LEADS: None = None
REFUSED = NotListening("cannot reach http://a: connection refused")
CUT = Unreachable("cannot reach http://a: connection reset")
SEALED = Sealed("http://a is sealed")
UNKNOWN = "it is unknown whether the cluster was restored"


@dataclass
class Server:
    """A server that looks as it is told, one look after the other; the last one stays."""

    looks: list[ServerError | None]
    address: str = "http://a"

    def leader_status(self) -> None:
        trouble = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if trouble is not None:
            raise trouble


@dataclass
class Cluster:
    """A cluster that has a leader as soon as its server has no trouble."""

    back: Leader

    def find_leader(self) -> Leader:
        server: Any = self.back.node
        if server.looks[0] is not None:
            raise NoLeader("the cluster has no leader")
        return self.back


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_POLL", 0.0)


async def followed(*looks: ServerError | None, force: bool = False) -> Leader | None:
    server: Any = Server([*looks])
    before = Leader(server, 7, "before", Identity())
    cluster: Any = Cluster(replace(before, active_since="after"))
    return await follow_leader(cluster, before, force=force, taken=True, patience=60)


async def test_one_that_never_ended_and_leads_again_has_restored_it() -> None:
    assert await followed(CUT, LEADS) is not None


async def test_one_that_seals_by_force_has_restored_it() -> None:
    assert await followed(CUT, SEALED, force=True) is None


@pytest.mark.parametrize(
    ("looks", "force", "cause", "next_step"),
    [
        ([SEALED], False, "no longer the leader, or restarted meanwhile", "unseal it, then check"),
        ([REFUSED, SEALED], False, "because it was restarted meanwhile", "unseal it, then check"),
        ([REFUSED, SEALED], True, "because it was restarted meanwhile", "if they open it"),
        ([REFUSED, LEADS], False, "was restarted meanwhile", "check whether the cluster has"),
        ([REFUSED, LEADS], True, "was restarted meanwhile", "check whether the cluster has"),
    ],
)
async def test_what_a_restart_or_a_seal_leaves_unknown_is_told_so(
    looks: list[ServerError | None], force: bool, cause: str, next_step: str
) -> None:
    with pytest.raises(ServerError, match=UNKNOWN) as caught:
        await followed(*looks, force=force)
    assert "http://a received the snapshot" in caught.value.message
    assert cause in caught.value.message
    assert next_step in caught.value.hint
