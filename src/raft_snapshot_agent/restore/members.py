"""The nodes of a cluster during a restore, and their states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
"""A node does not answer during a restore, so it is asked again."""
_HEARD_WITHIN = 10.0
"""Seconds within which standbys report to a new leader: two of their heartbeats."""
_POLL = 0.5
_MOST = 16
"""Maximum nodes to follow; a cluster usually has at most seven."""


class Condition(StrEnum):
    """The condition of a node."""

    ACTIVE = "active"
    STANDBY = "standby"
    BEHIND = "standby, still without the snapshot"
    LEADERLESS = "unsealed, without a leader"
    SEALED = "sealed"
    EMPTY = "not initialised"
    SILENT = "not reachable"


@dataclass(frozen=True, slots=True)
class MemberState:
    """The state of one node at one moment."""

    address: str
    condition: Condition
    identity: Identity = field(default_factory=Identity)
    applied_index: int = 0

    @property
    def is_serving(self) -> bool:
        return self.condition in {Condition.ACTIVE, Condition.STANDBY}

    def compare_with(self, index: int) -> MemberState:
        """Return the state, as behind if the node has not applied the leader's index."""
        if self.condition is Condition.STANDBY and 0 < self.applied_index < index:
            return replace(self, condition=Condition.BEHIND)
        return self

    def without_leader(self) -> MemberState:
        """Return the state of a node in a cluster in which no node leads."""
        if self.condition is Condition.STANDBY:
            return replace(self, condition=Condition.LEADERLESS)
        return self


class Members:
    """The configured nodes, and those that the cluster reports."""

    def __init__(self, settings: VaultSettings, told: Iterable[str]) -> None:
        """Prepare without contacting anything.

        Arguments:
            settings: How the cluster is reached.
            told: Further addresses; invalid ones, and those where others could listen, are
                ignored.
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
            except ConfigError:  # plain HTTP, which is not allowed
                continue
            known.add(origin(address))

    def close(self) -> None:
        """Close idle connections; the next look opens new ones."""
        self._cluster.close()

    async def look(self) -> tuple[MemberState, ...]:
        """Ask all nodes for their state concurrently."""
        found: dict[str, MemberState] = {}

        async def ask(node: Node) -> None:
            found[node.address] = await in_thread(lambda: look_at(node), abandon=True)

        async with anyio.create_task_group() as tasks:
            for node in self.nodes:
                tasks.start_soon(ask, node)
        return tuple(found[node.address] for node in self.nodes)

    def keep(self, addresses: Sequence[str]) -> None:
        """Follow only these nodes."""
        self.nodes = [node for node in self.nodes if node.address in addresses]


def look_at(node: Node) -> MemberState:
    """Ask one node for its state."""
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


@dataclass(frozen=True, slots=True)
class Reported:
    """What the leader reports of its cluster."""

    addresses: tuple[str, ...] = ()
    """Of the nodes that it knows, itself among them; empty if the token may not read it."""
    servers: int = 0
    """How many servers its Raft configuration has; 0 if the token may not read it."""


async def find_reported(cluster: Cluster, leader: Leader) -> Reported:
    """Ask the leader for the nodes of its cluster.

    A leader learns of its standbys by their heartbeats: for some seconds after a restore or an
    election it reports only itself, so it is asked again.
    """
    found = Reported()
    with anyio.move_on_after(_HEARD_WITHIN):
        while True:
            found = await in_thread(partial(_ask_leader, cluster, leader), abandon=True)
            if not found.addresses or len(found.addresses) >= found.servers:
                break
            await anyio.sleep(_POLL)
    return found


def _ask_leader(cluster: Cluster, leader: Leader) -> Reported:
    try:
        token = cluster.session.token(leader.node)
        told = tuple(one.api_address for one in leader.node.list_members(token))
        # A token with a limited number of uses is left for the restore itself.
        servers = leader.node.count_servers(token) if cluster.session.uses is None else 0
    except AgentError:
        return Reported()
    return Reported(told, servers)


Settled = Callable[[Sequence[MemberState]], bool]


async def follow(
    members: Members,
    settled: Settled,
    patience: float,
    meanwhile: Callable[[Sequence[MemberState]], None] = lambda _: None,
) -> tuple[MemberState, ...]:
    """Watch nodes until their states are final, or until the timeout.

    Arguments:
        members: The nodes.
        settled: Returns whether the states are final.
        patience: Seconds.
        meanwhile: Called with the states after each check, in a thread.

    Returns:
        The last state of each.
    """
    states: tuple[MemberState, ...] = ()
    with anyio.move_on_after(patience):
        while True:
            states = await members.look()
            await in_thread(partial(meanwhile, states), abandon=True)
            if settled(states):
                break
            if not any(one.condition is Condition.ACTIVE for one in states):
                members.close()  # a load balancer may show another node on the next connection
            await anyio.sleep(_POLL)
    return states
