"""Check the server: leader, TLS, login and permissions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.core.ages import format_age
from raft_snapshot_agent.doctor.results import (
    CheckContext,
    CheckResult,
    Status,
    failure,
    skipped,
    success,
    warning,
)
from raft_snapshot_agent.errors import NotLeader, ServerError, Unreachable
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.answers import SNAPSHOT_PATH, Answer
from raft_snapshot_agent.vault.auth import AnyAuth
from raft_snapshot_agent.vault.auth.approle import AppRoleAuth
from raft_snapshot_agent.vault.auth.none import NoAuth
from raft_snapshot_agent.vault.auth.token import TokenAuth
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.exposure import proxy_to
from raft_snapshot_agent.vault.hosts import is_local
from raft_snapshot_agent.vault.token import in_namespace

_USED_UP = -1
"""What the server says of a token's uses when a request has taken the last."""


async def tls(context: CheckContext) -> list[CheckResult]:
    """Check which connections use TLS; only an answer proves that the certificate is valid."""
    return [
        _check_tls(address, context.config, answered=address in context.answered)
        for address in context.config.vault.addresses
    ]


def _check_tls(address: str, config: Config, *, answered: bool) -> CheckResult:
    proxy = proxy_to(address, config.vault.proxy)
    if proxy is not None and not address.startswith("https:"):
        message = f"{address} is not encrypted, and {proxy} can read everything"
        advice = "enable TLS on the server: the token and the snapshot can be read on the way"
        return CheckResult("tls", Status.WARNING, message, advice)
    if not address.startswith("https:"):
        if urlsplit(address).scheme == "unix" or is_local(address):
            return CheckResult("tls", Status.SUCCESS, f"{address} stays on this host")
        advice = "enable TLS on the server: the token and the snapshot can be read on the way"
        return CheckResult("tls", Status.WARNING, f"{address} is not encrypted", advice)
    if config.vault.tls.skip_verify:
        advice = "set vault.tls.ca_file or VAULT_CACERT, and take skip_verify out"
        return CheckResult("tls", Status.WARNING, f"{address} is not verified", advice)
    if not answered:
        return skipped("tls", f"{address} did not answer, so its certificate was not checked")
    return CheckResult("tls", Status.SUCCESS, f"{address} is verified")


async def nodes(context: CheckContext) -> list[CheckResult]:
    """Ask every node for its state."""
    return [
        await in_thread(partial(_node, context, address))
        for address in context.config.vault.addresses
    ]


def _node(context: CheckContext, address: str) -> CheckResult:
    node = context.cluster.node(address)
    try:
        leader_status = node.leader_status()
        identity = node.identity()
    except ServerError as error:
        if not isinstance(error, Unreachable):
            context.answered.add(address)
        return failure("nodes", error)
    context.answered.add(address)
    if leader_status.leader_address and not leader_status.is_self:
        context.leaders.add(leader_status.leader_address)
    context.node = context.node or node
    if identity.trouble:
        return failure("nodes", _describe_trouble(address, identity.trouble))
    server = f"{identity.product} {identity.version}".strip() or "a server"
    if leader_status.is_self:
        role = "leads"
    elif leader_status.leader_address:
        role = f"is a standby; {leader_status.leader_address} leads"
    else:
        role = "knows no leader"
    status = (
        Status.SUCCESS if leader_status.is_self or leader_status.leader_address else Status.WARNING
    )
    return CheckResult("nodes", status, f"{address} ({server}) {role}")


def _describe_trouble(address: str, trouble: str) -> ServerError:
    """Describe a server that serves, but fails to tell of its seal.

    So it does, for one, after a restore of a snapshot from before a seal migration.
    """
    return ServerError(
        f"{address} answers sys/seal-status with {trouble}",
        hint="do not restart it before its seal is clear: compare the seal in its configuration"
        " with that of its data, and check its log",
    )


async def leader(context: CheckContext) -> list[CheckResult]:
    """Check whether this agent is responsible at the moment."""
    if context.node is None:
        return [skipped("leader", "no node answers, so the leader is unknown")]
    try:
        found = await in_thread(context.cluster.find_leader_for_this_agent)
    except NotLeader as error:
        context.stands_by = True
        message = f"this agent stands by: {error.message}"
        return [CheckResult("leader", Status.SUCCESS, message)]
    context.node = found.node
    message = f"this agent takes the snapshots; the leader is {found.node.address}"
    doubts = [found.doubt] if found.doubt else []
    return [success("leader", message), *(warning("leader", d.message, d.hint) for d in doubts)]


async def namespace(context: CheckContext) -> list[CheckResult]:
    """Warn of a login in a namespace, whose tokens cannot read snapshots."""
    vault = context.config.vault
    if vault.in_root:
        return []
    message = f"logins go to the namespace {vault.namespace}, whose tokens cannot read snapshots"
    return [CheckResult("namespace", Status.WARNING, message, "leave vault.namespace out")]


async def login(context: CheckContext) -> list[CheckResult]:
    """Log in; the token is revoked after all checks."""
    node, auth = context.node, context.config.vault.auth
    if node is None or auth is None:
        why = "no node answers" if auth else "no login is configured"
        return [CheckResult("login", Status.SKIPPED, why)]
    if isinstance(auth, AppRoleAuth) and auth.wrapped:
        ask = partial(node.call, namespace=context.config.vault.namespace)
        await in_thread(partial(auth.inspect, ask))
        message = "the wrapping token is good; logging in would use it up"
        return [CheckResult("login", Status.SKIPPED, message)]
    context.token = await in_thread(partial(context.cluster.session.token, node))
    said = [_logged_in(auth, node, context.token_file)]
    if isinstance(auth, TokenAuth):
        context.told_of_token = await in_thread(partial(_look_up, node, context.token))
    if uses := context.told_of_token.get("num_uses"):
        context.token = None
        said.append(_judge_uses(uses))
    return said


def _judge_uses(uses: object) -> CheckResult:
    """Judge what is left of a token's limited uses."""
    advice = "give one without a limit of its uses: each snapshot takes one"
    if uses == _USED_UP:
        message = "the token had one use left, which looking it up has taken: it is used up"
        return failure("token", ServerError(message, hint=advice))
    message = f"the token's uses are limited, now to {uses}, so nothing else is tried with it"
    return warning("token", message, advice)


def _look_up(node: Node, token: str) -> Mapping[str, Any]:
    data = node.call("GET", "auth/token/lookup-self", token=token).body.get("data")
    return data if isinstance(data, dict) else {}


def _logged_in(auth: AnyAuth, node: Node, token_file: Path | None) -> CheckResult:
    if token_file is not None:
        message = f"no login is configured, so the token in {token_file} is used; run never uses it"
        return warning("login", message, "set vault.auth, or VAULT_TOKEN, for the daemon")
    if isinstance(auth, TokenAuth):
        return skipped("login", "a token is given, so there is no login")
    if isinstance(auth, NoAuth):
        return skipped("login", f"{node.address} is a proxy that logs in (method none)")
    return success("login", f"with {auth.method} at {node.address}")


async def rights(context: CheckContext) -> list[CheckResult]:
    """Compare the token's capabilities with those it needs."""
    node, token = context.node, context.token
    if node is None or token is None:
        return [CheckResult("rights", Status.SKIPPED, "there is no token to try")]
    if in_namespace(token):
        message = "the token was made inside a namespace and cannot read snapshots"
        return [failure("rights", ServerError(message, hint="make one in the root namespace"))]
    session = context.cluster.session
    if session.uses == 0:
        return [CheckResult("rights", Status.SKIPPED, "the token is good for one request only")]
    if session.uses is None:
        answer = await in_thread(partial(node.try_token, token))
        if answer.status == 403:
            return [_not_accepted(context.config.vault.auth, node, answer)]
    return await in_thread(partial(_rights, node, token))


def _not_accepted(auth: AnyAuth | None, node: Node, answer: Answer) -> CheckResult:
    if isinstance(auth, TokenAuth):
        message = (
            f"{node.address} does not know the token: it has expired, or belongs to another cluster"
        )
        advice = "give another token"
    else:
        message = f"{node.address} does not accept the token that it gave at the login"
        advice = "check that the role's token_bound_cidrs include this host"
    return failure("rights", ServerError(f"{message} ({answer.told})", hint=advice))


async def token(context: CheckContext) -> list[CheckResult]:
    """Check when a given token expires, which this agent does not renew."""
    auth, left = context.config.vault.auth, context.told_of_token.get("ttl")
    if not isinstance(auth, TokenAuth) or auth.token.reference.startswith("file://"):
        return []
    if not isinstance(left, int) or left <= 0:
        return []
    if context.told_of_token.get("num_uses") == _USED_UP:
        return []
    ends = format_age(timedelta(seconds=left))
    message = f"the token ends in {ends}, and the agent does not renew a token that is given"
    advice = "give a way to log in, such as approle, or a file:// that another agent refreshes"
    return [warning("token", message, advice)]


def _rights(node: Node, token: str) -> list[CheckResult]:
    paths = [SNAPSHOT_PATH, f"{SNAPSHOT_PATH}-force"]
    answer = node.call("POST", "sys/capabilities-self", token=token, body={"paths": paths})
    data = answer.body.get("data")
    if answer.status != 200 or not isinstance(data, dict):
        why = answer.errors or answer.status
        message = f"the token has no permission to look up its own capabilities ({why})"
        advice = "grant update on sys/capabilities-self, or see whether a snapshot succeeds"
        return [CheckResult("rights", Status.WARNING, message, advice)]
    return [_judge_capabilities({str(one) for path in paths for one in data.get(path) or ()}, data)]


def _judge_capabilities(all_of_them: set[str], data: Mapping[str, Sequence[str]]) -> CheckResult:
    if not {"read", "root"} & set(data.get(SNAPSHOT_PATH) or ()):
        message = f"the token has no read permission on {SNAPSHOT_PATH}"
        advice = f'give its policy: path "{SNAPSHOT_PATH}" {{ capabilities = ["read"] }}'
        return CheckResult("rights", Status.FAILURE, message, advice, ServerError.exit_code)
    if "root" in all_of_them:
        message = "the token is a root token: it may do everything"
        return CheckResult("rights", Status.WARNING, message, "give the agent a role of its own")
    if more := sorted(all_of_them - {"read", "deny"}):
        message = f"the token has more permissions than read: {', '.join(more)}"
        advice = "give the agent's policy only read; use another token for restores"
        return CheckResult("rights", Status.WARNING, message, advice)
    return CheckResult("rights", Status.SUCCESS, f"the token may read {SNAPSHOT_PATH} and no more")
