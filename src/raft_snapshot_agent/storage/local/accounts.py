"""Looks up the users and groups of this host that a configuration names."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable

from raft_snapshot_agent.errors import ConfigError


def find_user(named: str | None) -> int:
    """Return the ID of a user; -1 if none is named.

    Arguments:
        named: A name, or the ID itself.

    Raises:
        ConfigError: This host has no such user.
    """
    return _find("owner", named, lambda name: pwd.getpwnam(name).pw_uid)


def find_group(named: str | None) -> int:
    """Return the ID of a group, as `find_user` does that of a user."""
    return _find("group", named, lambda name: grp.getgrnam(name).gr_gid)


def _find(key: str, named: str | None, look_up: Callable[[str], int]) -> int:
    if named is None:
        return -1
    try:
        return int(named) if named.isdecimal() else look_up(named)
    except KeyError as error:
        raise ConfigError(f"{key} {named} does not exist here", hint="check its name") from error
