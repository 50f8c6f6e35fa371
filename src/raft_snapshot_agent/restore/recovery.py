"""Recover single secrets: compare one of a snapshot with the cluster's, and write it back.

Values are never in a message; they are shown only on request.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from raft_snapshot_agent.errors import ConfigError, Denied, NothingThere, ServerError
from raft_snapshot_agent.restore.browse import find_nearest
from raft_snapshot_agent.restore.field_changes import compare_fields
from raft_snapshot_agent.restore.living_copy import (
    Place,
    Query,
    Server,
    find_place,
    quote_path,
    read_data,
)
from raft_snapshot_agent.restore.policies import (
    add_check,
    drop_server_fields,
    read_policy_version,
)
from raft_snapshot_agent.restore.roles import (
    add_role_id,
    build_role,
    keep_role_id,
    write_role_id,
)
from raft_snapshot_agent.restore.versions import read_versions
from raft_snapshot_agent.servers.answers import NodeAnswer
from raft_snapshot_agent.vault.client import Node


@dataclass(frozen=True, slots=True)
class Live:
    """The running cluster, accessed with the operator's token."""

    node: Node
    token: str = field(repr=False)
    login: str = "the token"
    """Where the token is from."""

    def ask(
        self, method: str, path: str, body: Any = None, query: Query | None = None
    ) -> NodeAnswer:
        """Send a request, and take any answer."""
        answer = self.node.call(method, quote_path(path, query), token=self.token, body=body)
        return NodeAnswer(answer.status, dict(answer.body))


@dataclass(frozen=True, slots=True)
class Recovered:
    """The data of a snapshot at a path."""

    place: Place
    data: Mapping[str, Any] = field(repr=False)
    version: int = 0
    """The version of the secret, in KV version 2."""
    versions: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """All stored versions by number, also deleted ones, but no destroyed ones."""
    passed_over: int = 0
    """The newest version if it is deleted, and an older one was taken because of that."""
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def document(self) -> dict[str, Any]:
        """The document to write to a file."""
        told: dict[str, Any] = {
            "path": self.place.path,
            "engine": f"{self.place.kind}-v2" if self.place.is_versioned else self.place.kind,
            "data": self.data,
        }
        if self.place.is_versioned:
            told |= {"version": self.version, "versions": self.versions, "metadata": self.metadata}
        return told


@dataclass(frozen=True, slots=True)
class Present:
    """The cluster's data at the target path."""

    place: Place
    data: Mapping[str, Any] | None = field(repr=False)
    """`None`: nothing exists there."""
    version: int = 0
    """The newest in KV version 2, also a deleted one, or of a policy: check-and-set needs it."""


def recover_data(copy: Server, path: str, version: int = 0) -> Recovered:
    """Read a path from a restored copy, with every kept version.

    Raises:
        NothingThere: It is not in the snapshot; the hint names similar paths.
    """
    place = find_place(copy, path)
    try:
        if not place.is_versioned:
            _refuse_version(place, version)
            return Recovered(place, _see_as_written(copy, place, read_data(copy, place)))
        return _of_versions(copy, place, version)
    except NothingThere as error:
        hint = error.hint or _describe_nearest(copy, path)
        raise NothingThere(f"{error.message} in the snapshot", hint=hint) from error


def _describe_nearest(copy: Server, path: str) -> str:
    near: list[str] = []
    with suppress(ServerError):  # it would hide that nothing is there
        near = find_nearest(copy, path)
    if path in near:
        return "it is listed there, but nothing can be read at this path"
    return f"nearest there: {', '.join(near)}" if near else "browse shows what is there"


def _see_as_written(server: Server, place: Place, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the data in the form in which it is written."""
    return add_role_id(server, place, drop_server_fields(place, data))


def _refuse_version(place: Place, version: int) -> None:
    if version:
        raise ConfigError(
            f"{place.path} has no versions", hint="leave --version out: only KV version 2 has any"
        )


def _of_versions(copy: Server, place: Place, version: int) -> Recovered:
    stored = read_versions(copy, place)
    number = stored.choose(place.path, version)
    newest = max(stored.data)
    return Recovered(
        place,
        stored.data[number],
        number,
        versions={str(one): data for one, data in stored.data.items()},
        metadata=stored.metadata,
        passed_over=newest if not version and newest != number else 0,
    )


def read_present(live: Live, path: str) -> Present:
    """Read the cluster's present data at a path.

    Raises:
        Denied: The token may not read it; the hint names the capability.
        ServerError: Nothing is mounted there.
    """
    place = find_place(live, path)
    if not place.mount:
        _require_valid_token(live)
        raise Denied(
            f"{path}: nothing is mounted there now, or {live.login} may do nothing there",
            hint="mount the engine again, give another path with --to, or a token with read and"
            " update below that path",
        )
    target = place.below("data")
    answer = live.ask("GET", target)
    if answer.status == 403:
        raise Denied(
            f"{path}: {live.login} may not read what is there now ({answer.errors})",
            hint=f'it needs the capability "read" on {target}',
        )
    document = answer.document if isinstance(answer.document, dict) else {}
    data = document.get("data") if isinstance(document.get("data"), dict) else None
    if answer.status not in {200, 404}:
        raise ServerError(f"{path} answered {answer.status}: {answer.errors}")
    if not place.is_versioned:
        if answer.status != 200 or not data:
            return Present(place, None)
        version = read_policy_version(place, data)
        return Present(place, _see_as_written(live, place, data), version)
    # A deleted secret answers 404, but still has a version.
    told = data or {}
    newest = (told.get("metadata") or {}).get("version", 0)
    return Present(place, told.get("data"), int(newest))


def _require_valid_token(live: Live) -> None:
    answer = live.ask("GET", "auth/token/lookup-self")
    if answer.status == 403:
        raise Denied(
            f"{live.login} is not valid there, or may do nothing ({answer.errors})",
            hint="give one in VAULT_TOKEN that may read and update the path",
        )


def select_data(found: Recovered, now: Present, only: str | None) -> Mapping[str, Any]:
    """Return the data to write: all of it, or one field merged into the present data.

    Raises:
        ConfigError: The field does not exist.
    """
    if only is None:
        return keep_role_id(found.place, now.place, now.data, found.data)
    if only not in found.data:
        raise ConfigError(
            f"{found.place.path} has no field {only} in the snapshot",
            hint=f"there are: {', '.join(map(str, found.data))}",
        )
    return {**(now.data or {}), only: found.data[only]}


def write(live: Server, now: Present, data: Mapping[str, Any]) -> str:
    """Write a secret unless it was changed meanwhile; return where it is now.

    Raises:
        Denied: The token may not write it; the hint names the capability.
        ServerError: The server refused it.
    """
    target = now.place.below("data")
    answer = live.ask("POST", target, build_body(now, data))
    if answer.status == 403:
        exists = now.data is not None or now.version
        right = "update" if exists else "create"
        raise Denied(
            f"{now.place.path} was not written: {answer.errors}",
            hint=f'the token needs the capability "{right}" on {target}',
        )
    if answer.status == 400 and "check-and-set" in answer.errors:
        raise ServerError(
            f"{now.place.path} was not written: it was changed meanwhile",
            hint="run the command again, and check the difference",
        )
    if answer.status // 100 != 2:
        raise ServerError(
            f"{now.place.path} was not written: {answer.status}: {answer.errors}",
            hint="--output FILE writes it down, to be written by hand in the form that the server"
            " takes",
        )
    write_role_id(live, now.place, now.data, data)
    told = answer.document.get("data") if isinstance(answer.document, dict) else None
    version = told.get("version") if isinstance(told, dict) else None
    return f"{now.place.path} (version {version})" if version else now.place.path


def list_not_taken(live: Live, place: Place, data: Mapping[str, Any]) -> list[str]:
    """List the fields of a role or policy just written that the server shows otherwise.

    A server ignores what it does not know, and may leave what it is told to remove.
    """
    if place.kind == "kv":
        return []
    changes = compare_fields(read_present(live, place.path).data, data)
    differing = [one for one in changes if (one.now or None) != (one.then or None)]
    return [one.name for one in differing if one.name != "role_id"]  # its write is answered


def build_body(now: Present, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body of a write that is refused if the present data was changed meanwhile.

    Raises:
        ConfigError: The server would not change it so.
    """
    if now.place.is_versioned:
        return {"data": {**data}, "options": {"cas": now.version}}
    if now.place.kind == "kv":
        return data
    body = build_role(now.place, now.data, data)
    return add_check(now.place, body, now.version, exists=now.data is not None)
