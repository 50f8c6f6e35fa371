"""A cluster that is restored, seen from behind proxies, and an operator who restores it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.command import Ending, call
from tests.http_proxy import Behaviour, Exchange, Request
from tests.lying import SNAPSHOT_PATH, LyingProxy

from raft_snapshot_agent.core.snapshots.notes import RESTORED_NAME
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster, prepare_agent

_TRIES = 3
"""A server writes something by itself now and then."""


@dataclass(slots=True)
class Field:
    """A cluster behind proxies, known under their addresses alone, and a place for snapshots."""

    cluster: OpenBaoCluster
    approle: AppRole
    folder: Path
    proxies: dict[str, LyingProxy] = field(default_factory=dict)
    as_seen: dict[str, Behaviour] = field(default_factory=dict)
    """How paths are answered whose answers name addresses."""
    retention: dict[str, int] = field(default_factory=dict)
    more: dict[str, str] = field(default_factory=dict)
    """Further variables of the operator's."""

    def __post_init__(self) -> None:
        for name in ("snapshots", "spool"):
            (self.folder / name).mkdir(parents=True)

    def hide(self, stack: ExitStack, proxy_of: Callable[[str], LyingProxy] = LyingProxy) -> None:
        for node in self.cluster.nodes:
            proxy = stack.enter_context(proxy_of(node.address))
            self.proxies[node.name] = proxy
        names = {node.address: self.before(node).address for node in self.cluster.nodes}
        paths = ("/v1/sys/leader", "/v1/sys/ha-status")
        self.as_seen = dict.fromkeys(paths, renamed(names))
        for proxy in self.proxies.values():
            for path, behaviour in self.as_seen.items():
                proxy.behave(path, behaviour)

    def before(self, node: OpenBaoNode) -> LyingProxy:
        return self.proxies[node.name]

    def configuration(self, *nodes: OpenBaoNode) -> Path:
        """Write one that names these nodes, all by default, with the agent's own login."""
        told = nodes or self.cluster.nodes
        auth = {"role_id": self.approle.role_id, "secret_id": self.approle.secret_id}
        document = {
            "vault": {
                "nodes": [self.before(node).address for node in told],
                "auth": {"method": "approle", **auth},
            },
            "spool": str(self.folder / "spool"),
            "retention": self.retention,
            "storages": [{"type": "local", "path": str(self.folder / "snapshots")}],
        }
        file = self.folder / f"agent-{'-'.join(node.name for node in told)}.json"
        file.write_text(json.dumps(document))
        return file

    @property
    def name(self) -> str:
        """What the cluster is called."""
        return str(self.cluster.nodes[0].seal_status()["cluster_name"])

    def tokens(self) -> set[str]:
        """Return the accessors of all tokens that live."""
        return set(self.cluster.api("LIST", "auth/token/accessors")["data"]["keys"])

    @property
    def operator(self) -> dict[str, str]:
        """The environment of somebody who may restore."""
        return {"VAULT_TOKEN": self.cluster.root_token, **self.more}

    @property
    def index(self) -> int:
        """What the leader has applied."""
        return int(self.cluster.leader().api("GET", "sys/leader")["raft_applied_index"])

    def save(self) -> Path:
        """Store a snapshot as the agent does, and return where it lies."""
        before = set(self.snapshots())
        assert call("save", "-c", self.configuration()).code == 0
        (new,) = set(self.snapshots()) - before
        return new

    def restore_note(self) -> bytes:
        """What the last restore left for the next snapshot; empty if nothing."""
        note = self.folder / "snapshots" / RESTORED_NAME
        return note.read_bytes() if note.exists() else b""

    def snapshots(self) -> list[Path]:
        return [*(self.folder / "snapshots").glob("*.snap")]

    def restore(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Ending:
        """Run the command, without a terminal; no token is in what it says."""
        env = self.operator if env is None else env
        ended = call("restore", *arguments, "-c", self.configuration(), env=env)
        assert self.cluster.root_token not in ended.talk
        assert [*(self.folder / "spool").iterdir()] == []
        return ended

    def sent(self) -> list[Request]:
        """Every request of the tests so far that hands a snapshot over."""
        return [
            request
            for proxy in self.proxies.values()
            for request in proxy.requests
            if request.method in ("POST", "PUT") and request.path.startswith(SNAPSHOT_PATH)
        ]

    def refuses(self, code: int, words: str, *arguments: str | Path) -> Ending:
        """Restore: it fails with one line of error, nothing was sent, and the index stays."""
        before = self.sent()
        for _ in range(_TRIES):
            index = self.index
            ended = self.restore(*arguments, "--yes")
            assert ended.code == code, ended.talk
            assert words in ended.talk.splitlines()[-1]
            assert ended.talk.count("error: ") == 1
            assert self.sent() == before
            if self.index == index:
                return ended
        raise AssertionError("the cluster changed whenever the restore was refused")


def renamed(names: Mapping[str, str]) -> Behaviour:
    """Pass an answer on with other addresses in it."""

    def behave(exchange: Exchange) -> None:
        response = exchange.forward()
        body = response.read()
        for name, other in names.items():
            body = body.replace(name.encode(), other.encode())
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        exchange.answer(response.status, headers, body)

    return behave


def opened(folder: Path, nodes: int) -> Iterator[Field]:
    with ExitStack() as stack:
        cluster = stack.enter_context(OpenBaoCluster.start(folder / "bao", nodes=nodes))
        there = Field(cluster, prepare_agent(cluster), folder / "agent")
        there.hide(stack)
        yield there


def marked(cluster: OpenBaoCluster, value: str) -> str:
    path = f"marker-{secrets.token_hex(4)}"
    cluster.write_secret(path, {"value": value})
    return path


def at_once(node: OpenBaoNode, path: str, token: str) -> str:
    """Read a secret from a node with little patience: one that is being restored hangs longer."""
    answer = node.request("GET", f"secret/data/{path}", token=token, timeout=3.0)
    assert answer.status == 200, answer
    return str(answer.document["data"]["data"]["value"])
