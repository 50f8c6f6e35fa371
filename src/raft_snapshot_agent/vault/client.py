"""The HTTP API calls that the agent makes to a Vault or OpenBao server.

All calls block, and callers run them in worker threads: reading a snapshot with an asynchronous
parser takes twice the time (see docs/decisions/0001).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import urllib3

from raft_snapshot_agent import __version__
from raft_snapshot_agent.core.foreign_json import write_json
from raft_snapshot_agent.errors import ConfigError, Sealed, ServerError
from raft_snapshot_agent.redaction import one_line
from raft_snapshot_agent.secret import header_value
from raft_snapshot_agent.vault.answers import (
    SNAPSHOT_PATH,
    Answer,
    Identity,
    LeaderStatus,
    Member,
    Redirected,
    refusal,
)
from raft_snapshot_agent.vault.settings import VaultSettings, normal_form
from raft_snapshot_agent.vault.stream import SnapshotStream
from raft_snapshot_agent.vault.transport import NodeConnection

_HEADERS = {
    "User-Agent": f"raft-snapshot-agent/{__version__}",
    "Accept-Encoding": "identity",
    # Listeners of Vault Agent and Proxy may require it.
    "X-Vault-Request": "true",
    # Without it, a standby with consistency_missing_header_forward forwards the request, so that
    # it seems to be the leader.
    "X-Vault-Inconsistent": "fail",
}

_LONGEST = 300
"""Most characters of a server's product, version or name."""
_INDEXES = range(1 << 63)
_COUNTS = range(256)


class Node:
    """One server at one address."""

    def __init__(self, address: str, settings: VaultSettings) -> None:
        self.address = address
        self._settings = settings
        self._line = NodeConnection(address, settings)

    def __repr__(self) -> str:
        return f"Node({self.address!r})"

    def close(self) -> None:
        self._line.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: Mapping[str, Any] | None = None,
        namespace: str | None = None,
    ) -> Answer:
        """Call the API and return its answer, whatever the status.

        Raises:
            Unreachable: There was no answer.
        """
        seconds = self._settings.timeout.total_seconds()
        response = self._line.ask(
            method,
            f"/v1/{path}",
            body=None if body is None else write_json(body),
            headers=_headers(token, namespace),
            seconds=seconds,
            timeout=urllib3.Timeout(total=seconds),
        )
        location = response.headers.get("Location", "")
        return Answer.read(response.status, response.data, location)

    def leader_status(self) -> LeaderStatus:
        """Request which node leads.

        Raises:
            Sealed: The node is sealed or not initialised.
            ServerError: There was no answer, or no valid one.
        """
        answer = self.call("GET", "sys/leader")
        if answer.status != 200:
            raise self._not_serving(refusal(answer, self.address, "sys/leader"))
        try:
            return LeaderStatus(
                is_self=answer.body.get("is_self") is True,
                leader_address=normal_form(_line(answer.body.get("leader_address"))),
                applied_index=_index(answer.body.get("raft_applied_index")),
                active_since=_line(answer.body.get("active_time")),
                ha_enabled=bool(answer.body["ha_enabled"]),
                performance_standby=answer.body.get("performance_standby") is True,
            )
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            raise ServerError(
                f"{self.address} does not answer sys/leader as Vault or OpenBao do",
                hint="likely the address points to something before the server, not to itself",
            ) from error

    def identity(self) -> Identity:
        """Request the cluster and the version of the server."""
        answer = self.call("GET", "sys/seal-status")
        if answer.status != 200:
            return Identity(trouble=answer.told if answer.status >= 500 else "")
        said = answer.body
        product = "openbao" if "commit_date" in said else "vault" if "build_date" in said else ""
        return Identity(
            cluster_id=_line(said.get("cluster_id")),
            cluster_name=_line(said.get("cluster_name")),
            product=product,
            version=_line(said.get("version")),
            initialized=said.get("initialized") is not False,
            sealed=said.get("sealed") is True,
            seal=_line(said.get("type")),
            shares=_count(said.get("n")),
            threshold=_count(said.get("t")),
        )

    def list_members(self, token: str) -> tuple[Member, ...]:
        """List the nodes of the cluster.

        Source: the API page of `sys/ha-status`. It needs a capability that few tokens have; without
        it the list is empty.

        Raises:
            Unreachable: There was no answer.
        """
        data = self.call("GET", "sys/ha-status", token=token).body.get("data")
        nodes = data.get("nodes") if isinstance(data, dict) else None
        return tuple(
            Member(
                api_address=normal_form(_line(one.get("api_address"))),
                cluster_address=_line(one.get("cluster_address")),
                hostname=_line(one.get("hostname")),
                is_active=one.get("active_node") is True,
            )
            for one in (nodes if isinstance(nodes, list) else ())
            if isinstance(one, dict)
        )

    def count_servers(self, token: str) -> int:
        """Count the servers of the Raft cluster; zero if the token may not read that.

        Source: the API page of `sys/storage/raft`.

        Raises:
            Unreachable: There was no answer.
        """
        data = self.call("GET", "sys/storage/raft/configuration", token=token).body.get("data")
        config = data.get("config") if isinstance(data, dict) else None
        servers = config.get("servers") if isinstance(config, dict) else None
        return len(servers) if isinstance(servers, list) else 0

    def try_token(self, token: str) -> Answer:
        """Send a request that every valid token may send: a 403 means that this one is not valid.

        Other requests are refused in the same words for an invalid token and a missing permission.
        Source: the API page of `sys/internal/ui/mounts`.

        Raises:
            Unreachable: There was no answer.
        """
        return self.call("GET", "sys/internal/ui/mounts", token=token)

    def open_snapshot(self, token: str) -> SnapshotStream:
        """Request a snapshot.

        Raises:
            Redirected: Another node must be used.
            Denied: The token has no permission.
            ServerError: The server refused.
        """
        stall = self._settings.stall_timeout.total_seconds()
        connect = self._settings.timeout.total_seconds()
        response = self._line.ask(
            "GET",
            f"/v1/{SNAPSHOT_PATH}",
            patience="stall_timeout",
            headers=_headers(token),
            seconds=connect + stall,
            timeout=urllib3.Timeout(connect=connect, read=stall),
            streaming=True,
        )
        if response.status == 200:
            return SnapshotStream(self.address, response, stall, self._settings.min_rate)
        response.close()
        raise self._error_from_refusal(response, response.data, "read")

    def send_snapshot(self, token: str, file: IO[bytes], *, force: bool) -> None:
        """Upload a snapshot to restore; the server applies it after its answer.

        Raises:
            Redirected: Another node must be used.
            ServerError: The server refused; nothing was changed.
        """
        path = f"{SNAPSHOT_PATH}-force" if force else SNAPSHOT_PATH
        response = self._line.ask(
            "POST",
            f"/v1/{path}",
            patience="snapshot_timeout",
            body=file,
            seconds=self._settings.snapshot_timeout.total_seconds(),
            headers={**_headers(token), "Content-Length": str(_length(file))},
            timeout=urllib3.Timeout(
                connect=self._settings.timeout.total_seconds(),
                read=self._settings.snapshot_timeout.total_seconds(),
            ),
        )
        if response.status != 204:
            raise self._error_from_refusal(response, response.data, "update")

    def _not_serving(self, error: ServerError) -> ServerError:
        """Return the error of an uninitialised or a sealed server."""
        if not isinstance(error, Sealed) or self.identity().initialized:
            return error
        return Sealed(
            f"{self.address} is not initialised", hint="initialise it, or let it join its cluster"
        )

    def _error_from_refusal(
        self, response: urllib3.BaseHTTPResponse, body: bytes, right: str
    ) -> ServerError:
        if response.status in (301, 302, 307, 308):
            return Redirected(self.address, response.headers.get("Location", ""))
        answer = Answer.read(response.status, body)
        return refusal(answer, self.address, SNAPSHOT_PATH, right)


def _headers(token: str | None, namespace: str | None = None) -> dict[str, str]:
    headers = dict(_HEADERS)
    if token:
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise ConfigError(
                "the token contains invalid characters",
                hint="check vault.auth: its secret must be the token and nothing else",
            )
        headers["X-Vault-Token"] = token
    if namespace:
        headers["X-Vault-Namespace"] = header_value(namespace, "vault.namespace")
    return headers


def _line(said: object) -> str:
    """Return a value from the server as one short line; empty if it is missing."""
    return one_line(str(said), _LONGEST) if said else ""


def _count(said: object) -> int:
    """Parse a small number; zero if it is invalid."""
    return said if type(said) is int and said in _COUNTS else 0


def _index(said: Any) -> int:
    """Parse a Raft index.

    Raises:
        ValueError: It is not a Raft index.
    """
    index = int(said or 0)
    if index not in _INDEXES:
        raise ValueError("no index")
    return index


def _length(file: IO[bytes]) -> int:
    length = file.seek(0, 2)
    file.seek(0)
    return length
