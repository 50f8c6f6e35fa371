"""Twenty ways in which a node, or whoever answers at its address, lies."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.adversary.s3 import Rule
from tests.adversary.tricks import (
    SHOUT,
    anything,
    bomb,
    continuing,
    declares,
    drip,
    endless,
    endless_head,
    flood,
    redirects,
    resets,
    says,
    silent,
    slow_head,
    speaks,
)
from tests.http_proxy import Behaviour, Exchange, HttpProxy, Request
from tests.lying import bitflip_state, cut_after, empty, halve, stale, trailing, truncate

LEADER, SEAL = "/v1/sys/leader", "/v1/sys/seal-status"
LOGIN, SNAPSHOT = "/v1/auth/approle/login", "/v1/sys/storage/raft/snapshot"


class Node(HttpProxy):
    """Stands before a real node; the first rule whose condition is met answers in its place."""

    def __init__(self, name: str, upstream: str) -> None:
        self.name = name
        self.rules: list[Rule] = []
        super().__init__(upstream, self._choose)

    def _choose(self, request: Request) -> Behaviour:
        return next((then for when, then in self.rules if when(request)), through)


def through(exchange: Exchange) -> None:
    exchange.relay(exchange.forward())


@dataclass(frozen=True, slots=True)
class Lie:
    """What a node does, and what the agent makes of it."""

    rules: Callable[[Node, str], Sequence[Rule]]
    """Made for a node and the address of somebody else's."""
    served: bool = True
    """Whether the agent gets its snapshot all the same, from the next node."""
    words: str = ""
    """A pattern that one of the lines for the operator has."""
    heavy: bool = False
    """Whether it costs memory, processor or more than ten seconds: it is tried alone."""

    @property
    def gregarious(self) -> bool:
        """Whether it is tried together with others in every run of the tests."""
        return not self.heavy


def at(path: str) -> Callable[[Request], bool]:
    return lambda request: request.path == path


def simply(path: str, behaviour: Behaviour) -> Callable[[Node, str], list[Rule]]:
    return lambda _node, _elsewhere: [(at(path), behaviour)]


def always(behaviour: Behaviour) -> Callable[[Node, str], list[Rule]]:
    return lambda _node, _elsewhere: [(anything, behaviour)]


def document(body: Any) -> Behaviour:
    return says(200, json.dumps(body).encode(), ("Content-Type", "application/json"))


def leader_status(**changed: Any) -> dict[str, Any]:
    """What a node says of the leader."""
    return {
        "ha_enabled": True,
        "is_self": False,
        "active_time": "2026-11-26T00:00:00Z",
        "leader_address": "",
        "leader_cluster_address": "",
        "performance_standby": False,
        "raft_committed_index": 1,
        "raft_applied_index": 1,
        **changed,
    }


def announces(address: str) -> Callable[[Node, str], list[Rule]]:
    return lambda _, __: [(at(LEADER), document(leader_status(leader_address=address)))]


def announces_others(_: Node, elsewhere: str) -> list[Rule]:
    return [(at(LEADER), document(leader_status(leader_address=elsewhere)))]


def leads(*rules: Rule) -> Callable[[Node, str], list[Rule]]:
    """Claim to be the leader, and answer so what follows."""

    def made(node: Node, _: str) -> list[Rule]:
        claim = leader_status(is_self=True, leader_address=node.address)
        return [*rules, (at(LEADER), document(claim))]

    return made


def circles(node: Node, _: str) -> list[Rule]:
    return [(anything, redirects(307, node.address))]


def elsewhere_for(path: str, status: int) -> Callable[[Node, str], list[Rule]]:
    def made(node: Node, elsewhere: str) -> list[Rule]:
        claim = leader_status(is_self=True, leader_address=node.address)
        return [(at(path), redirects(status, elsewhere)), (at(LEADER), document(claim))]

    return made


def as_snapshot(behaviour: Behaviour) -> Callable[[Node, str], list[Rule]]:
    return leads((at(SNAPSHOT), behaviour))


def logged_in(**auth: Any) -> Callable[[Node, str], list[Rule]]:
    """Answer the login with a token of the node's making."""
    made = {"client_token": "hvs.ours", "lease_duration": 60, "renewable": True, **auth}
    return leads((at(LOGIN), document({"auth": made})))


def sealed(**changed: Any) -> Callable[[Node, str], list[Rule]]:
    """Say of the cluster what is not so."""

    def behave(exchange: Exchange) -> None:
        said = json.loads(exchange.forward().read())
        document({**said, **changed})(exchange)

    return leads((at(SEAL), behave))


DEEP = b"[" * 500_000
LIES: dict[str, Lie] = {
    # Time.
    "never answers": Lie(always(silent)),
    "drips the leader": Lie(simply(LEADER, drip(b"{"))),
    "drips the head": Lie(simply(LEADER, slow_head)),
    "says 100 Continue for ever": Lie(always(continuing)),
    "drips the login": Lie(leads((at(LOGIN), drip(b"{"))), served=False),
    "drips what it is": Lie(leads((at(SEAL), drip(b"{")))),
    "drips a snapshot's head": Lie(as_snapshot(slow_head), served=False),
    # Size.
    "declares 2 GiB": Lie(simply(LEADER, declares(str(1 << 31), b"{}"))),
    "declares a length beyond all": Lie(simply(LEADER, declares("9" * 30, b"{}"))),
    "declares a length that is none": Lie(simply(LEADER, declares("-5", b"{}"))),
    "sends 2 GiB": Lie(simply(LEADER, flood()), heavy=True),
    "sends without an end": Lie(simply(LEADER, endless(b"{")), heavy=True),
    "sends a bomb": Lie(simply(LEADER, bomb()), heavy=True),
    "sends a bomb as deflate": Lie(simply(LEADER, bomb(coding="deflate"))),
    "refuses with a bomb": Lie(simply(LEADER, bomb(status=500)), heavy=True),
    "sends headers without an end": Lie(always(endless_head), heavy=True),
    "sends a login of 2 GiB": Lie(leads((at(LOGIN), flood())), served=False, heavy=True),
    "refuses a snapshot in 2 GiB": Lie(as_snapshot(flood(status=500)), served=False, heavy=True),
    "sends a snapshot of blanks without an end": Lie(as_snapshot(endless()), served=False),
    "sends a snapshot that unpacks to all": Lie(
        as_snapshot(endless(gzip.compress(b"\0" * (1 << 20)) * 64)), served=False, heavy=True
    ),
    # Sense.
    "speaks another protocol": Lie(always(speaks(b"SSH-2.0-OpenSSH_9.9\r\n" * 99))),
    "resets": Lie(always(resets)),
    "welcomes": Lie(always(says(200, b"<html>Welcome</html>", ("Content-Type", "text/html")))),
    "answers nothing": Lie(always(says(200, b""))),
    "nests": Lie(simply(LEADER, says(200, DEEP))),
    "answers a number": Lie(simply(LEADER, says(200, b"1" * 5000))),
    "answers a list": Lie(simply(LEADER, says(200, b"[]"))),
    "answers wrong kinds": Lie(
        simply(LEADER, document({"ha_enabled": [], "is_self": {}, "raft_applied_index": {}}))
    ),
    "counts beyond all": Lie(
        simply(
            LEADER, says(200, b'{"ha_enabled": true, "is_self": 1, "raft_applied_index": 1e999}')
        )
    ),
    "complains in control characters": Lie(simply(LEADER, says(500, SHOUT.encode() * 100))),
    "is called by control characters": Lie(
        sealed(cluster_name=SHOUT, version=SHOUT, cluster_id=SHOUT),
        served=True,
    ),
    "is called by half letters": Lie(sealed(cluster_name="\ud800", version="\udfff")),
    "has a name of 5 MB": Lie(sealed(cluster_name="x" * 5_000_000, version="y" * 5_000_000)),
    # Elsewhere.
    "announces a metadata service": Lie(announces("http://169.254.169.254/latest")),
    "announces a socket": Lie(announces("unix:///run/docker.sock")),
    "announces a file": Lie(announces("file:///etc/passwd")),
    "announces nonsense": Lie(announces(SHOUT)),
    "announces a name without an end": Lie(announces(f"https://{'a.' * 50_000}x:8200")),
    "announces somebody else": Lie(announces_others),
    "announces a loop": Lie(
        lambda node, _: [(at(LEADER), document(leader_status(leader_address=f"{node.address}/x")))]
    ),
    "redirects in circles": Lie(circles),
    "redirects to somebody else": Lie(elsewhere_for(LEADER, 307)),
    "redirects the login": Lie(elsewhere_for(LOGIN, 307), served=False),
    "redirects the snapshot": Lie(elsewhere_for(SNAPSHOT, 307), served=False),
    "redirects the snapshot for good": Lie(elsewhere_for(SNAPSHOT, 301), served=False),
    # Substance.
    "gives a token with lines": Lie(logged_in(client_token="hvs.a\r\nX-Evil: 1"), served=False),
    "gives a token that is none": Lie(logged_in(client_token={"a": 1}), served=False),
    "gives a token of 5 MB": Lie(logged_in(client_token="x" * 5_000_000), served=False),
    "gives a token for ever": Lie(logged_in(lease_duration=10**30), served=False),
    "gives a token for no time": Lie(logged_in(lease_duration=-(10**30)), served=False),
    "gives a token for half a word": Lie(logged_in(lease_duration="soon"), served=False),
    "gives a token for no number": Lie(logged_in(lease_duration=float("inf")), served=False),
    "gives a token for words": Lie(logged_in(num_uses="many"), served=False),
    "sends no snapshot": Lie(as_snapshot(empty()), served=False),
    "sends half a snapshot": Lie(as_snapshot(halve()), served=False),
    "cuts a snapshot": Lie(as_snapshot(cut_after(9000)), served=False),
    "cuts a snapshot's end": Lie(as_snapshot(truncate(9)), served=False),
    "changes a bit": Lie(as_snapshot(bitflip_state()), served=False),
    "adds to a snapshot": Lie(as_snapshot(trailing(b"more")), served=False),
    "sends a page for a snapshot": Lie(as_snapshot(says(200, b"<html>")), served=False),
    "sends another's snapshot": Lie(as_snapshot(stale(b"\x1f\x8b" + b"\0" * 50)), served=False),
}
