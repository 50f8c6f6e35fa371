"""List paths in a server, names only, and names similar to a missing one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from raft_snapshot_agent.errors import ServerError
from raft_snapshot_agent.restore.living_copy import (
    Place,
    Server,
    find_place,
    list_names,
    require_data,
)

_READABLE = ("sys/policies/acl/",)
"""Lists that are not part of a mount."""
_UNREADABLE = {"accessors"}
"""Lists of which nothing can be read: one name for each token."""
_NEAR = 3
_MOST = 100_000
"""Maximum names to list."""


def list_below(server: Server, prefix: str) -> list[str]:
    """List the paths directly below a prefix; a slash at the end means more levels.

    Below an empty prefix or a namespace are its mounts.

    Raises:
        ServerError: The server does not tell.
    """
    # A name may end with a slash of its own, so none is taken away.
    folder = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    place = find_place(server, folder) if folder else None
    if place is None or not place.mount:
        return _list_mounts(server, folder)
    names = list_names(server, place.below("metadata"))
    if names or place.kind == "kv":
        return [f"{folder}{name}" for name in names]
    return _list_lists(server, place)


def list_all_below(
    server: Server, prefix: str, tell: Callable[[str], None] = lambda _: None
) -> Iterator[str]:
    """List every path below a prefix, on all levels.

    Arguments:
        server: The server.
        prefix: Where to begin.
        tell: Called with a warning for each part that is missing in the list.
    """
    waiting, told = [prefix], 0
    while waiting:
        if told >= _MOST:
            tell(f"only {told} names are listed: give a longer prefix")
            return
        folder = waiting.pop()
        try:
            names = list_below(server, folder)
        except ServerError as error:
            tell(f"{folder or 'the first level'} cannot be listed: {error}")
            continue
        for name in names:
            if name.endswith("/"):
                waiting.append(name)
            else:
                told += 1
                yield name


def find_nearest(server: Server, path: str) -> list[str]:
    """List names similar to a missing path, on the same level.

    Raises:
        ServerError: The server does not tell.
    """
    folder = path.rpartition("/")[0]
    while True:
        there = list_below(server, folder)
        if there or not folder:
            near = get_close_matches(path, there, _NEAR, 0.5)
            return near or there[:_NEAR]
        folder = folder.rpartition("/")[0]


def _list_lists(server: Server, place: Place) -> list[str]:
    """List what an engine can list below a folder that it does not list itself.

    Source: the server describes each engine in its answer to `help`.
    """
    mount = place.mount
    answer = server.ask("GET", mount.rstrip("/"), query={"help": 1})
    document = answer.document if isinstance(answer.document, dict) else {}
    paths = (document.get("openapi") or {}).get("paths") or {}
    lists = {f"{mount}{path.strip('/')}/" for path, about in paths.items() if _is_list(path, about)}
    if place.path in lists:
        return []
    deeper = [one.removeprefix(place.path) for one in lists if one.startswith(place.path)]
    return sorted({f"{place.path}{one.partition('/')[0]}/" for one in deeper})


def _is_list(path: str, about: Mapping[str, Any]) -> bool:
    if "{" in path or _UNREADABLE & {*path.split("/")}:
        return False
    parameters = (about.get("get") or {}).get("parameters") or ()
    return any(one.get("name") == "list" for one in parameters)


def _list_mounts(server: Server, folder: str) -> list[str]:
    """List the mounts and namespaces below a folder that is not in a mount."""
    namespace = ""
    while True:
        names, inner = _find_mounts(server, namespace)
        within = next((one for one in inner if folder.startswith(one)), None)
        if within is None:
            return [one for one in names if one.startswith(folder) and one != folder]
        namespace = within


def _find_mounts(server: Server, namespace: str) -> tuple[list[str], list[str]]:
    """Find what is mounted in a namespace, and the namespaces in it; both are in the first list."""
    found: set[str] = {*_READABLE}
    for path, above in (("sys/mounts", ""), ("sys/auth", "auth/")):
        told = require_data(server.ask("GET", namespace + path), namespace + path)
        found |= {f"{above}{name}" for name in told}
    inner = list_names(server, f"{namespace}sys/namespaces")
    names = sorted(f"{namespace}{name}" for name in {*found, *inner} - {"sys/"})
    return names, [f"{namespace}{name}" for name in inner]
