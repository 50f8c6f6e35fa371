"""Which nodes of a cluster are known before a restore."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from raft_snapshot_agent.errors import Denied
from raft_snapshot_agent.restore import members
from raft_snapshot_agent.restore.members import Reported, find_reported

A, B, C = "https://a:8200", "https://b:8200", "https://c:8200"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "_POLL", 0.0)


class Leads:
    """A leader that knows more nodes each time it is asked."""

    def __init__(self, known: Sequence[Sequence[str]], servers: int) -> None:
        self._known, self._servers = known, servers
        self.asked = 0

    def list_members(self, token: str) -> Sequence[Any]:
        assert token == "t"
        self.asked += 1
        return [
            SimpleNamespace(api_address=one)
            for one in self._known[min(self.asked, len(self._known)) - 1]
        ]

    def count_servers(self, token: str) -> int:
        assert token == "t"
        return self._servers


async def reported(node: Any, uses: int | None = None) -> Reported:
    session = SimpleNamespace(token=lambda _: "t", uses=uses)
    cluster: Any = SimpleNamespace(session=session)
    leader: Any = SimpleNamespace(node=node)
    return await find_reported(cluster, leader)


async def test_a_new_leader_is_asked_until_its_standbys_have_reported() -> None:
    node = Leads([[A], [A], [A, B], [A, B, C]], servers=3)
    assert await reported(node) == Reported((A, B, C), 3)
    assert node.asked == 4


async def test_one_that_does_not_report_is_not_waited_for_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(members, "_HEARD_WITHIN", 0.2)
    assert await reported(Leads([[A, B]], servers=3)) == Reported((A, B), 3)


@pytest.mark.parametrize(("known", "servers"), [([], 3), ([A], 0), ([A, B, C], 3), ([A, B, C], 2)])
async def test_where_nothing_is_missing_or_told_it_is_asked_once(
    known: list[str], servers: int
) -> None:
    node = Leads([known], servers)
    assert await reported(node) == Reported(tuple(known), servers)
    assert node.asked == 1


async def test_a_token_of_few_uses_is_left_for_the_restore() -> None:
    node = Leads([[A], [A, B, C]], servers=3)
    assert await reported(node, uses=5) == Reported((A,), 0)
    assert node.asked == 1


async def test_a_refusal_is_no_failure() -> None:
    def refuse(_: str) -> None:
        raise Denied("no")

    assert await reported(SimpleNamespace(list_members=refuse)) == Reported()
