"""The loaded configuration of each cluster, with its source and warnings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raft_snapshot_agent.config.exposure import exposures
from raft_snapshot_agent.config.keys import KeyPath, KeyPosition, Origin, format_path
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.config.rules import cautions
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.redaction import redact
from raft_snapshot_agent.vault.environment import find_address_variable, find_tls_variable
from raft_snapshot_agent.vault.settings import TlsSettings, VaultSettings, normal_form

if TYPE_CHECKING:  # imported only where a file was read
    from raft_snapshot_agent.config.document import Document
    from raft_snapshot_agent.config.web import WebSettings

Dialect = Literal["agent", "seed"]
_TLS: KeyPath = ("vault", "tls")


@dataclass(frozen=True, slots=True)
class Loaded:
    """One cluster's configuration, with its source and warnings."""

    config: Config
    path: Path | None = None
    """`None`: loaded from the environment alone."""
    dialect: Dialect = "agent"
    notes: tuple[str, ...] = ()
    document: Document | None = field(default=None, repr=False, compare=False)
    origin: Origin = field(default=lambda path: path, repr=False, compare=False)
    name: str = ""
    """Of the cluster; one alone has none."""
    phase: timedelta = timedelta(0)
    """How far behind the first of them this cluster is, where all are due at the same moment."""
    siblings: frozenset[str] = frozenset({""})
    """All clusters that the file names, this one among them."""

    def position(self, path: KeyPath) -> str:
        """Return the position of a key, `FILE:LINE:COLUMN: key`, spelt as in the file.

        A key that the file leaves out is called as the variable that sets it.
        """
        document, origin = self.document, self.origin(path)
        if document is None or not document.has(origin):
            variable = find_tls_variable(str(path[-1]), os.environ) if path[:2] == _TLS else ""
            if variable or document is None:
                return variable or format_path(path)
        return document.place(origin)

    @property
    def timing(self) -> ScheduleSpec:
        """The schedule of storages without one of their own."""
        return replace(self.config.schedule.open(), phase=self.phase)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about settings that may not be intended, one line each."""
        found = cautions(self.config)
        told = (f"{self.position(path)}: {what} ({mend})" for path, what, mend in found)
        if self.document is None:
            return tuple(told)
        return (*told, *exposures(self.config, self.document, self.origin, os.environ))

    @property
    def source(self) -> str:
        """The source of the configuration, for messages."""
        return "the environment" if self.path is None else str(self.path.absolute())


@dataclass(frozen=True, slots=True)
class LoadedFleet:
    """All that a file says: of one cluster, or of several by their names."""

    clusters: Mapping[str, Loaded]
    """By name; one cluster alone has none."""
    concurrency: int = 1
    spread: timedelta = timedelta(0)
    """So far apart are they due, in this order, where several are at the same moment."""
    web: WebSettings | None = None

    @property
    def first(self) -> Loaded:
        """Whichever cluster, for what is the same for all: the log, the file."""
        return next(iter(self.clusters.values()))

    @property
    def warnings(self) -> Mapping[str, Sequence[str]]:
        """Warnings about settings, each with its clusters: most share settings and files."""
        found: dict[str, list[str]] = {}
        for name, loaded in self.clusters.items():
            for warning in loaded.warnings:
                found.setdefault(warning, []).append(name)
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes about the file, each once."""
        return tuple(dict.fromkeys(one for each in self.clusters.values() for one in each.notes))

    def position(self, path: KeyPath) -> str:
        """Return the position of a key that stands once for all clusters."""
        document = self.first.document
        return format_path(path) if document is None else document.place(path)

    def only(self, name: str | None) -> LoadedFleet:
        """Choose a cluster, or all.

        Raises:
            ConfigError: None is called like that.
        """
        if name is None:
            return self
        if not name or name not in self.clusters:
            raise ConfigError(f"no cluster is called {name!r}", hint=self._there)
        return replace(self, clusters={name: self.clusters[name]})

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


def complete(
    config: Config, environ: Mapping[str, str], place: KeyPosition = format_path
) -> Config:
    """Fill what the file leaves out from the environment.

    Arguments:
        config: What the file says.
        environ: The environment.
        place: Says where a key of the file stands.

    Raises:
        ConfigError: A variable has an invalid value, or a client certificate lacks its key.
    """
    vault = config.vault.with_environment(environ)
    if lacking := vault.tls.lacking:
        raise _describe_half(config.vault.tls, lacking, environ, place)
    return config.model_copy(update={"vault": vault})


def _describe_half(
    tls: TlsSettings, lacking: str, environ: Mapping[str, str], place: KeyPosition
) -> ConfigError:
    there = "client_cert" if lacking == "client_key" else "client_key"
    hint = f"set vault.tls.{lacking}, or VAULT_{lacking.upper()}"
    if getattr(tls, there) is not None:
        return ConfigError(f"{place(_TLS)}: client_cert and client_key go together", hint=hint)
    variable = find_tls_variable(there, environ)
    return ConfigError(
        f"{place(_TLS)}: {variable} is set without VAULT_{lacking.upper()}",
        hint=f"{hint}; or, where another cluster needs it, write {variable} into the file there",
    )


def address_notes(
    given: VaultSettings, used: VaultSettings, file: Path | None, environ: Mapping[str, str]
) -> tuple[str, ...]:
    """Say which variable with an address is not used, if one is, and what is used.

    Arguments:
        given: What the file says.
        used: The same, completed from the environment.
        file: The file.
        environ: The environment.
    """
    for name in ("BAO_ADDR", "VAULT_ADDR"):
        address = normal_form(environ.get(name, ""))
        if address and address not in used.addresses:
            winner = find_address_variable(environ)
            why = f"BAO_ADDR is set and empty, so {used.addresses[0]} is used"
            if given.address is not None or given.nodes:
                why = f"the address in {file} is used"
            elif winner:
                why = f"{winner} comes first"
            return (f"{name} is {redact(address)}, but {why}",)
    return ()


def variable_notes(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Say which variables are set for Argelbargel's agent only, if any are."""
    names = ", ".join(sorted(name for name in environ if name.startswith("VRSA_")))
    what = (
        "the variables of Argelbargel's agent are not read; docs/operating.md has this one's keys"
    )
    return (f"{names}: {what}",) if names else ()


def namespace_notes(config: Config) -> tuple[str, ...]:
    """Say what does not work in a namespace, where one is configured."""
    if config.vault.in_root:
        return ()
    what = "a token made in a namespace cannot take snapshots, which are the root namespace's"
    return (f"vault.namespace is {config.vault.namespace}: {what}",)
