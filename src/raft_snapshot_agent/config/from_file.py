"""Reads a configuration file: of one cluster, of several, or of the original agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from raft_snapshot_agent.config.clusters import ClusterSection, Fleet, keep_apart, misspelt, parts
from raft_snapshot_agent.config.dialects import dialect
from raft_snapshot_agent.config.document import Document, parse
from raft_snapshot_agent.config.files import Written
from raft_snapshot_agent.config.keys import KeyPath
from raft_snapshot_agent.config.loaded import (
    Loaded,
    LoadedFleet,
    address_notes,
    complete,
    namespace_notes,
    variable_notes,
)
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.config.validation import validate
from raft_snapshot_agent.errors import ConfigError, all_faults

_VERIFIED = (
    "TLS certificates are verified, which the original agent did not do;"
    " VAULT_SKIP_VERIFY=true goes back"
)


def load_file(found: Written, environ: Mapping[str, str]) -> LoadedFleet:
    """Load a file; keys that it does not have come from the environment.

    Raises:
        ConfigError: It is invalid; the message contains the position.
    """
    file = found.path
    document = replace(parse(str(file), file.suffix.lower(), found.text), author=found.author)
    if dialect(document) == "seed":
        return LoadedFleet({"": _from_seed(document, file, environ)})
    meant = misspelt(document)
    rest = {key: value for key, value in document.value.items() if key not in meant}
    try:
        fleet = _ours(replace(document, value=rest), file, environ)
    except ConfigError as error:
        raise all_faults([*meant.values(), *error.each]) from None
    if meant:
        raise all_faults([*meant.values()])
    return fleet


def _ours(document: Document, file: Path, environ: Mapping[str, str]) -> LoadedFleet:
    if "clusters" in document.value:
        return _fleet(document, file, environ)
    given = validate(Config, document.value, document)
    config = complete(given, environ, document.place)
    loaded = Loaded(config, file, "agent", _general(given, config, file, environ), document)
    return LoadedFleet({"": loaded}, web=config.web)


def _from_seed(document: Document, file: Path, environ: Mapping[str, str]) -> Loaded:
    from raft_snapshot_agent.config.dialects.seed import translate

    translated = translate(document, environ)
    config = complete(translated.config, environ)
    notes = (
        *translated.notes,
        *_seed_notes(config),
        *_general(translated.config, config, file, environ),
    )
    return Loaded(config, file, "seed", notes, translated.document, translated.origin)


def _fleet(document: Document, file: Path, environ: Mapping[str, str]) -> LoadedFleet:
    fleet, faults = _fleets_own(document)
    clusters: dict[str, Loaded] = {}
    siblings = frozenset(fleet.clusters)
    for number, part in enumerate(parts(document.value, fleet)):
        try:
            loaded = _cluster(part, fleet, document, file, environ)
            config = _share(loaded.config, clusters)
            phase = fleet.spread * number
            clusters[part.name] = replace(loaded, config=config, phase=phase, siblings=siblings)
        except ConfigError as error:
            faults += error.each
    faults += keep_apart({name: (one.config, one.position) for name, one in clusters.items()})
    if faults:
        raise all_faults(faults)
    return LoadedFleet(clusters, fleet.concurrency, fleet.spread, fleet.web)


def _share(config: Config, clusters: Mapping[str, Loaded]) -> Config:
    """Use the sections of the first cluster where they are equal: thousands take less memory."""
    if not clusters:
        return config
    first = next(iter(clusters.values())).config
    pairs = {name: (getattr(first, name), getattr(config, name)) for name in Config.model_fields}
    return config.model_copy(update={name: a for name, (a, b) in pairs.items() if a == b})


def _fleets_own(document: Document) -> tuple[Fleet, list[ConfigError]]:
    """Read the keys for all clusters; their faults do not hide those of the clusters."""
    common = {key: value for key, value in document.value.items() if key in Fleet.model_fields}
    try:
        return validate(Fleet, common, document), []
    except ConfigError as error:
        named = common["clusters"] if isinstance(common["clusters"], dict) else {}
        readable = {name: own for name, own in named.items() if isinstance(own, dict)}
        return Fleet.model_construct(clusters=readable), [*error.each]


def _cluster(
    part: ClusterSection, fleet: Fleet, document: Document, file: Path, environ: Mapping[str, str]
) -> Loaded:
    def place(path: KeyPath) -> str:
        return document.place(part.origin(path))

    config = validate(Config, part.value, document, part.origin)
    config = complete(config, environ, place).model_copy(update=fleet.shared)
    notes = tuple(f"{part.name}: {note}" for note in namespace_notes(config))
    notes += variable_notes(environ)
    return Loaded(config, file, "agent", notes, document, part.origin, part.name)


def _general(
    given: Config, config: Config, file: Path, environ: Mapping[str, str]
) -> tuple[str, ...]:
    overruled = address_notes(given.vault, config.vault, file, environ)
    return (*overruled, *namespace_notes(config), *variable_notes(environ))


def _seed_notes(config: Config) -> list[str]:
    encrypted = any(address.startswith("https://") for address in config.vault.addresses)
    if not encrypted or config.vault.tls.skip_verify:
        return []
    return [_VERIFIED]
