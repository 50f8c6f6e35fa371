"""Roles and users of logins: what a server takes of them, and what does not come back with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from raft_snapshot_agent.errors import ConfigError, ServerError
from raft_snapshot_agent.restore.living_copy import Place, Server
from raft_snapshot_agent.restore.policies import is_policy

_APPROLE = re.compile(r"(?:.*/)?auth/.+/role/[^/]+")
_LOST = {
    "approle": "its secret IDs do not come back: issue new ones",
    "userpass": "its password stays the one that it has now",
}
"""What a server does not show of a login, by the type of its mount."""
_ONLY_NEW = "local_secret_ids"
"""The field of an AppRole that a server takes only when it creates the role."""
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


def keep_role_id(
    source: Place, target: Place, now: Mapping[str, Any] | None, data: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the data of an AppRole without the role ID of another one: an ID is of one role."""
    if not _is_other_approle(source, target):
        return data
    own = {name: value for name, value in (now or {}).items() if name == "role_id"}
    return {name: value for name, value in data.items() if name != "role_id"} | own


def check_role(place: Place, now: Mapping[str, Any] | None) -> None:
    """Refuse a user who does not exist now, and needs a password to be created.

    Raises:
        ConfigError: It is one.
    """
    if place.kind == "userpass" and now is None:
        raise ConfigError(
            f"{place.path} does not exist now, and its password, without which no server creates"
            " it, does not come back",
            hint="create it with a new password, then run this again for its settings",
        )


def build_role(
    place: Place, now: Mapping[str, Any] | None, data: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the body that gives a role these data: what is not sent, a server leaves as it is.

    Raises:
        ConfigError: A field differs that a server does not change.
    """
    if now is None or is_policy(place):
        return data
    body = {**dict.fromkeys(now.keys() - data.keys()), **data}
    if _is_approle(place) and body.pop(_ONLY_NEW, None) not in {None, now.get(_ONLY_NEW)}:
        raise ConfigError(
            f"{place.path} has another {_ONLY_NEW} in the snapshot, which no server changes in a"
            " role that exists",
            hint="recover single fields with --field; or delete the role, run this again, and issue"
            " new secret IDs",
        )
    return body


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


def _is_other_approle(source: Place, target: Place) -> bool:
    return _is_approle(target) and source.path != target.path


def describe_role_id(source: Place, target: Place) -> str:
    """Return on one line that an AppRole gets no role ID of another one; empty: it is the same."""
    if not _is_other_approle(source, target):
        return ""
    return f"{target.path}: its role ID is its own; --field role_id writes that of {source.path}"


def describe_missing(place: Place) -> str:
    """Return on one line what does not come back with a path; empty: nothing is known."""
    if place.kind == "kv" or is_policy(place):
        return ""
    lost = f"{_LOST[place.kind]}; " if place.kind in _LOST else ""
    return f"{place.path}: {lost}{_TOKENS}"
