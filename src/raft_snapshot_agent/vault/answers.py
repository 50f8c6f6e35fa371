"""What a server answers, as values and as errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.errors import Denied, Sealed, ServerError
from raft_snapshot_agent.secret import one_line, redact

SNAPSHOT_PATH = "sys/storage/raft/snapshot"
_LONGEST = 300
"""Characters of a server's complaint in a message."""
_READ = 16 << 10
"""Bytes of a body that are looked at for one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON body of an API call."""

    status: int
    body: Mapping[str, Any]

    @classmethod
    def read(cls, status: int, text: bytes) -> Answer:
        """Read a body that should be a JSON object; anything else counts as an error text."""
        try:
            body = read_json(text)
        except ValueError:
            # Pages of proxies: servers themselves answer in JSON.
            from raft_snapshot_agent.error_text import read_document

            said = read_document(text[:_READ].decode("utf-8", "replace")).text
            return cls(status, {"errors": [said] if said else []})
        return cls(status, body if isinstance(body, dict) else {})

    @property
    def errors(self) -> str:
        """What the server, or a proxy before it, complains of, on one line, shortened."""
        listed = self.body.get("errors")
        if not isinstance(listed, list):
            others = (self.body.get(key) for key in ("message", "error"))
            listed = [one for one in others if isinstance(one, str)]
        text = "; ".join(str(item) for item in listed if item)
        return one_line(text.replace("1 error occurred:\n\t*", ""), _LONGEST)

    @property
    def told(self) -> str:
        """Status and complaint as they stand in a message; never empty."""
        return f"{self.status}: {self.errors}" if self.errors else str(self.status)

    @property
    def of_dr_secondary(self) -> bool:
        """Whether a node refused because its cluster only stands in for a lost one.

        Source: Vault's answer to any request there, `Path disabled in replication DR secondary
        mode`, as operators report it.
        """
        return "replication dr secondary mode" in self.errors.lower()


@dataclass(frozen=True, slots=True)
class LeaderStatus:
    """What a node says of the cluster's leader (`sys/leader`)."""

    is_self: bool
    leader_address: str
    """As the operator configured it at the leader; empty when there is none."""
    applied_index: int
    """Of the last change that it has applied; a write is answered only once it is."""
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
    shares: int = 0
    """Into how many the unseal key is split, as the running server knows it."""
    threshold: int = 0
    """How many of them unseal it."""


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
_BAD_TOKEN = re.compile(r"\b(?:invalid|bad|expired) token\b", re.IGNORECASE)


def refusal(answer: Answer, address: str, path: str, right: str = "read") -> ServerError:
    """Return in one line why the server refused, always with its own words.

    Arguments:
        answer: What it said.
        address: Who said it.
        path: What was asked for.
        right: The capability it takes.
    """
    says = f"{address} answers {path} with {answer.told}"
    if answer.status == 403:
        return Denied(says, hint=_explain_denied(answer, path, right))
    if answer.status == 503 and "sealed" in answer.errors:
        return Sealed(
            f"{address} is sealed ({answer.told})", hint="unseal it, then the agent goes on"
        )
    if answer.of_dr_secondary:
        return ServerError(
            f"{address} belongs to a DR secondary, which gives no snapshots ({answer.told})",
            hint="run the agent at the primary cluster; after a failover this one is it",
        )
    return ServerError(says, hint=_advice(answer))


def _explain_denied(answer: Answer, path: str, right: str) -> str:
    """Return the likely cause where the server only says that it refuses."""
    if path != SNAPSHOT_PATH:
        return "likely a proxy or firewall in between: this path takes no token"
    if _BAD_TOKEN.search(answer.errors):
        return "the token has expired or is not of this cluster: give another"
    return (
        f"likely the token needs {right} on {SNAPSHOT_PATH}, or has expired"
        f"{_OTHER_TOKEN.get(right, '')}"
    )


_TOO_EARLY = ("nothing new to snapshot", "cannot take snapshot now")


def _advice(answer: Answer) -> str:
    match answer.status:
        case 301 | 302 | 307 | 308:
            return "write the address it redirects to"
        case 400 if "HTTP request to an HTTPS server" in answer.errors:
            return "write the address with https://"
        case 400 if "namespace" in answer.errors:
            return "likely the namespace: snapshots exist in the root namespace only"
        case 400 | 404 if "unsupported path" in answer.errors or "raft" in answer.errors:
            return "likely the cluster does not use integrated (raft) storage, which it must"
        case 404:
            return "likely vault.address points to something before the server, not to itself"
        case 429:
            return "likely a rate limit is in force; the agent tries again later"
        case 500 if any(early in answer.errors for early in _TOO_EARLY):
            return "the node has just started; the agent tries again"
        case 502 | 503 | 504:
            return "likely the server, or a proxy before it, is busy or down: look at their logs"
        case _:
            return "check the server's log"
