"""What a server answers, as values and as errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raft_snapshot_agent.errors import Denied, Sealed, ServerError
from raft_snapshot_agent.secret import redact

SNAPSHOT_PATH = "sys/storage/raft/snapshot"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON body of an API call."""

    status: int
    body: Mapping[str, Any]

    @classmethod
    def read(cls, status: int, text: bytes) -> Answer:
        """Read a body that should be a JSON object; anything else counts as an error text."""
        try:
            body = json.loads(text)
        except (RecursionError, ValueError):
            said = [text[:200].decode("utf-8", "replace")] if text.strip() else []
            return cls(status, {"errors": said})
        return cls(status, body if isinstance(body, dict) else {})

    @property
    def errors(self) -> str:
        """What the server complains of, on one line, shortened."""
        listed = self.body.get("errors")
        text = "; ".join(str(item) for item in listed) if isinstance(listed, list) else ""
        return redact(" ".join(text.replace("1 error occurred:\n\t*", "").split()))[:300]

    @property
    def of_dr_secondary(self) -> bool:
        """Whether a node refused because its cluster only stands in for a lost one.

        Source: Vault's answer to any request there, `Path disabled in replication DR secondary
        mode`, as operators report it.
        """
        return "replication dr secondary mode" in self.errors.lower()


@dataclass(frozen=True, slots=True)
class Standing:
    """What a node says of the cluster's leader (`sys/leader`)."""

    is_self: bool
    leader_address: str
    """As the operator configured it at the leader; empty when there is none."""
    committed_index: int
    active_since: str = ""
    """When the leader took over; a restore makes it take over anew."""
    ha_enabled: bool = True
    performance_standby: bool = False
    """Whether it answers reads itself (Vault Enterprise); it is a standby all the same."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which cluster and which software answers (`sys/seal-status`)."""

    cluster_id: str = ""
    cluster_name: str = ""
    product: str = ""
    version: str = ""
    initialized: bool = True
    sealed: bool = False


class Redirected(ServerError):
    """The server names another node to ask; whether to believe it is the caller's to say."""

    def __init__(self, address: str, location: str) -> None:
        super().__init__(
            f"{address} redirects to {redact(location) or 'nowhere'}",
            hint="the agent follows redirects inside the cluster only, never from https to http:"
            " check api_addr on the servers",
        )
        self.location = location


_OTHER_TOKEN = {"update": "; give one that has it in VAULT_TOKEN"}


def refusal(answer: Answer, address: str, path: str, right: str = "read") -> ServerError:
    """Say in one line why the server refused.

    Arguments:
        answer: What it said.
        address: Who said it.
        path: What was asked for.
        right: The capability it takes.
    """
    says = f"{address} answers {path} with {answer.status}"
    if answer.errors:
        says += f": {answer.errors}"
    if answer.status == 403:
        return Denied(
            says, hint=f"the token needs {right} on {SNAPSHOT_PATH}{_OTHER_TOKEN.get(right, '')}"
        )
    if answer.status == 503 and "sealed" in answer.errors:
        return Sealed(f"{address} is sealed", hint="unseal it, then the agent goes on")
    if answer.of_dr_secondary:
        return ServerError(
            f"{address} belongs to a DR secondary, which gives no snapshots",
            hint="run the agent at the primary cluster; after a failover this one is it",
        )
    return ServerError(says, hint=_advice(answer))


_TOO_EARLY = ("nothing new to snapshot", "cannot take snapshot now")


def _advice(answer: Answer) -> str:
    match answer.status:
        case 301 | 302 | 307 | 308:
            return "write the address it redirects to"
        case 400 if "HTTP request to an HTTPS server" in answer.errors:
            return "write the address with https://"
        case 400 if "namespace" in answer.errors:
            return "snapshots exist in the root namespace only"
        case 400 | 404 if "unsupported path" in answer.errors or "raft" in answer.errors:
            return "the cluster must use integrated (raft) storage"
        case 404:
            return "check that vault.address points to the server itself"
        case 429:
            return "a rate limit is in force; the agent tries again later"
        case 500 if any(early in answer.errors for early in _TOO_EARLY):
            return "the node has just started; the agent tries again"
        case _:
            return "look at the server's log"
