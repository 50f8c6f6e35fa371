"""One OpenBao server, on loopback unless another host is given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import urllib3

from raft_snapshot_agent.errors import ServerError, Unreachable
from raft_snapshot_agent.network.unix import UnixPool
from raft_snapshot_agent.servers.answers import Initialised, NodeAnswer
from raft_snapshot_agent.servers.node_options import NodeHost, NodeOptions, TlsFiles
from raft_snapshot_agent.servers.process import (
    ServerProcess,
    free_ports,
    program,
    release_ports,
    until,
)

SOCKET = "api.sock"
_SERVING = (200, 429)  # active, standby
_PATIENCE = 60.0
# Whatever the listener's options, the node answers for itself instead of asking the leader.
_HEADERS = {"X-Vault-Request": "true", "X-Vault-Inconsistent": "fail"}
_RAFT = {
    # The lowest valid value: elections take one second instead of five.
    "performance_multiplier": "1",
    # Promotes a follower about a second after it joined, instead of ten.
    "autopilot_update_interval": "100ms",
    "autopilot_reconcile_interval": "100ms",
}


class OpenBaoNode:
    """A node with its own folder, two ports and a process."""

    def __init__(
        self,
        name: str,
        folder: Path,
        options: NodeOptions | None = None,
        host: NodeHost | None = None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.options = options or NodeOptions()
        self.host = host or NodeHost()
        bao = str(self.host.program or program("bao"))
        self.ports = self.host.ports or tuple(free_ports(2))
        scheme = "https" if self.options.tls else "http"
        self._api_address = f"{scheme}://{self.host.address}:{self.ports[0]}"
        self.address = f"unix://{folder / SOCKET}" if self.host.socket else self._api_address
        self._base = "" if self.host.socket else self.address
        self.cluster_address = f"https://{self.host.address}:{self.ports[1]}"
        self._pool = UnixPool(str(folder / SOCKET)) if self.host.socket else _pool(self.options.tls)
        self.process = ServerProcess(
            name,
            [*self.host.enter, bao, "server"],
            folder / "server.log",
            {
                "PATH": "/usr/bin:/bin",
                "HOME": str(folder),
                "TMPDIR": str(folder / "tmp"),
            },
            folder if self.host.socket else None,
        )

    def launch(self, *options: str) -> None:
        """Start the server, with further options, without waiting for it."""
        # The server unpacks restores in TMPDIR, which must exist.
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("data", "tmp"):
            (self.folder / name).mkdir(exist_ok=True)
        (self.folder / SOCKET).unlink(missing_ok=True)
        (self.folder / "server.json").write_text(json.dumps(self._configuration(), indent=2))
        self.process.start(*self._configurations(), *options, environment=self.options.environment)

    def start(self) -> None:
        """Start the server and wait until its API answers, sealed or not.

        Raises:
            ServerError: It exited at once, or does not answer.
        """
        self.launch()
        self.wait_answering()

    def stop(self) -> None:
        """Stop it with SIGTERM, as systemd does."""
        self.process.terminate()
        self._pool.clear()

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.kill()
        self._pool.clear()

    def suspend(self) -> None:
        """Suspend it, to simulate a hanging host."""
        self.process.suspend()

    def resume(self) -> None:
        """Continue it after `suspend`."""
        self.process.resume()

    def restart(self) -> None:
        """Stop and start it; it comes back sealed."""
        self.stop()
        self.start()

    def discard(self) -> None:
        """Kill it, prevent another start, and release its ports."""
        self.process.retire()
        self._pool.clear()
        if self.host.ports is None:
            release_ports(self.ports)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = None,
        *,
        timeout: float = 30.0,
    ) -> NodeAnswer:
        """Send `body` as JSON to `/v1/PATH`; return any answer. Redirects are not followed.

        Each wait for the server is limited to `timeout` seconds.

        Raises:
            Unreachable: There was no answer.
        """
        headers = _HEADERS | ({"X-Vault-Token": token} if token else {})
        try:
            response = self._pool.request(
                method,
                f"{self._base}/v1/{path}",
                json=body,
                headers=headers,
                timeout=timeout,
                retries=False,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(f"{self.name} at {self.address}: {error}") from error
        return NodeAnswer.read(response.status, response.data)

    def api(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """Request `/v1/PATH` and return the parsed answer, `None` for an empty one.

        Raises:
            ServerError: The status is not 2xx; the message has it.
            Unreachable: There was no answer.
        """
        answer = self.request(method, path, body, token)
        if answer.status // 100 == 2:
            return answer.document
        raise ServerError(
            f"{self.name}: {method} /v1/{path} answered {answer.status}: {answer.errors}"
        )

    def is_leader(self) -> bool:
        """Whether it reports itself as the leader; false without an answer."""
        return bool((self._ask("sys/leader").document or {}).get("is_self"))

    def is_active(self) -> bool:
        """Whether it is unsealed and leads; also with a quota, of which this path is exempt.

        Raises:
            ServerError: Its process has ended.
        """
        return self._health() == _SERVING[0]

    def seal_status(self) -> dict[str, Any]:
        """`sys/seal-status`: `sealed`, `t`, `n`, `initialized` and more."""
        status: dict[str, Any] = self.api("GET", "sys/seal-status")
        return status

    def init(self, shares: int, threshold: int, *, by_kms: bool = False) -> Initialised:
        """Initialise it as the first node of a cluster; with `by_kms`, make recovery keys."""
        kind = "recovery" if by_kms else "secret"
        answer = self.api(
            "PUT", "sys/init", {f"{kind}_shares": shares, f"{kind}_threshold": threshold}
        )
        keys = answer["recovery_keys_base64" if by_kms else "keys_base64"]
        return Initialised(tuple(keys), answer["root_token"])

    def unseal(self, keys: Sequence[str]) -> None:
        """Send key shares until it is unsealed or all are sent."""
        for key in keys:
            if not self.api("PUT", "sys/unseal", {"key": key})["sealed"]:
                return

    def join(self, leader: OpenBaoNode) -> None:
        """Join the leader's cluster; unsealing completes it."""
        tls = leader.options.tls
        request = {"leader_api_addr": leader.address}
        if tls:
            request["leader_ca_cert"] = tls.ca.read_text()
        self.api("PUT", "sys/storage/raft/join", request)

    def wait_answering(self) -> None:
        """Wait until its API answers, sealed or not."""
        until(self._answers, f"{self.name} answers", within=_PATIENCE)

    def wait_active(self) -> None:
        """Wait until it is unsealed and leads."""
        until(self.is_active, f"{self.name} is active", within=_PATIENCE)

    def wait_serving(self) -> None:
        """Wait until it is unsealed and leads or follows."""
        until(lambda: self._health() in _SERVING, f"{self.name} serves", within=_PATIENCE)

    def _answers(self) -> bool:
        self.process.check()
        return self._ask("sys/seal-status").status == 200

    def _health(self) -> int:
        self.process.check()
        return self._ask("sys/health").status

    def _ask(self, path: str) -> NodeAnswer:
        if not self.process.alive or self.process.suspended:
            return NodeAnswer(0, None)
        try:
            return self.request("GET", path, timeout=2.0)
        except Unreachable:
            return NodeAnswer(0, None)

    def _configurations(self) -> list[str]:
        files = ("server.json", *self.options.files)
        return [f"-config={self.folder / name}" for name in files]

    def _configuration(self) -> dict[str, Any]:
        tls = self.options.tls
        certificate = (
            {"tls_cert_file": str(tls.cert), "tls_key_file": str(tls.key)}
            if tls
            else {"tls_disable": True}
        )
        listener = {
            "address": f"{self.host.address}:{self.ports[0]}",
            "cluster_address": f"{self.host.address}:{self.ports[1]}",
            # The limit on how long the upload of a restore may take.
            "http_read_timeout": "30m",
            **certificate,
            **self.options.listener,
        }
        raft = {"path": str(self.folder / "data"), "node_id": self.name, **_RAFT}
        return {
            "api_addr": self._api_address,
            "cluster_addr": self.cluster_address,
            "storage": {"raft": raft},
            "listener": {"tcp": listener, **self._socket()},
            "log_level": "info",
            **self.options.server,
        }

    def _socket(self) -> dict[str, Any]:
        """Return a listener with a relative socket path, because paths are limited to 107 bytes."""
        if not self.host.socket:
            return {}
        unix = {
            "address": SOCKET,
            "http_read_timeout": "30m",
            "tls_disable": True,
            # Needed to make a root token from unseal keys; no other user can reach this socket.
            "disable_unauthed_generate_root_endpoints": False,
        }
        return {"unix": unix}


def _pool(tls: TlsFiles | None) -> urllib3.PoolManager:
    if tls is None:
        return urllib3.PoolManager()
    return urllib3.PoolManager(ca_certs=str(tls.ca))
