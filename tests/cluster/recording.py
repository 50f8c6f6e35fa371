"""A real server behind a proxy that records what it is asked, and clusters that have settled."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import urllib3
from tests.lying import LyingProxy

from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.openbao import OpenBaoCluster
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.vault.auth.approle import AppRoleAuth
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.settings import VaultSettings

LOGIN = "POST /v1/auth/approle/login"
RENEWAL = "POST /v1/auth/token/renew-self"
REVOCATION = "POST /v1/auth/token/revoke-self"
SNAPSHOT = "GET /v1/sys/storage/raft/snapshot"
VALIDITY = "GET /v1/sys/internal/ui/mounts"


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Server:
    """A real server, and a proxy before it that records what it is asked."""

    bao: OpenBaoCluster
    proxy: LyingProxy
    node: Node
    seen: list[int] = field(default_factory=lambda: [0])

    def asked(self) -> list[str]:
        """Return what was asked since the last call."""
        requests = self.proxy.requests
        new, self.seen[0] = requests[self.seen[0] :], len(requests)
        return [f"{request.method} {request.path}" for request in new]

    def role(self, **parameters: Any) -> AppRoleAuth:
        """Make a role of the test's own; by default its tokens may read snapshots."""
        name = f"role-{secrets.token_hex(4)}"
        path = f"auth/approle/role/{name}"
        self.bao.api("POST", path, {"token_policies": ["snapshot"], **parameters})
        ids = {
            "role_id": self.bao.api("GET", f"{path}/role-id")["data"]["role_id"],
            "secret_id": self.bao.api("POST", f"{path}/secret-id")["data"]["secret_id"],
        }
        return AppRoleAuth.model_validate({"method": "approle", **ids})

    def wrapped(self, path: str) -> Secret:
        """Make a wrapping token, as an operator does with -wrap-ttl."""
        headers = {"X-Vault-Token": self.bao.root_token, "X-Vault-Wrap-TTL": "60s"}
        url = f"{self.bao.leader().address}/v1/{path}"
        with urllib3.PoolManager() as pool:
            answer = pool.request("POST", url, json={"some": "thing"}, headers=headers)
        return Secret(str(answer.json()["wrap_info"]["token"]))

    def snapshot(self, token: str) -> bool:
        self.node.open_snapshot(token).stop()
        return True

    def tokens(self) -> set[str]:
        """Return the accessors of all tokens that live."""
        return set(self.bao.api("LIST", "auth/token/accessors")["data"]["keys"])

    def revoke(self, token: str) -> None:
        self.bao.api("POST", "auth/token/revoke", {"token": token})


@contextmanager
def recorded(bao: OpenBaoCluster) -> Iterator[Server]:
    """Stand before a cluster that knows AppRoles and the policy `snapshot`."""
    with LyingProxy(bao.leader().address) as proxy:
        node = Node(proxy.address, VaultSettings())
        yield Server(bao, proxy, node)
        node.close()


def settled(nodes: Iterable[OpenBaoNode]) -> str:
    """Wait until these nodes agree on a leader that knows it, and return its address."""

    def agreed() -> str:
        said = [node.api("GET", "sys/leader") for node in nodes]
        named = {one.get("leader_address", "") for one in said}
        return str(named.pop()) if len(named) == 1 and any(one["is_self"] for one in said) else ""

    return until(agreed, "all agree on a leader", within=60)
