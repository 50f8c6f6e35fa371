"""Makes root tokens, from unseal keys, for a throw-away server with restored data."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from raft_snapshot_agent.errors import ConfigError, DrillFailed, ServerError
from raft_snapshot_agent.redaction import remember
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.process import until

_ROOT = "sys/generate-root"
_RECOVERY = "sys/generate-recovery-token"
_IN_THE_WAY = (
    "core/audit",
    "core/local-audit",
    "sys/quotas/rate-limit",
    "sys/quotas/lease-count",
)
"""Where a server stores audit devices and quotas; `lease-count` is Vault's only."""
_PATIENCE = 60.0
_THEIRS = "are they those of the cluster that the snapshot was taken from?"
_WRONG = "the unseal keys do not open it"
_TWICE = "already been provided"
"""The error of a server that gets a key share again, in any encoding."""


def make_root_token(node: OpenBaoNode, keys: Sequence[str]) -> str:
    """Make a root token from enough key shares.

    It is stored only in the data of the server, which is removed with the server.

    Source: the API page of `sys/generate-root`.

    Raises:
        ConfigError: A key is given twice.
        DrillFailed: The keys are wrong or too few.
    """
    return _token(node, _ROOT, keys)


def clear_the_way(node: OpenBaoNode, keys: Sequence[str]) -> None:
    """Remove audit devices and quotas from the data of a stopped server, in recovery mode.

    In an isolated server no audit device works, and a server without a working one does not become
    active or answers no request. Nor must the copy send anything to them. A rate limit counts
    requests by client address, and refuses those through a unix socket, which have none.

    Source: the pages of `sys/raw` and of the server's option `-recovery`; `vault/quotas` of both.

    Raises:
        ConfigError: A key is given twice.
        DrillFailed: The keys are wrong or too few.
        ServerError: The server does not start.
    """
    node.launch("-recovery")
    try:
        until(lambda: _answers(node), f"{node.name} answers", within=_PATIENCE)
        token = _token(node, _RECOVERY, keys)
        for path in _IN_THE_WAY:
            for name in ("", *_names_below(node, path, token)):
                node.api("DELETE", f"sys/raw/{path}{name}", token=token)
    finally:
        node.stop()


def _answers(node: OpenBaoNode) -> bool:
    node.process.check()
    try:
        return node.request("GET", f"{_RECOVERY}/attempt", timeout=2.0).status == 200
    except ServerError:
        return False


def _names_below(node: OpenBaoNode, path: str, token: str) -> list[str]:
    listing = f"sys/raw/{path}?list=true"
    if node.request("GET", listing, token=token).status == 404:
        return []
    return [f"/{name}" for name in node.api("GET", listing, token=token)["data"]["keys"]]


def _token(node: OpenBaoNode, path: str, keys: Sequence[str]) -> str:
    begun = node.api("PUT", f"{path}/attempt", {})
    if begun["required"] > len(keys):
        raise DrillFailed(
            f"{begun['required']} unseal keys are needed, and {len(keys)} given",
            hint="add more to drill.unseal.keys",
        )
    for key in keys:
        answer = _offer(node, path, {"key": key, "nonce": begun["nonce"]})
        if answer.get("complete"):
            token = _decode(str(answer["encoded_token"]), str(begun["otp"]))
            remember(token)
            return token
    raise DrillFailed(_WRONG, hint=_THEIRS)


def _offer(node: OpenBaoNode, path: str, share: dict[str, str]) -> dict[str, object]:
    try:
        answer: dict[str, object] = node.api("PUT", f"{path}/update", share)
    except ServerError as error:
        if _TWICE in error.message:
            raise ConfigError(
                "the same unseal key is given twice",
                hint="give different key shares in drill.unseal.keys",
            ) from error
        raise DrillFailed(f"{_WRONG}: {error.message}", hint=_THEIRS, noted=_WRONG) from error
    return answer


def _decode(encoded: str, one_time_pad: str) -> str:
    raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    return bytes(a ^ b for a, b in zip(raw, one_time_pad.encode(), strict=True)).decode()
