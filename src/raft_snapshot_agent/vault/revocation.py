"""Revokes a token, and finds out whether the server refuses that."""

from __future__ import annotations

from contextlib import suppress

from raft_snapshot_agent.errors import Denied, ServerError
from raft_snapshot_agent.vault.client import Node

_RULE = 'path "auth/token/revoke-self" { capabilities = ["update"] }'


def revoke_token(node: Node, token: str, namespace: str | None, *, worked: bool) -> Denied | None:
    """Revoke a token.

    A token that the server accepted before and refuses now was revoked there, or the server was
    restored. It answers in the same words then as for a token that it does not accept from here.

    Arguments:
        node: Where it is revoked.
        token: The token.
        namespace: Namespace of its login.
        worked: Whether the server accepted it before.

    Returns:
        Why the token is left on the server, if that is known.
    """
    path = "auth/token/revoke-self"
    with suppress(ServerError):
        answer = node.call("POST", path, token=token, namespace=namespace)
        if answer.status == 403 and (not worked or node.try_token(token).status == 200):
            return Denied(
                f"{node.address} does not let the agent revoke its own token ({answer.told}): each"
                " login leaves one, until it expires",
                hint=f"let its policies include default, or add {_RULE}; and check that"
                " token_bound_cidrs includes this host",
            )
    return None
