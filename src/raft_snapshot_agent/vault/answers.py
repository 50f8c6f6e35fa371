"""Parses a server's answers into values and errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from raft_snapshot_agent.core.foreign_json import Number, read_json
from raft_snapshot_agent.errors import Denied, Sealed, ServerError
from raft_snapshot_agent.redaction import one_line, redact

SNAPSHOT_PATH = "sys/storage/raft/snapshot"
_LONGEST = 300
"""Most characters of a server's error text in a message."""
_READ = 16 << 10
"""Most bytes of a body searched for an error text."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON body of an API call."""

    status: int
    body: Mapping[str, Any]
    location: str = ""
    """Where it redirects to."""

    @classmethod
    def read(cls, status: int, text: bytes, location: str = "") -> Answer:
        """Parse a body that should be a JSON object; anything else becomes the error text."""
        try:
            body = read_json(text, parse_float=Number)
        except ValueError:
            # Pages of proxies: servers themselves answer in JSON.
            from raft_snapshot_agent.error_text import read_document

            said = read_document(text[:_READ].decode("utf-8", "replace")).text
            return cls(status, {"errors": [said] if said else []}, location)
        return cls(status, body if isinstance(body, dict) else {}, location)

    @property
    def errors(self) -> str:
        """The error text of the server, or of a proxy in front of it: one line, shortened."""
        listed = self.body.get("errors")
        if not isinstance(listed, list):
            others = (self.body.get(key) for key in ("message", "error"))
            listed = [one for one in others if isinstance(one, str)]
        text = "; ".join(str(item) for item in listed if item)
        return one_line(text.replace("1 error occurred:\n\t*", ""), _LONGEST)

    @property
    def told(self) -> str:
        """Status and error text for a message; never empty."""
        return f"{self.status}: {self.errors}" if self.errors else str(self.status)

    @property
    def of_dr_secondary(self) -> bool:
        """Whether a node refused because its cluster is a DR secondary.

        Source: Vault's answer to any request there, `Path disabled in replication DR secondary
        mode`, as operators report it.
        """
        return "replication dr secondary mode" in self.errors.lower()


@dataclass(frozen=True, slots=True)
class LeaderStatus:
    """A node's answer about the cluster's leader (`sys/leader`)."""

    is_self: bool
    leader_address: str
    """The leader's configured `api_addr`; empty if there is no leader."""
    applied_index: int
    """Raft index of the last applied change; a write is answered only after it is applied."""
    active_since: str = ""
    """When the leader became active, which also happens after a restore."""
    ha_enabled: bool = True
    performance_standby: bool = False
    """Whether it is a standby that answers reads itself (Vault Enterprise)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Cluster and software of a server (`sys/seal-status`)."""

    cluster_id: str = ""
    cluster_name: str = ""
    product: str = ""
    version: str = ""
    initialized: bool = True
    sealed: bool = False
    seal: str = ""
    """`shamir` for key shares, else the type of the KMS; empty if unknown."""
    shares: int = 0
    """Number of shares of the unseal key, as the running server knows it."""
    threshold: int = 0
    """Number of shares needed to unseal."""
    trouble: str = ""
    """Why the server failed to tell."""


@dataclass(frozen=True, slots=True)
class Member:
    """A node of the cluster, as the others know it (`sys/ha-status`)."""

    api_address: str
    cluster_address: str
    hostname: str
    is_active: bool
    """Whether it leads."""

    @property
    def hosts(self) -> list[str]:
        """The hosts under which the others know it, in URL syntax."""
        known = map(_host, (self.api_address, self.cluster_address, self.hostname))
        return [host for host in known if host]


class Redirected(ServerError):
    """The server redirects to another node; the caller decides whether to follow."""

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
    """Return an error that explains a refusal and includes the server's text.

    Arguments:
        answer: The answer of the server.
        address: Address of the server.
        path: Requested path.
        right: Capability that the request needs.
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
            hint="configure the agent for the primary cluster; if this one is promoted, snapshots"
            " work without a change",
        )
    return ServerError(says, hint=_advice(answer, path))


def _explain_denied(answer: Answer, path: str, right: str) -> str:
    """Return the likely cause of a 403."""
    if path != SNAPSHOT_PATH:
        return "likely a proxy or firewall in between: this path takes no token"
    if _BAD_TOKEN.search(answer.errors):
        return "the token has expired or is not of this cluster: give another"
    return (
        f"likely the token needs {right} on {SNAPSHOT_PATH}, or has expired"
        f"{_OTHER_TOKEN.get(right, '')}"
    )


def _advise_redirected(location: str, path: str) -> str:
    """Name the address to configure only if it is a server's, as the login would be sent there."""
    target = re.split(r"[?#]", location)[0]
    address = target.removesuffix(f"/v1/{path}")
    if location and (address == target or "://" not in address):
        where = one_line(target, _LONGEST)
        return f"likely something before the server answers: it redirects to {where}"
    shown = one_line(address, _LONGEST)
    return f"write the address it redirects to{f': {shown}' if shown else ''}"


def _advice(answer: Answer, path: str) -> str:
    match answer.status:
        case 301 | 302 | 307 | 308:
            return _advise_redirected(answer.location, path)
        case 400 if "HTTP request to an HTTPS server" in answer.errors:
            return "write the address with https://"
        case 400 if "namespace" in answer.errors:
            return "likely the namespace: snapshots exist in the root namespace only"
        case 400 | 404 if "unsupported path" in answer.errors or "raft" in answer.errors:
            return "likely the cluster does not use integrated (raft) storage, which it must"
        case 404:
            return "likely the address points to something before the server, not to itself"
        case 429:
            return "likely a rate limit is in force; the agent tries again later"
        case 500 if "nothing new to snapshot" in answer.errors:
            return "the node has just started; the agent tries again"
        case 500 if "cannot take snapshot now" in answer.errors:
            return "the members of the cluster are changing; the agent tries again"
        case 502 | 503 | 504:
            return "likely the server, or a proxy before it, is busy or down: look at their logs"
        case _:
            return "check the server's log"


def _host(address: str) -> str:
    """Return the host of an address or of a plain host name, in URL syntax."""
    try:
        host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
    except ValueError:
        return ""
    return f"[{host}]" if ":" in host else host
