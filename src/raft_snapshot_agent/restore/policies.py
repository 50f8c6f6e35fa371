"""Policies: which fields of them are written back, and how a change in between is noticed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from raft_snapshot_agent.restore.living_copy import Place

_POLICY = re.compile(r"(?:.*/)?sys/policies/(?P<type>acl|password|egp|rgp)/.+")
_MADE_BY_SERVER = {"name", "version", "modified"}
_NEW = -1
"""The version of a policy that does not exist."""


def is_policy(place: Place) -> bool:
    """Return whether a path is that of a policy, whose name may have slashes."""
    return bool(read_policy_type(place))


def read_policy_type(place: Place) -> str:
    """Return the type of the policy at a path, such as `acl`; empty: it is no policy's path."""
    found = None if place.kind == "kv" else _POLICY.fullmatch(place.path)
    return found["type"] if found else ""


def drop_server_fields(place: Place, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a policy without the fields that the server adds; other data unchanged.

    All others are written back: without its expiration, a temporary policy would stay for ever.
    """
    if not is_policy(place):
        return data
    return {name: value for name, value in data.items() if name not in _MADE_BY_SERVER}


def read_policy_version(place: Place, data: Mapping[str, Any]) -> int:
    """Return the version of a policy as OpenBao counts it; 0 if it is not counted."""
    version = data.get("version") if _is_counted(place) else 0
    return version if type(version) is int else 0


def add_check(
    place: Place, data: Mapping[str, Any], version: int, *, exists: bool
) -> Mapping[str, Any]:
    """Add to a policy the version that it must still have when it is written.

    Source: the API page of OpenBao's `sys/policies/acl`. Vault counts no versions of policies.
    """
    if not _is_counted(place) or (exists and not version):
        return data
    return {**data, "cas": version or _NEW}


def _is_counted(place: Place) -> bool:
    return read_policy_type(place) == "acl"
