"""A running server with a restored snapshot: find the mount of a path, and read data."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from raft_snapshot_agent.config.drill import DrillSettings
from raft_snapshot_agent.config.drill_seal import read_seal
from raft_snapshot_agent.errors import ConfigError, NothingThere, ServerError
from raft_snapshot_agent.restore.copies import Tell, ignore
from raft_snapshot_agent.restore.drill import choose_server, lend_folder, restored
from raft_snapshot_agent.restore.fetching import fetch_copy
from raft_snapshot_agent.restore.reader import SnapshotReader
from raft_snapshot_agent.servers.answers import NodeAnswer
from raft_snapshot_agent.servers.key_tokens import make_root_token
from raft_snapshot_agent.threads import in_thread

_MOUNTS = "sys/internal/ui/mounts"
_DOTS = re.compile(r"(?<![^/])\.{1,2}(?![^/])")
_NOT_LISTED = {404, 405}
"""Nothing exists there, or the engine lists nothing there."""

Query = Mapping[str, str | int]
"""Parameters of a request."""


class Server(Protocol):
    """A server that answers API calls."""

    def ask(
        self, method: str, path: str, body: Any = None, query: Query | None = None
    ) -> NodeAnswer: ...


class Spoken(Protocol):
    """A node that accepts requests with a token."""

    def request(
        self, method: str, path: str, body: Any = None, token: str | None = None
    ) -> NodeAnswer: ...


@dataclass(frozen=True, slots=True)
class LivingCopy:
    """A throw-away server with a restored snapshot, and a root token for it."""

    node: Spoken
    token: str = field(repr=False)

    def ask(
        self, method: str, path: str, body: Any = None, query: Query | None = None
    ) -> NodeAnswer:
        """Send a request with the token, and return any answer."""
        return self.node.request(method, quote_path(path, query), body, self.token)


@asynccontextmanager
async def bring_to_life(
    reader: SnapshotReader, settings: DrillSettings, spool: Path, tell: Tell = ignore
) -> AsyncIterator[LivingCopy]:
    """Restore a snapshot into a throw-away server, which is removed when the context ends.

    Arguments:
        reader: The snapshot.
        settings: The unseal keys, and the server.
        spool: The folder for the copy and the server.
        tell: Called with a warning for each copy that cannot be used.

    Raises:
        ConfigError: No key is given, or no server can be isolated on this host.
        VerificationError: The snapshot is not intact, or the keys do not unseal it.
    """
    require_keys(settings)
    keys = await in_thread(lambda: [key.resolve() for key in settings.unseal.keys])
    seal = await in_thread(lambda: read_seal(settings.unseal))
    async with fetch_copy(reader, spool, tell=tell) as got, lend_folder(spool) as folder:
        choice = choose_server(got.manifest, settings.server, is_unsealed=True, seal=seal)
        async with restored(got.spool.path, keys, folder, choice=choice) as node:
            yield LivingCopy(node, await in_thread(lambda: make_root_token(node, keys)))


def require_keys(settings: DrillSettings) -> None:
    """Require unseal keys.

    Raises:
        ConfigError: There are no keys.
    """
    if not settings.unseal.keys:
        raise ConfigError(
            "no secret can be read from a snapshot without the keys that open it",
            hint="name them in drill.unseal.keys",
        )


@dataclass(frozen=True, slots=True)
class Place:
    """A path, its mount and its engine."""

    path: str
    """The path as given."""
    mount: str
    """The mount with its namespace and a slash at the end; empty: nothing is mounted there."""
    kind: str
    """Type of the engine, such as `kv`."""
    version: int = 1
    """Version of a KV engine."""

    @property
    def rest(self) -> str:
        """The path below the mount."""
        return self.path.removeprefix(self.mount)

    @property
    def is_versioned(self) -> bool:
        return self.kind == "kv" and self.version == 2

    def below(self, part: str) -> str:
        """Return the API path: KV version 2 inserts `data`, `metadata` and others."""
        return f"{self.mount}{part}/{self.rest}" if self.is_versioned else self.path


def quote_path(path: str, query: Query | None = None) -> str:
    """Return a path and its query for a URL, so that every character of a name belongs to it.

    Clients and servers would shorten `..` and `//`, and so mean another path.
    """
    name = quote(path, safe="/").replace("//", "/%2F")
    name = _DOTS.sub(lambda found: found[0].replace(".", "%2E"), name)
    return f"{name}?{urlencode(query)}" if query else name


def find_place(server: Server, path: str) -> Place:
    """Find the mount of a path, as `bao kv get` does.

    Raises:
        ServerError: The server does not tell.
    """
    answer = server.ask("GET", f"{_MOUNTS}/{path}")
    if answer.status in {400, 403, 404}:
        return Place(path, "", "")
    data = require_data(answer, f"{_MOUNTS}/{path}")
    options = data.get("options") or {}
    version = 2 if options.get("version") == "2" else 1
    kind = str(data.get("type"))
    mount = _locate_mount(path, str(data.get("path")))
    return Place(path, mount, "kv" if kind == "generic" else kind, version)


def _locate_mount(path: str, told: str) -> str:
    """Return the mount as part of a path: of a login, servers may leave `auth/` out."""
    starts = [0, *(found.end() for found in re.finditer("/", told))]
    logins = (f"{told[:start]}auth/{told[start:]}" for start in starts)
    return next((one for one in (told, *logins) if path.startswith(one)), told)


def read_data(server: Server, place: Place, version: int = 0) -> dict[str, Any]:
    """Read the data at a place; of KV version 2 the newest or the given version.

    Raises:
        NothingThere: Nothing exists there.
        ServerError: It cannot be read.
    """
    path = place.below("data")
    query = {"version": version} if version and place.is_versioned else None
    answer = server.ask("GET", path, query=query)
    if answer.status == 404:
        raise NothingThere(f"there is nothing at {place.path}")
    data = require_data(answer, path)
    found = data.get("data") if place.is_versioned else data
    if not isinstance(found, dict):
        raise NothingThere(f"there is nothing at {place.path}")
    return found


def require_data(answer: NodeAnswer, path: str) -> Mapping[str, Any]:
    """Return the data of a successful answer.

    Raises:
        ServerError: It was not successful.
    """
    document = answer.document if isinstance(answer.document, dict) else {}
    data = document.get("data")
    if answer.status != 200 or not isinstance(data, dict):
        raise ServerError(f"{path} answered {answer.status}: {answer.errors}")
    return data


def list_names(server: Server, path: str) -> list[str]:
    """List the names directly below a path; empty if there are none.

    Raises:
        ServerError: The server does not tell.
    """
    answer = server.ask("GET", path, query={"list": "true"})
    if answer.status in _NOT_LISTED:
        return []
    keys = require_data(answer, path).get("keys")
    return [str(one) for one in keys] if isinstance(keys, list) else []
