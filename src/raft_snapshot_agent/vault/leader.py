"""Finds the leader, decides whether this agent takes the snapshot, and requests it.

Source for what nodes answer: the API page of `sys/leader`, and trials on real clusters: `is_self`
speaks of the node that answered, so behind a load balancer it says nothing about this host;
`leader_address` is the operator's `api_addr` and is missing where there is no leader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, Literal, TypeVar
from urllib.parse import urlsplit

from raft_snapshot_agent.errors import AgentError, NoLeader, NotLeader, ServerError
from raft_snapshot_agent.network.deadline import within
from raft_snapshot_agent.observe.debug_log import log_defect
from raft_snapshot_agent.vault.addresses import origin, usable
from raft_snapshot_agent.vault.answers import Identity, LeaderStatus, Redirected
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.exposure import exposes
from raft_snapshot_agent.vault.hosts import doubt_own_host, is_local, is_own
from raft_snapshot_agent.vault.leadership import send_to_leader
from raft_snapshot_agent.vault.session import Session
from raft_snapshot_agent.vault.settings import VaultSettings
from raft_snapshot_agent.vault.stream import SnapshotStream

_MOST_REDIRECTS = 3
_CALLS = 3
"""Time limit per node of the search, as a multiple of `vault.timeout`."""
_MOST_WAYS = 6
"""Most other addresses of the leader that are tried; a node may report any number."""
_NONSENSE = (ArithmeticError, LookupError, TypeError, ValueError)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Leader:
    """The leader, and the Raft index it had applied when it was found."""

    node: Node
    applied_index: int
    active_since: str
    identity: Identity
    troubles: tuple[str, ...] = ()
    """Errors of the nodes that were tried before."""
    doubt: ServerError | None = None
    """Why it is uncertain that it is on this host, although it was found at a local address."""


class Cluster:
    """The nodes of one cluster, as configured and as announced by other nodes."""

    def __init__(self, settings: VaultSettings, run_on: Literal["leader", "anywhere"]) -> None:
        self._settings = settings
        self._run_on = run_on
        self._nodes: dict[str, Node] = {}
        self.session = Session(settings.auth, namespace=settings.namespace)
        self._proxied = settings.auth is not None and settings.auth.method == "none"
        """Whether an agent or proxy adds the token, so that no node can be contacted directly."""

    def close(self) -> None:
        """Close idle connections; the next request opens one."""
        for node in [*self._nodes.values()]:  # another thread may find one meanwhile
            node.close()

    def node(self, address: str) -> Node:
        """Return the node at an address; no I/O."""
        if address not in self._nodes:
            self._nodes[address] = Node(address, self._settings)
        return self._nodes[address]

    def find_leader_for_this_agent(self) -> Leader:
        """Find the leader, if this agent is responsible for its snapshots.

        Raises:
            NotLeader: The agent on another host is responsible.
            NoLeader: The cluster has no leader at the moment.
            ServerError: No node gave a valid answer; the error is that of the first one.
        """
        if self._run_on == "anywhere":
            return self._first_success(self._settings.addresses, self._anywhere)
        local = [address for address in self._settings.addresses if is_local(address)]
        if local:
            return self._first_success(local, self._beside)
        return self._first_success(self._settings.addresses, self._behind)

    def find_leader(self) -> Leader:
        """Find the leader on any host, for commands that an operator runs."""
        return self._first_success(self._settings.addresses, self._anywhere)

    def open_snapshot(self, leader: Leader) -> SnapshotStream:
        """Request a snapshot from the leader, following redirects inside the cluster.

        Raises:
            ServerError: The request was refused.
        """
        return self._follow(leader.node, lambda node, token: node.open_snapshot(token))

    def send_snapshot(self, leader: Leader, file: IO[bytes], *, force: bool) -> None:
        """Upload a snapshot to restore to the leader, if it still leads.

        Raises:
            ServerError: It leads no more, or refused the upload; nothing was changed.
        """
        send = partial(send_to_leader, file, leader.active_since, force=force)
        self._follow(leader.node, send)

    def keep_token(self) -> None:
        """Renew the token if it is due."""
        if self.session.node is not None:
            self.session.keep(self.session.node)

    @property
    def is_login_check_due(self) -> bool:
        """Whether `try_login` has something to do."""
        every = self._settings.login_check.total_seconds()
        return self.session.is_login_check_due(every)

    def try_login(self) -> bool:
        """Test the login once per `vault.login_check`; see `Session`.

        Returns:
            Whether a login was tried and succeeded.

        Raises:
            AgentError: The login failed.
        """
        every = self._settings.login_check.total_seconds()
        node = self.session.node or self.node(self._settings.addresses[0])
        return self.session.try_login(node, every)

    def revoke_token(self) -> None:
        """Revoke the token if this agent created it."""
        if self.session.node is not None:
            self.session.revoke(self.session.node)

    def _follow(self, node: Node, ask: Callable[[Node, str], _T]) -> _T:
        hops = 0
        lasting = self._settings.snapshot_timeout.total_seconds()
        while True:
            try:
                return self.session.with_token(node, partial(ask, node), lasting=lasting)
            except Redirected as redirect:
                if (hops := hops + 1) > _MOST_REDIRECTS:
                    raise
                node = self._inside(node, redirect)

    def _inside(self, node: Node, redirect: Redirected) -> Node:
        """Return the target of a redirect, if it is a node of the cluster.

        The token is sent there, so the target must be configured or announced as the leader.
        """
        target = origin(redirect.location, base=node.address)
        members = (*self._settings.addresses, node.leader_status().leader_address)
        known = {origin(address): address for address in members if usable(address)}
        if target not in known or self._exposes(node, target):
            raise redirect
        return self.node(known[target])

    def _exposes(self, node: Node, address: str) -> bool:
        """Return whether a redirect from a node to an address would let others read the token."""
        gives_up_tls = node.address.startswith("https:") and not address.startswith("https:")
        return gives_up_tls or exposes(address, self._settings)

    def _first_success(
        self, addresses: Iterable[str], find: Callable[[Node, LeaderStatus], Leader]
    ) -> Leader:
        failed: list[ServerError | NotLeader] = []
        for address in addresses:
            try:
                found = self._try_node(self.node(address), find)
            except (ServerError, NotLeader) as error:
                failed.append(error)
            else:
                troubles = (str(one) for one in failed if not isinstance(one, NotLeader))
                return replace(found, troubles=tuple(troubles))
        if failed:
            raise failed[0]
        raise NoLeader("no address of the cluster is configured", hint="set vault.address")

    def _try_node(self, node: Node, find: Callable[[Node, LeaderStatus], Leader]) -> Leader:
        """Try one node, within its own time limit; its errors do not end the search."""
        try:
            with within(_CALLS * self._settings.timeout.total_seconds()):
                return find(node, node.leader_status())
        except AgentError:
            raise
        except _NONSENSE as error:
            log_defect(error)
            raise ServerError(
                f"{node.address} does not answer like Vault or OpenBao: {error!r}",
                hint="check what answers there",
            ) from error

    def _beside(self, node: Node, leader_status: LeaderStatus) -> Leader:
        """Check a node on this host, which knows whether it leads."""
        if leader_status.is_self or not leader_status.ha_enabled:
            announced, proxied = leader_status.leader_address, self._proxied
            doubt = doubt_own_host(node.address, announced, proxied=proxied)
            return replace(_leader(node, leader_status), doubt=doubt)
        raise _not_leader(node, leader_status)

    def _behind(self, node: Node, leader_status: LeaderStatus) -> Leader:
        """Check behind a load balancer: the leader must be on this host."""
        if not is_own(leader_status.leader_address):
            raise _not_leader(node, leader_status)
        if self._proxied:
            return _leader(node, leader_status)
        return self._confirm(leader_status.leader_address)

    def _anywhere(self, node: Node, leader_status: LeaderStatus) -> Leader:
        """Connect to the announced leader; if that fails, use the node that answered."""
        announced = leader_status.leader_address
        # A unix socket belongs to one server; its announced address may be another one's.
        own_socket = leader_status.is_self and node.address.startswith("unix:")
        if own_socket or (self._proxied and announced):
            return _leader(node, leader_status)
        try:
            if announced and origin(announced) != origin(node.address):
                return self._elsewhere(node, announced)
        except ServerError as error:
            if not leader_status.is_self:
                return self._known_otherwise(node, announced, error)
        if leader_status.is_self or not leader_status.ha_enabled:
            return _leader(node, leader_status)
        if not announced:
            raise _not_leader(node, leader_status)
        node.close()  # a load balancer may answer with another node on the next connection
        raise NoLeader(
            f"{node.address} is a standby and does not announce the leader's address",
            hint="list the nodes' own addresses in vault.nodes",
        )

    def _elsewhere(self, node: Node, announced: str) -> Leader:
        if usable(announced) and self._exposes(node, announced):
            raise ServerError(
                f"{node.address} announces the leader at {announced}, without TLS",
                hint="correct api_addr on the servers, or set vault.allow_http: true; the token is"
                " not sent there",
            )
        return self._confirm(announced)

    def _known_otherwise(self, node: Node, announced: str, error: ServerError) -> Leader:
        """Try the names under which the cluster's nodes know the leader.

        Raises:
            ServerError: None of them works; the error is that of the announced address.
        """
        for address in self._other_ways(node, announced):
            with suppress(ServerError):
                return self._confirm(address)
        raise error

    def _other_ways(self, node: Node, announced: str) -> list[str]:
        if not usable(announced) or self._exposes(node, announced) or self.session.uses is not None:
            return []
        parts = urlsplit(announced)
        try:
            members = node.list_members(self.session.token(node))
        except AgentError:
            return []  # the error of the announced address is raised instead
        ports = f":{parts.port}" if parts.port else ""
        hosts = [host for one in members if one.is_active for host in one.hosts]
        ways = dict.fromkeys(f"{parts.scheme}://{host}{ports}{parts.path}" for host in hosts)
        known = [way for way in ways if way != announced and usable(way)]
        return [way for way in known if not self._exposes(node, way)][:_MOST_WAYS]

    def _confirm(self, address: str) -> Leader:
        if not usable(address):
            raise ServerError(
                f"the leader announces itself at {address}, which is not a valid address",
                hint="correct api_addr on the servers",
            )
        node = self.node(address)
        leader_status = node.leader_status()
        if not leader_status.is_self:
            raise NoLeader(
                f"{address} is announced as the leader, but denies it",
                hint="likely leadership is moving; the agent tries again",
            )
        return _leader(node, leader_status)


def _leader(node: Node, leader_status: LeaderStatus) -> Leader:
    return Leader(node, leader_status.applied_index, leader_status.active_since, node.identity())


def _not_leader(node: Node, leader_status: LeaderStatus) -> ServerError | NotLeader:
    if not leader_status.leader_address:
        return NoLeader(
            f"the cluster has no leader, says {node.address}",
            hint="check that a majority of its nodes is up and unsealed",
        )
    kind = ", a performance standby," if leader_status.performance_standby else ""
    return NotLeader(f"{node.address}{kind} says the leader is {leader_status.leader_address}")
