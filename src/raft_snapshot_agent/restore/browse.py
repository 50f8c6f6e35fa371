"""List paths in a server, names only, and names similar to a missing one."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from raft_snapshot_agent.restore.living_copy import Server, find_place, list_names

_READABLE = ("sys/policies/acl/",)
"""Lists that are not part of a mount."""
_NEAR = 3
_MOST = 100_000
"""Maximum names to list."""


def list_below(server: Server, prefix: str) -> list[str]:
    """List the paths directly below a prefix; a slash at the end means more levels.

    Below an empty prefix or a namespace are its mounts.
    """
    folder = f"{prefix.rstrip('/')}/" if prefix else ""
    place = find_place(server, folder) if folder else None
    if place is None or not place.mount:
        return _mounts(server, folder)
    below = place.below("metadata") if place.is_versioned else folder
    return [f"{folder}{name}" for name in list_names(server, below.rstrip("/"))]


def list_all_below(server: Server, prefix: str) -> Iterator[str]:
    """List every path below a prefix, on all levels."""
    waiting, told = [prefix], 0
    while waiting and told < _MOST:
        for name in list_below(server, waiting.pop()):
            if name.endswith("/"):
                waiting.append(name)
            else:
                told += 1
                yield name


def find_nearest(server: Server, path: str) -> list[str]:
    """List names similar to a missing path, on the same level."""
    folder = path.rpartition("/")[0]
    while True:
        there = list_below(server, folder)
        if there or not folder:
            near = get_close_matches(path, there, _NEAR, 0.5)
            return near or there[:_NEAR]
        folder = folder.rpartition("/")[0]


def _mounts(server: Server, namespace: str) -> list[str]:
    """List the mounts of a namespace, and the namespaces in it."""
    answer = server.ask("GET", f"{namespace}sys/mounts")
    data = answer.document.get("data") if isinstance(answer.document, dict) else None
    if answer.status != 200 or not isinstance(data, dict):
        return []
    logins = server.ask("GET", f"{namespace}sys/auth").document
    methods = logins.get("data") if isinstance(logins, dict) else None
    others = [f"auth/{name}" for name in methods] if isinstance(methods, dict) else []
    inner = list_names(server, f"{namespace}sys/namespaces")
    names = {*data, *others, *_READABLE, *inner} - {"sys/"}
    return sorted(f"{namespace}{name}" for name in names)
