"""Many clusters in one file: each with the keys of a file of its own, over common defaults."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator

from raft_snapshot_agent.config.document import Document, value_at
from raft_snapshot_agent.config.identity import find_folders_in_the_way, locate
from raft_snapshot_agent.config.keys import KeyPath, KeyPosition
from raft_snapshot_agent.config.model import Config, LogSettings
from raft_snapshot_agent.config.names import misplaced_error
from raft_snapshot_agent.config.notifiers import check_clusters, name_notifiers
from raft_snapshot_agent.config.parts import AnyMetrics, AnyWeb
from raft_snapshot_agent.config.suggestions import suggest_key
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import Duration, Settings
from raft_snapshot_agent.notify import AnyNotifier

# It becomes the name of a folder, and a part of that of a Kubernetes lease.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_UNFIT = re.compile(r"[^a-z0-9-]")
_MERGED: tuple[KeyPath, ...] = (("vault",), ("vault", "tls"), ("guard",))
"""Keys that a cluster may override in part; any other key replaces the whole default."""


ClusterKeys = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "minProperties": 0})]
"""The keys of one cluster; none, if the defaults have all of them."""


class Fleet(Settings):
    """The settings that a file has once for all clusters."""

    log: LogSettings = LogSettings()
    metrics: AnyMetrics | None = None
    web: AnyWeb | None = None
    """One page for all clusters."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 4
    """Maximum concurrent snapshots; one without progress does not count."""
    spread: Duration = timedelta(milliseconds=25)
    """Delay between clusters that are due at the same moment, in the order of the file."""
    clusters: dict[str, ClusterKeys] = Field(default={})
    """The keys of each cluster; those at the top of the file are its defaults."""
    notify: tuple[AnyNotifier, ...] = ()
    """Notifiers for failures and recoveries."""

    @field_validator("notify")
    @classmethod
    def _named(
        cls, notifiers: tuple[AnyNotifier, ...], info: ValidationInfo
    ) -> tuple[AnyNotifier, ...]:
        if "clusters" in info.data:
            check_clusters(notifiers, info.data["clusters"])
        return name_notifiers(notifiers)

    @field_validator("clusters")
    @classmethod
    def _check_sections(cls, clusters: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if not clusters:
            raise ValueError("name at least one, such as `clusters: {prod: {vault: {...}}}`")
        for name, keys in clusters.items():
            if not _NAME.fullmatch(name):
                what = "a cluster's name has letters, digits and . _ - only, at most 100"
                raise misplaced_error(what, name)
            for key in Fleet.model_fields:
                if key in keys:
                    raise misplaced_error(
                        "belongs at the top of the file, for all clusters", name, key
                    )
        return clusters

    @property
    def shared(self) -> dict[str, Any]:
        """The shared settings for each cluster's configuration."""
        return {key: getattr(self, key) for key in self.in_each()}

    @classmethod
    def in_each(cls) -> tuple[str, ...]:
        """List the keys that a file for one cluster has as well."""
        return tuple(key for key in cls.model_fields if key in Config.model_fields)


@dataclass(frozen=True, slots=True)
class ClusterSection:
    """One cluster's part of a file."""

    name: str
    own: Mapping[str, Any]
    defaults: Mapping[str, Any]

    @property
    def value(self) -> dict[str, Any]:
        """Return the content of an equivalent file for this cluster alone."""
        merged = _merge(self.defaults, self.own, ())
        if "storages" in self.defaults and "storages" not in self.own:
            merged["storages"] = [self._apart(one) for one in _list_storages(self.defaults)]
        if "lease" not in self.own and isinstance(lease := merged.get("lease"), dict):
            merged["lease"] = self._own_lease(lease)
        return merged

    def origin(self, path: KeyPath) -> KeyPath:
        """Return where in the file a key of this cluster is."""
        if path[:1] and path[0] in Fleet.model_fields:
            return path
        depth = 1 + max((len(key) for key in _MERGED if path[: len(key)] == key), default=0)
        key = path[:depth]
        inherited = _has(self.defaults, key) and not _has(self.own, key)
        return path if inherited else ("clusters", self.name, *path)

    def _apart(self, storage: Any) -> Any:
        """Give this cluster its own folder in a storage that it shares with others."""
        if not isinstance(storage, dict):
            return storage
        prefix = storage.get("prefix", "")
        if not isinstance(prefix, str):
            return storage
        return {**storage, "prefix": f"{prefix.rstrip('/')}/{self.name}"}

    def _own_lease(self, lease: dict[str, Any]) -> dict[str, Any]:
        """Give this cluster its own Lease object; a record in a storage is in its own folder."""
        if lease.get("type") != "kubernetes":
            return lease
        from raft_snapshot_agent.lease.settings import USUAL_NAME  # most files have no lease

        name = lease.get("name", USUAL_NAME)
        if not isinstance(name, str):
            return lease
        return {**lease, "name": f"{name}-{_UNFIT.sub('-', self.name.lower()).strip('-')}"}


def misspelt(document: Document) -> dict[str, ConfigError]:
    """Find top-level keys that are probably misspelt `clusters` or `concurrency`.

    A cluster's own keys are validated with it.
    """
    known = {**Config.model_fields, **Fleet.model_fields}
    near = {key: suggest_key(key, known) for key in document.value if key not in known}
    return {
        key: ConfigError(f"{document.place((key,))}: unknown key", hint=f"did you mean {meant!r}?")
        for key, meant in near.items()
        if meant in Fleet.model_fields and meant not in Config.model_fields
    }


def parts(value: Mapping[str, Any], fleet: Fleet) -> list[ClusterSection]:
    """Split a file that names clusters into one section for each."""
    defaults = {key: one for key, one in value.items() if key not in Fleet.model_fields}
    return [ClusterSection(name, own, defaults) for name, own in fleet.clusters.items()]


def keep_apart(clusters: Mapping[str, tuple[Config, KeyPosition]]) -> list[ConfigError]:
    """Find clusters that equal another, or store in the same place."""
    known: dict[object, str] = {}
    faults = []
    for name, (config, place) in clusters.items():
        for path, what, same in list_identities(config):
            other = known.setdefault(same, name)
            if other != name:
                why = f"{place(path)}: {what} is also used by the cluster {other}"
                faults.append(ConfigError(why, hint="give each cluster its own"))
    return faults + _find_folders_of_others(clusters)


def _find_folders_of_others(
    clusters: Mapping[str, tuple[Config, KeyPosition]],
) -> list[ConfigError]:
    storages = (
        ((name, index), storage)
        for name, (config, _) in clusters.items()
        for index, storage in enumerate(config.storages)
    )
    faults = []
    for (name, index), (other, _) in find_folders_in_the_way(storages):
        if name != other:
            where = clusters[name][1](("storages", index, "static_name"))
            why = f"{where}: is the name of a folder in which the cluster {other} stores"
            faults.append(ConfigError(why, hint="choose another, or give each its own prefix"))
    return faults


def list_identities(config: Config) -> Iterator[tuple[KeyPath, str, object]]:
    """List what no two clusters may share: the key, its description, and a value to compare."""
    for index, address in enumerate(config.vault.addresses):
        where = ("nodes", index) if config.vault.nodes else ("address",)
        yield ("vault", *where), address, ("address", address)
    for index, storage in enumerate(config.storages):
        yield ("storages", index), "the place of these snapshots", locate(storage)
    if config.signing is not None:  # else snapshots of one could be mixed with those of the other
        yield ("signing", "key"), "the signing key", ("signing", config.signing.key)
    if config.lease is not None and config.lease.identity is not None:
        yield ("lease",), f"the lease {config.lease.name}", ("lease", config.lease.identity)


def _merge(defaults: Mapping[str, Any], own: Mapping[str, Any], at: KeyPath) -> dict[str, Any]:
    merged = copy.deepcopy({**defaults})
    if at == ("vault",) and own.keys() & {"address", "nodes"}:
        merged = {key: one for key, one in merged.items() if key not in ("address", "nodes")}
    for key, value in own.items():
        old, path = merged.get(key), (*at, key)
        if path in _MERGED and isinstance(old, dict) and isinstance(value, dict):
            merged[key] = _merge(old, value, path)
        else:
            merged[key] = value
    return merged


def _has(value: Mapping[str, Any], path: KeyPath) -> bool:
    around = value_at(value, path[:-1])
    return isinstance(around, dict) and bool(path) and path[-1] in around


def _list_storages(defaults: Mapping[str, Any]) -> list[Any]:
    storages = defaults.get("storages", [])
    return storages if isinstance(storages, list) else [storages]
