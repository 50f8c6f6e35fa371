"""Roles and users of logins: what of them is stored elsewhere, and does not come back with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from raft_snapshot_agent.errors import ServerError
from raft_snapshot_agent.restore.living_copy import Place, Server
from raft_snapshot_agent.restore.policies import is_policy

_APPROLE = re.compile(r"(?:.*/)?auth/.+/role/[^/]+")
_LOST = {
    "approle": "its secret IDs do not come back: issue new ones",
    "userpass": "its password does not come back: set it",
}
"""What a server does not show of a login, by the type of its mount."""
_TOKENS = "tokens and leases that were issued with it do not come back"


def add_role_id(server: Server, place: Place, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the data of an AppRole with its role ID, which users log in with.

    A new role has another one otherwise. Data of other paths, and of a role whose ID the token may
    not read, is returned unchanged.
    """
    if not _is_approle(place):
        return data
    document = server.ask("GET", f"{place.path}/role-id").document
    told = document.get("data") if isinstance(document, dict) else None
    role_id = told.get("role_id") if isinstance(told, dict) else None
    return {**data, "role_id": role_id} if role_id else data


def write_role_id(
    server: Server, place: Place, now: Mapping[str, Any] | None, data: Mapping[str, Any]
) -> None:
    """Give an AppRole that was just written its role ID, if it has another one.

    Source: the API page of AppRole. A role is written without its ID.

    Raises:
        ServerError: The server refused it.
    """
    role_id = data.get("role_id")
    if not (_is_approle(place) and role_id) or role_id == (now or {}).get("role_id"):
        return
    path = f"{place.path}/role-id"
    answer = server.ask("POST", path, {"role_id": role_id})
    if answer.status // 100 != 2:
        raise ServerError(
            f"{place.path} was written, but not its role ID: {answer.status}: {answer.errors}",
            hint=f'the token needs the capability "update" on {path}; without it, users log in'
            " with the role's new ID",
        )


def _is_approle(place: Place) -> bool:
    return place.kind == "approle" and _APPROLE.fullmatch(place.path) is not None


def describe_missing(place: Place) -> str:
    """Return on one line what does not come back with a path; empty: nothing is known."""
    if place.kind == "kv" or is_policy(place):
        return ""
    lost = f"{_LOST[place.kind]}; " if place.kind in _LOST else ""
    return f"{place.path}: {lost}{_TOKENS}"
