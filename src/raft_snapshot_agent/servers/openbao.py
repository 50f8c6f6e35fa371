"""OpenBao clusters on loopback, with the setup that the agent needs."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from raft_snapshot_agent.errors import NoLeader, ServerError
from raft_snapshot_agent.servers.answers import Initialised
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.node_options import NodeHost, NodeOptions
from raft_snapshot_agent.servers.process import until

SNAPSHOT_POLICY = 'path "sys/storage/raft/snapshot" { capabilities = ["read"] }'
_PATIENCE = 60.0
# Below the raft storage's limit of 1 MiB per entry, after base64, JSON and encryption.
_LARGEST_VALUE = 900_000


@dataclass(frozen=True, slots=True)
class AppRole:
    """Credentials of an agent."""

    role_id: str
    secret_id: str = field(repr=False)


class OpenBaoCluster:
    """An initialised and unsealed cluster; the first node is the first leader."""

    def __init__(self, nodes: list[OpenBaoNode], made: Initialised) -> None:
        self.nodes = nodes
        self.root_token = made.root_token
        self.unseal_keys = made.unseal_keys

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        nodes: int = 1,
        shares: int = 1,
        threshold: int = 1,
        options: NodeOptions | None = None,
        hosts: Sequence[NodeHost] = (),
    ) -> Self:
        """Start a cluster and wait until every node is a voter; use it as a context manager.

        Each node has a subfolder of `folder`, which is not removed afterwards. Of the key `shares`,
        `threshold` are needed to unseal. With `hosts`, each node runs on a different one.

        Raises:
            ServerError: A node does not start.
            ConfigError: OpenBao is not installed.
        """
        members: list[OpenBaoNode] = []
        try:
            for number in range(nodes):
                host = hosts[number] if hosts else None
                name = f"bao{number}"
                members.append(OpenBaoNode(name, folder / name, options, host))
                members[-1].launch()
            members[0].wait_answering()
            cluster = cls(members, members[0].init(shares, threshold))
            cluster._assemble()
        except BaseException:
            _discard(members)
            raise
        return cluster

    def leader(self, within: float = _PATIENCE) -> OpenBaoNode:
        """Return the leader, after an election if one is in progress.

        Raises:
            NoLeader: There was none for `within` seconds.
        """
        try:
            return until(self._leading, "a node leads", within=within)[0]
        except ServerError as error:
            raise NoLeader(f"the cluster of {self.nodes[0].address} has no leader") from error

    def restart(self, node: OpenBaoNode) -> None:
        """Restart a node, stopped, killed or running, and unseal it."""
        node.restart()
        node.unseal(self.unseal_keys)
        node.wait_serving()

    def wait_voters(self) -> None:
        """Wait until every node has a vote: only then the cluster survives losing its leader.

        Its members do not change from then on, so the leader refuses no snapshot because of that.
        """
        until(lambda: self._voters() == len(self.nodes), "every node votes", within=_PATIENCE)
        # A write is answered once applied, and with it every earlier change of the members.
        self._configure_autopilot()

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Make a request to the leader, with the root token."""
        return self.leader().api(method, path, body, self.root_token)

    def write_secret(self, path: str, data: Mapping[str, Any]) -> None:
        """Write a secret to the KV version 2 engine at `secret/`."""
        self.api("POST", f"secret/data/{path}", {"data": dict(data)})

    def read_secret(self, path: str) -> dict[str, Any]:
        """Read the newest version of a secret at `secret/`."""
        data: dict[str, Any] = self.api("GET", f"secret/data/{path}")["data"]["data"]
        return data

    def stop(self) -> None:
        """Kill every node and release the ports; the folder is kept."""
        _discard(self.nodes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _assemble(self) -> None:
        first, *followers = self.nodes
        first.unseal(self.unseal_keys)
        first.wait_active()
        self._configure_autopilot()  # before others join
        for node in followers:
            node.wait_answering()
            node.join(first)
            node.unseal(self.unseal_keys)
        self.api("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        # A new engine of version 2 refuses requests for a moment.
        until(self._keeps_secrets, "the engine at secret/ answers", within=_PATIENCE)
        for node in followers:
            node.wait_serving()
        self.wait_voters()

    def _configure_autopilot(self) -> None:
        # A follower becomes a voter only after it was healthy for this time.
        autopilot = {"server_stabilization_time": "1s"}
        self.api("POST", "sys/storage/raft/autopilot/configuration", autopilot)

    def _keeps_secrets(self) -> bool:
        token = self.root_token
        return self.nodes[0].request("GET", "secret/metadata/none", token=token).status == 404

    def _leading(self) -> list[OpenBaoNode]:
        return [node for node in self.nodes if node.is_leader()]

    def _voters(self) -> int:
        # Autopilot promotes a node once more for as long as its own picture of it is old.
        servers = self.api("GET", "sys/storage/raft/autopilot/state")["data"]["servers"]
        return sum(server["status"] in ("leader", "voter") for server in servers.values())


def prepare_agent(cluster: OpenBaoCluster, **parameters: Any) -> AppRole:
    """Set up what an agent needs: the policy and the AppRole, both named `snapshot`.

    The parameters are the role's, such as `token_ttl="20m"` or `secret_id_num_uses=1`.

    Returns:
        The role ID and a new secret ID.
    """
    cluster.api("PUT", "sys/policies/acl/snapshot", {"policy": SNAPSHOT_POLICY})
    if "approle/" not in cluster.api("GET", "sys/auth")["data"]:
        cluster.api("POST", "sys/auth/approle", {"type": "approle"})
    role = "auth/approle/role/snapshot"
    cluster.api("POST", role, {"token_policies": ["snapshot"], **parameters})
    role_id = cluster.api("GET", f"{role}/role-id")["data"]["role_id"]
    secret_id = cluster.api("POST", f"{role}/secret-id")["data"]["secret_id"]
    return AppRole(role_id, secret_id)


def fill(cluster: OpenBaoCluster, size: int) -> None:
    """Write random values of about `size` bytes in all to the KV version 1 engine at `fill/`.

    Each call adds to the existing values. The server accepts about 20 MB/s.
    """
    if "fill/" not in cluster.api("GET", "sys/mounts")["data"]:
        cluster.api("POST", "sys/mounts/fill", {"type": "kv", "options": {"version": "1"}})
    for start in range(0, size, _LARGEST_VALUE):
        length = min(_LARGEST_VALUE, size - start)
        value = base64.b64encode(os.urandom(length * 3 // 4)).decode()
        cluster.api("POST", f"fill/{os.urandom(8).hex()}", {"value": value})


def _discard(nodes: list[OpenBaoNode]) -> None:
    for node in nodes:
        node.discard()
