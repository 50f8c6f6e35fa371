"""Finds the configuration, reads it in its dialect, and fills in the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from raft_snapshot_agent.config.clusters import ClusterSection, Fleet, keep_apart, misspelt, parts
from raft_snapshot_agent.config.dialects import Dialect, dialect
from raft_snapshot_agent.config.dialects.seed import translate
from raft_snapshot_agent.config.document import Document, dotted, parse
from raft_snapshot_agent.config.exposure import exposures
from raft_snapshot_agent.config.files import read, search
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.config.positions import KeyPath
from raft_snapshot_agent.config.rules import cautions
from raft_snapshot_agent.config.validation import Origin, validate
from raft_snapshot_agent.errors import ConfigError, all_faults
from raft_snapshot_agent.secret import redact

VARIABLE = "RAFT_SNAPSHOT_AGENT_CONFIG"
PLACES = (
    Path("raft-snapshot-agent.yaml"),
    Path("/etc/raft-snapshot-agent/config.yaml"),
    Path("/etc/vault.d/snapshot.json"),
)
_VERIFIED = (
    "TLS certificates are verified, which the original agent did not do;"
    " VAULT_SKIP_VERIFY=true goes back"
)
_ENOUGH = ("BAO_ADDR", "VAULT_ADDR", "BAO_TOKEN", "VAULT_TOKEN")


@dataclass(frozen=True, slots=True)
class Loaded:
    """One cluster's configuration, where it came from, and what an operator should know of it."""

    config: Config
    path: Path | None = None
    """None: from the environment alone."""
    dialect: Dialect = "agent"
    notes: tuple[str, ...] = ()
    document: Document | None = field(default=None, repr=False, compare=False)
    origin: Origin = field(default=lambda path: path, repr=False, compare=False)

    def position(self, path: KeyPath) -> str:
        """Say where a key of ours stands: `FILE:LINE:COLUMN: key`, the key as the file has it."""
        if self.document is None:
            return dotted(path)
        return self.document.place(self.origin(path))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may work against what was wanted, one line each."""
        found = cautions(self.config)
        told = (f"{self.position(path)}: {what} ({mend})" for path, what, mend in found)
        if self.document is None:
            return tuple(told)
        return (*told, *exposures(self.config, self.document, os.environ))

    @property
    def source(self) -> str:
        """Where it comes from, as a person reads it."""
        return "the environment" if self.path is None else str(self.path.absolute())


@dataclass(frozen=True, slots=True)
class LoadedFleet:
    """All that a file says: of one cluster, or of several by their names."""

    clusters: Mapping[str, Loaded]
    """By name; one cluster alone has none."""
    concurrency: int = 1
    spread: timedelta = timedelta(0)
    """How much later than the one before it each is due, where several are at the same moment."""

    @property
    def first(self) -> Loaded:
        """Whichever cluster, for what is the same for all: the log, the file."""
        return next(iter(self.clusters.values()))

    def only(self, name: str | None) -> LoadedFleet:
        """Choose a cluster, or all.

        Raises:
            ConfigError: None is called like that.
        """
        if name is None:
            return self
        if not name or name not in self.clusters:
            raise ConfigError(f"no cluster is called {name!r}", hint=self._there)
        return LoadedFleet({name: self.clusters[name]}, self.concurrency, self.spread)

    def one(self, name: str | None) -> Loaded:
        """Choose the cluster that a command is for.

        Raises:
            ConfigError: There are several, or none is called like that.
        """
        chosen = self.only(name)
        if len(chosen.clusters) > 1:
            raise ConfigError(
                "there are several clusters: choose one with --cluster", hint=self._there
            )
        return chosen.first

    @property
    def _there(self) -> str:
        names = ", ".join(filter(None, self.clusters))
        return f"there are: {names}" if names else "the configuration names no clusters"


def load(path: Path | None, environ: Mapping[str, str], cluster: str | None = None) -> Loaded:
    """Load the configuration of one cluster; see `load_all`.

    Raises:
        ConfigError: There is none, or it is wrong, or it is not clear which cluster is meant.
    """
    return load_all(path, environ).one(cluster)


def load_all(path: Path | None, environ: Mapping[str, str]) -> LoadedFleet:
    """Load the configuration from the path given, else from where it usually lies.

    One in the working directory that others may have put there is refused: it would get the
    operator's token. What the file leaves out comes from `BAO_*` and `VAULT_*`.

    Raises:
        ConfigError: There is none, or it is wrong; the message names the place.
    """
    given = path or (Path(environ[VARIABLE]) if environ.get(VARIABLE) else None)
    found = read(given) if given else search(PLACES)
    if found is None:
        return LoadedFleet({"": _from_environment(environ)})
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
    config = _completed(validate(Config, document.value, document), environ)
    loaded = Loaded(config, file, "agent", _general(config, file, environ), document)
    return LoadedFleet({"": loaded})


def _from_seed(document: Document, file: Path, environ: Mapping[str, str]) -> Loaded:
    translated = translate(document, environ)
    config = _completed(translated.config, environ)
    notes = (*translated.notes, *_seed_notes(config), *_general(config, file, environ))
    return Loaded(config, file, "seed", notes, translated.document, translated.origin)


def _fleet(document: Document, file: Path, environ: Mapping[str, str]) -> LoadedFleet:
    fleet, faults = _fleets_own(document)
    clusters: dict[str, Loaded] = {}
    for part in parts(document.value, fleet):
        try:
            clusters[part.name] = _cluster(part, fleet, document, file, environ)
        except ConfigError as error:
            faults += error.each
    faults += keep_apart({name: (one.config, one.position) for name, one in clusters.items()})
    if faults:
        raise all_faults(faults)
    return LoadedFleet(clusters, fleet.concurrency, fleet.spread)


def _fleets_own(document: Document) -> tuple[Fleet, list[ConfigError]]:
    """Read what is said once for all; what is wrong with it does not hide the clusters' faults."""
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
    config = validate(Config, part.value, document, part.origin)
    config = _completed(config, environ).model_copy(update={"log": fleet.log})
    notes = tuple(f"{part.name}: {note}" for note in _namespace_notes(config))
    return Loaded(config, file, "agent", notes, document, part.origin)


def _from_environment(environ: Mapping[str, str]) -> Loaded:
    if any(environ.get(name) for name in _ENOUGH):
        config = _completed(Config(), environ)
        return Loaded(config, notes=_namespace_notes(config))
    places = ", ".join(str(place) for place in PLACES)
    raise ConfigError(
        f"no configuration: ${VARIABLE} is not set, and there is no file to read among {places}",
        hint="give one with --config, or set BAO_ADDR or VAULT_ADDR to go without",
    )


def _completed(config: Config, environ: Mapping[str, str]) -> Config:
    return config.model_copy(update={"vault": config.vault.with_environment(environ)})


def _general(config: Config, file: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    return (*_overruled(config, file, environ), *_namespace_notes(config))


def _namespace_notes(config: Config) -> tuple[str, ...]:
    if config.vault.namespace in (None, "", "root", "/"):
        return ()
    what = "a token made in a namespace cannot take snapshots, which are the root namespace's"
    return (f"vault.namespace is {config.vault.namespace}: {what}",)


def _overruled(config: Config, file: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    for name in ("BAO_ADDR", "VAULT_ADDR"):
        address = environ.get(name, "").rstrip("/")
        if address and address not in config.vault.addresses:
            return (f"{name} is {redact(address)}, but the address in {file} is used",)
    return ()


def _seed_notes(config: Config) -> list[str]:
    encrypted = any(address.startswith("https://") for address in config.vault.addresses)
    if not encrypted or config.vault.tls.skip_verify:
        return []
    return [_VERIFIED]
