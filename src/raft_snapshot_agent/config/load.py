"""Load the configuration from a file, else from the environment alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from raft_snapshot_agent.config.files import find, read, search
from raft_snapshot_agent.config.loaded import (
    Loaded,
    LoadedFleet,
    address_notes,
    complete,
    namespace_notes,
    variable_notes,
)
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.errors import NoConfiguration

VARIABLE = "RAFT_SNAPSHOT_AGENT_CONFIG"
PLACES = (
    Path("raft-snapshot-agent.yaml"),
    Path("/etc/raft-snapshot-agent/config.yaml"),
    Path("/etc/vault.d/snapshot.json"),
)
_ENOUGH = ("BAO_ADDR", "VAULT_ADDR", "BAO_TOKEN", "VAULT_TOKEN")


def load(path: Path | None, environ: Mapping[str, str], cluster: str | None = None) -> Loaded:
    """Load the configuration of one cluster; see `load_all`.

    Raises:
        ConfigError: It is missing or invalid, or the cluster is ambiguous.
    """
    return load_all(path, environ).one(cluster)


def load_all(path: Path | None, environ: Mapping[str, str]) -> LoadedFleet:
    """Load the configuration from the given path, else from the default locations.

    A file in the working directory that other users may have written is refused, as it would get
    the operator's token. `BAO_*` and `VAULT_*` supply what the file leaves out.

    Raises:
        ConfigError: There is none, or it is wrong; the message names the place.
    """
    given = _given(path, environ)
    found = read(given) if given else search(PLACES)
    if found is None:
        return LoadedFleet({"": _from_environment(environ)})
    # Imported only if there is a file.
    from raft_snapshot_agent.config.from_file import load_file

    return load_file(found, environ)


def locate(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file that `load_all` would read, valid or not; `None` if there is none."""
    return _given(path, environ) or find(PLACES)


def _given(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    return path or (Path(environ[VARIABLE]) if environ.get(VARIABLE) else None)


def _from_environment(environ: Mapping[str, str]) -> Loaded:
    if any(environ.get(name) for name in _ENOUGH):
        config = complete(given := Config(), environ)
        overruled = address_notes(given.vault, config.vault, None, environ)
        notes = (*overruled, *namespace_notes(config), *variable_notes(environ))
        return Loaded(config, notes=notes)
    places = ", ".join(str(place) for place in PLACES)
    raise NoConfiguration(
        f"no configuration: ${VARIABLE} is not set, and there is no file to read among {places}",
        hint="; ".join(
            (
                "give one with --config, or set BAO_ADDR or VAULT_ADDR to go without",
                *variable_notes(environ),
            )
        ),
    )
