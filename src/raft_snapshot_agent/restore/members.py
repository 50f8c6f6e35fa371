"""The nodes of a cluster that is restored: which there are, and how each is doing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from functools import partial

import anyio

from raft_snapshot_agent.errors import AgentError, ConfigError, Sealed
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.addresses import origin, usable
from raft_snapshot_agent.vault.answers import Identity
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.leader import Cluster, Leader
from raft_snapshot_agent.vault.settings import VaultSettings

_ANSWERS_WITHIN = timedelta(seconds=10)
"""While a node is restored it answers nothing; it is asked again."""
_POLL = 0.5
_MOST = 16
"""Nodes that are followed; a cluster has seven at most."""


class Condition(StrEnum):
    """How a node is doing."""

    ACTIVE = "active"
    STANDBY = "standby"
    BEHIND = "standby, still without the snapshot"
    LEADERLESS = "unsealed, without a leader"
    SEALED = "sealed"
    EMPTY = "not initialised"
    SILENT = "not reachable"


@dataclass(frozen=True, slots=True)
class MemberState:
    """One node at one moment."""

    address: str
    condition: Condition
    identity: Identity = field(default_factory=Identity)
    applied_index: int = 0

    @property
    def is_serving(self) -> bool:
        return self.condition in {Condition.ACTIVE, Condition.STANDBY}

    def held_against(self, index: int) -> MemberState:
        """Call it behind if it has not applied what the leader had when that was back."""
        if self.condition is Condition.STANDBY and 0 < self.applied_index < index:
            return replace(self, condition=Condition.BEHIND)
        return self


class Members:
    """The nodes that are configured, and those that the cluster tells of."""

    def __init__(self, settings: VaultSettings, told: Iterable[str]) -> None:
        """Make ready; nothing is contacted.

        Arguments:
            settings: How the cluster is reached.
            told: Further addresses; those that are none, or where others could listen, are left
                out.
        """
        timeout = min(settings.timeout, _ANSWERS_WITHIN)
        self._cluster = Cluster(settings.model_copy(update={"timeout": timeout}), "anywhere")
        self.nodes: list[Node] = []
        known: set[object] = set()
        for address in (*settings.addresses, *told):
            if not usable(address) or origin(address) in known or len(known) == _MOST:
                continue
            try:
                self.nodes.append(self._cluster.node(address))
            except ConfigError:  # in clear text, which is not allowed
                continue
            known.add(origin(address))

    def close(self) -> None:
        self._cluster.close()

    async def look(self) -> tuple[MemberState, ...]:
        """Ask each how it is doing, all at once."""
        found: dict[str, MemberState] = {}

        async def ask(node: Node) -> None:
            found[node.address] = await in_thread(lambda: look_at(node), abandon=True)

        async with anyio.create_task_group() as tasks:
            for node in self.nodes:
                tasks.start_soon(ask, node)
        return tuple(found[node.address] for node in self.nodes)

    def keep(self, addresses: Sequence[str]) -> None:
        """Follow these alone."""
        self.nodes = [node for node in self.nodes if node.address in addresses]


def look_at(node: Node) -> MemberState:
    """Ask one node how it is doing."""
    identity = Identity()
    try:
        identity = node.identity()
        if not identity.initialized:
            return MemberState(node.address, Condition.EMPTY, identity)
        if identity.sealed:
            return MemberState(node.address, Condition.SEALED, identity)
        told = node.leader_status()
    except Sealed:
        return MemberState(node.address, Condition.SEALED, identity)
    except (AgentError, ArithmeticError, LookupError, TypeError, ValueError):
        return MemberState(node.address, Condition.SILENT, identity)
    if told.is_self:
        condition = Condition.ACTIVE
    else:
        condition = Condition.STANDBY if told.leader_address else Condition.LEADERLESS
    return MemberState(node.address, condition, identity, told.applied_index)


def find_addresses(cluster: Cluster, leader: Leader) -> list[str]:
    """List the addresses by which the leader knows the nodes of its cluster.

    Source: the API page of `sys/ha-status`. It wants a right that few tokens have; without it
    there is only the leader's own.
    """
    try:
        token = cluster.session.token(leader.node)
        data = leader.node.call("GET", "sys/ha-status", token=token).body.get("data")
    except AgentError:
        data = None
    nodes = data.get("nodes") if isinstance(data, Mapping) else None
    told = [one for one in nodes or () if isinstance(one, Mapping)]
    addresses = [str(one.get("api_address") or "").rstrip("/") for one in told]
    return [leader.node.address, *(one for one in addresses if one.isprintable())]


Settled = Callable[[MemberState], bool]


async def follow(
    members: Members,
    settled: Settled,
    patience: float,
    meanwhile: Callable[[Sequence[MemberState]], None] = lambda _: None,
) -> tuple[MemberState, ...]:
    """Watch nodes until each has settled, or the time is over.

    Arguments:
        members: The nodes.
        settled: Whether no more is to be expected of one.
        patience: Seconds.
        meanwhile: Called with each look at them, in a thread.

    Returns:
        How each was doing at last.
    """
    states: tuple[MemberState, ...] = ()
    with anyio.move_on_after(patience):
        while True:
            states = await members.look()
            await in_thread(partial(meanwhile, states), abandon=True)
            if all(map(settled, states)):
                break
            await anyio.sleep(_POLL)
    return states
