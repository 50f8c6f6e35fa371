"""Every node is followed until nothing more is to be expected of it, and its next step told."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from raft_snapshot_agent.core.snapshot_file.clear_parts import Seal
from raft_snapshot_agent.errors import PartialFailure
from raft_snapshot_agent.restore import aftermath, members
from raft_snapshot_agent.restore.aftermath import Aftermath, follow_members
from raft_snapshot_agent.restore.members import Condition, Members, MemberState, look_at
from raft_snapshot_agent.restore.seals import Seals
from raft_snapshot_agent.restore.unsealing import Unsealer
from raft_snapshot_agent.vault.answers import Answer, Identity
from raft_snapshot_agent.vault.settings import VaultSettings

A, B = "http://a:8200", "http://b:8200"
ACTIVE, STANDBY, SEALED = Condition.ACTIVE, Condition.STANDBY, Condition.SEALED
BACK: Any = SimpleNamespace(applied_index=50)
Seen = tuple[Condition, int] | Condition


class Script:
    """Members that look as they are told, one look after the other; the last one stays."""

    def __init__(self, **looks: Sequence[Seen]) -> None:
        self._looks = {f"http://{name}:8200": [*told] for name, told in looks.items()}
        self.nodes: list[Any] = [FakeNode(address) for address in self._looks]

    def close(self) -> None:
        """Connect anew, which leads to the same nodes."""

    async def look(self) -> tuple[MemberState, ...]:
        return tuple(self._next(address, told) for address, told in self._looks.items())

    def _next(self, address: str, told: list[Seen]) -> MemberState:
        seen = told.pop(0) if len(told) > 1 else told[0]
        condition, index = seen if isinstance(seen, tuple) else (seen, 99)
        identity = Identity(sealed=condition is SEALED, shares=1, threshold=1)
        return MemberState(address, condition, identity, index)


class FakeNode:
    """A server that opens with the key `right`."""

    def __init__(self, address: str) -> None:
        self.address = address

    def call(self, _: str, path: str, *, body: dict[str, Any]) -> Answer:
        assert path == "sys/unseal"
        if body.get("key") == "right":
            return Answer(200, {"sealed": False})
        return Answer(400, {"errors": ["wrong key"]})


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "_POLL", 0.0)


async def followed(
    script: Script,
    back: Any = None,
    unsealer: Unsealer | None = None,
    patience: float = 60,
    seals: Seals | None = None,
) -> tuple[Aftermath, list[str]]:
    told: list[str] = []
    nodes: Any = script
    seals = seals or Seals()
    return await follow_members(nodes, back, seals, unsealer, patience, told.append), told


def conditions(after: Aftermath) -> list[Condition]:
    return [one.condition for one in after.states]


async def test_a_standby_is_back_when_it_has_what_the_leader_has() -> None:
    script = Script(a=[ACTIVE], b=[Condition.SILENT, (STANDBY, 40), (STANDBY, 50)])
    after, _ = await followed(script, BACK)
    assert conditions(after) == [ACTIVE, STANDBY]
    assert (after.troubled, after.is_served) == ((), True)


async def test_one_that_stays_behind_is_told() -> None:
    after, _ = await followed(Script(a=[ACTIVE], b=[(STANDBY, 40)]), BACK, patience=0.5)
    (behind,) = after.troubled
    assert behind.condition is Condition.BEHIND
    assert "check its log" in after.next_step(behind)


async def test_after_a_forced_restore_all_seal_themselves() -> None:
    script = Script(a=[SEALED], b=[STANDBY, Condition.LEADERLESS, SEALED])
    after, _ = await followed(script)
    assert conditions(after) == [SEALED, SEALED]
    assert after.troubled == ()
    assert "restart it, then unseal it" in after.next_step(after.states[0])


async def test_one_that_does_not_seal_itself_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aftermath, "_SEAL_WITHIN", 0.5)
    after, _ = await followed(Script(a=[SEALED], b=[STANDBY]))
    assert "may serve a mixture: restart it" in after.next_step(after.states[1])


async def test_with_keys_what_serves_was_sealed_before() -> None:
    unsealer = Unsealer(("right",), Seal("shamir", 1, 1))
    script = Script(a=[SEALED, ACTIVE], b=[STANDBY, STANDBY, SEALED, STANDBY])
    after, told = await followed(script, None, unsealer)
    assert conditions(after) == [ACTIVE, STANDBY]
    assert told == [f"{A} is unsealed.", f"{B} is unsealed."]
    assert after.troubled == ()


async def test_standbys_alone_are_not_back_before_one_of_them_leads() -> None:
    unsealer = Unsealer(("right",), Seal("shamir", 1, 1))
    script = Script(a=[SEALED, STANDBY], b=[SEALED, STANDBY, STANDBY, ACTIVE])
    after, _ = await followed(script, None, unsealer)
    assert conditions(after) == [STANDBY, ACTIVE]
    assert (after.troubled, after.is_served) == ((), True)


class Balancer(Script):
    """One address of several nodes; each connection leads to the next of them."""

    def __init__(self, *nodes: Condition) -> None:
        super().__init__(lb=[nodes[0]])
        self._behind = itertools.cycle(nodes)
        self.close()

    def close(self) -> None:
        self._now = next(self._behind)

    async def look(self) -> tuple[MemberState, ...]:
        return (MemberState("http://lb:8200", self._now, applied_index=99),)


async def test_behind_a_load_balancer_the_leader_is_found() -> None:
    nodes: Any = Balancer(STANDBY, STANDBY, ACTIVE)
    after = await follow_members(nodes, BACK, Seals(), None, 60, print)
    assert conditions(after) == [ACTIVE]
    assert (after.troubled, after.is_served) == ((), True)


@pytest.mark.parametrize("back", [None, BACK])
async def test_where_none_leads_in_time_every_node_is_told_so(back: Any) -> None:
    unsealer = None if back else Unsealer(("right",), Seal("shamir", 1, 1))
    looks = [STANDBY] if back else [SEALED, STANDBY]
    script = Script(a=looks, b=[*looks])
    after, _ = await followed(script, back, unsealer, patience=0.5)
    assert conditions(after) == [Condition.LEADERLESS] * 2
    assert (after.troubled, after.is_served, after.has_sealed) == (after.states, False, False)
    assert "waits for a leader" in after.next_step(after.states[0])


async def test_what_a_kms_unseals_is_given_that_seal_before_its_restart() -> None:
    after, _ = await followed(Script(a=[SEALED]), seals=Seals(Seal("static", 1, 1)))
    assert after.has_sealed
    assert after.next_step(after.states[0]) == (
        "give it the snapshot's seal (static) and its key, then restart it"
    )


MIGRATED = Seals(Seal("shamir", 3, 2), "static")


async def test_one_that_serves_with_another_seal_is_not_well() -> None:
    after, _ = await followed(Script(a=[ACTIVE], b=[STANDBY]), BACK, seals=MIGRATED)
    assert after.troubled == ()
    for state in after.states:
        assert after.next_step(state) == (
            "its seal is not the snapshot's: remove the seal (static) from its configuration and"
            " restart it, then unseal it with the keys of the snapshot's cluster"
        )
    with pytest.raises(
        PartialFailure, match="the nodes cannot be unsealed after a restart: 2 of 3"
    ):
        after.require_all_well()


async def test_one_that_sealed_is_told_to_lose_its_seal_before_its_keys_are_sent() -> None:
    unsealer = Unsealer(("right", "other"), MIGRATED.snapshot)
    script = Script(a=[SEALED])
    after, told = await followed(script, None, unsealer, patience=0.5, seals=MIGRATED)
    (line,) = told
    assert line == (
        f"{A} still has the seal static: remove it from its configuration and restart it now; then"
        " it is unsealed by itself."
    )
    assert "remove the seal (static)" in after.next_step(after.states[0])
    with pytest.raises(PartialFailure, match="not every node is back"):
        after.require_all_well()


async def test_one_that_needs_a_restart_is_told_so_once() -> None:
    unsealer = Unsealer(("right", "other"), Seal("shamir", 3, 2))
    after, told = await followed(Script(a=[SEALED]), None, unsealer, patience=0.5)
    assert told == [
        f"{A} still expects the keys it had before: restart it now; then it is unsealed by itself."
    ]
    assert [one.address for one in after.troubled] == [A]


async def test_wrong_keys_end_the_wait_and_are_told() -> None:
    after, _ = await followed(Script(a=[SEALED]), None, Unsealer(("wrong",), None))
    (state,) = after.troubled
    assert "the unseal keys do not open it: 400: wrong key" in after.next_step(state)


def test_addresses_that_are_none_are_left_out() -> None:
    settings = VaultSettings(address="https://a:8200")
    in_clear_text, here = B, "http://127.0.0.1:9"
    told = ["https://a:8200/", in_clear_text, here, "ftp://x", "", "https://b:99999"]
    found = Members(settings, told)
    try:
        assert [one.address for one in found.nodes] == ["https://a:8200", here]
        found.keep([here])
        assert [one.address for one in found.nodes] == [here]
    finally:
        found.close()


@pytest.mark.parametrize(
    ("identity", "condition"),
    [
        (Identity(initialized=False, sealed=True), Condition.EMPTY),
        (Identity(sealed=True), SEALED),
    ],
)
def test_a_node_that_does_not_serve_is_seen_as_it_is(
    identity: Identity, condition: Condition
) -> None:
    node: Any = SimpleNamespace(address=A, identity=lambda: identity)
    assert look_at(node).condition is condition
