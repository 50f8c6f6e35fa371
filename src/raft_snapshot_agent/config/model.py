"""Our configuration. Nothing here touches disk or network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from raft_snapshot_agent.config.drill import DrillSettings
from raft_snapshot_agent.config.names import derive_names, misplaced_error
from raft_snapshot_agent.config.notifiers import check_clusters, name_notifiers
from raft_snapshot_agent.config.parts import AnyMetrics, AnyWeb
from raft_snapshot_agent.core.snapshots import naming
from raft_snapshot_agent.core.snapshots.naming import Layout, Naming
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import (
    MAY_BE_EMPTY,
    Count,
    PositiveDuration,
    RetentionPolicy,
    ScheduleSettings,
    Settings,
    absolute,
)
from raft_snapshot_agent.lease import AnyLease
from raft_snapshot_agent.notify import AnyNotifier
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.storage import AnyStorage
from raft_snapshot_agent.storage.settings import FileName
from raft_snapshot_agent.vault.settings import VaultSettings


def _share(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?%", value):
        raise ValueError("write a share such as 50% or 0.5")
    return float(value.removesuffix("%")) / 100


def _suffix(suffix: str) -> str:
    if "/" in suffix or not suffix.isprintable():
        raise ValueError("must be the end of a file name, such as .snap")
    return suffix


_as_share = WithJsonSchema({"type": ["number", "string"], "minimum": 0, "maximum": 1})
Share = Annotated[float, Field(ge=0, le=1), BeforeValidator(_share), _as_share]
FileSuffix = Annotated[str, AfterValidator(_suffix), MAY_BE_EMPTY]


class NameLayout(Settings):
    """Names as another agent gave them: `<prefix><timestamp><suffix>`."""

    prefix: FileName
    timestamp: str = "2006-01-02T15-04-05Z-0700"
    """As Go or as `strftime` writes it; the time is in UTC."""
    suffix: FileSuffix = ".snap"

    @model_validator(mode="after")
    def _tells_the_time(self) -> Self:
        self.open()
        return self

    def open(self) -> Naming:
        """Make the naming."""
        return Layout(self.prefix, self.timestamp, self.suffix)


class GuardSettings(Settings):
    """What makes a new snapshot look like that of a wiped or another cluster."""

    max_shrink: Share = 0.5
    """The share of its size that a cluster may lose from one snapshot to the next."""
    max_mount_shrink: Share = 0.5
    """The share of its keys that one mount may lose; 1 switches that off."""
    max_extra: Count = 24
    """How many more snapshots may come than the schedule explains, such as those of people."""


class ScrubSettings(Settings):
    """How often stored snapshots are read back, and how many."""

    every: PositiveDuration = timedelta(hours=24)
    """From one turn on a storage to the next."""
    read: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many of each storage in one turn, those first that were read longest ago."""


class SigningSettings(Settings):
    """The key that all agents of a cluster share, and that nobody else has."""

    key: Secret
    old_keys: tuple[Secret, ...] = ()
    """What manifests were signed with before."""

    def open(self) -> SigningKeys:
        """Resolve the keys.

        Raises:
            ConfigError: One is missing, or too short.
        """
        current, *old = (one.resolve().encode() for one in (self.key, *self.old_keys))
        try:
            return SigningKeys(current, tuple(old))
        except ValueError as error:
            hint = "make one: openssl rand -base64 32"
            raise ConfigError(f"{error}, this one has fewer", hint=hint) from error


class LogSettings(Settings):
    """How the log looks; `hclog` lines up with the server's own."""

    format: Literal["text", "json", "hclog"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(Settings):
    """Everything the agent is told."""

    vault: VaultSettings = VaultSettings()
    run_on: Literal["leader", "anywhere"] = "leader"
    """`leader`: only beside the leader; `anywhere`: find the leader from here."""
    schedule: ScheduleSettings = ScheduleSettings()
    retention: RetentionPolicy | None = None
    """For every storage that has none of its own; without any, everything is kept."""
    storages: tuple[AnyStorage, ...] = ()
    lease: AnyLease | None = None
    """Which of several agents works; without one each of them does, under the leader rules."""
    spool: Annotated[Path, absolute("/var/spool/raft-snapshot-agent")] | None = None
    """The folder a snapshot streams into; see `spool_folder`."""
    log: LogSettings = LogSettings()
    metrics: AnyMetrics | None = None
    """Where `run --once` and `save` leave their metrics."""
    web: AnyWeb | None = None
    """Where page, API and probes are served; nowhere by default."""
    naming: Literal["agent", "seed"] = "agent"
    """`seed`: names as the original agent writes them."""
    name_layout: NameLayout | None = None
    """Names as yet another agent writes them, in place of `naming`."""
    guard: GuardSettings = GuardSettings()
    signing: SigningSettings | None = None
    """With it only snapshots whose manifests the agents signed fill the rules of retention."""
    drill: DrillSettings = DrillSettings()
    """How `drill` brings snapshots to life."""
    scrub: ScrubSettings | None = None
    """How stored snapshots are read back by the daemon; by default they are not."""
    notify: tuple[AnyNotifier, ...] = ()
    """Who is told when snapshots fail, and when they do again."""

    @field_validator("notify")
    @classmethod
    def _named(cls, notifiers: tuple[AnyNotifier, ...]) -> tuple[AnyNotifier, ...]:
        check_clusters(notifiers, ())
        return name_notifiers(notifiers)

    @field_validator("storages")
    @classmethod
    def _complete(
        cls, storages: tuple[AnyStorage, ...], info: ValidationInfo
    ) -> tuple[AnyStorage, ...]:
        common = info.data.get("retention")
        names = derive_names(storages, "storage")
        return tuple(
            storage.model_copy(
                update={"name": name, "retention": _retention(index, storage, common)}
            )
            for index, (storage, name) in enumerate(zip(storages, names, strict=True))
        )

    @field_validator("lease")
    @classmethod
    def _check_lease_storage(cls, lease: AnyLease | None, info: ValidationInfo) -> AnyLease | None:
        names = [storage.name for storage in info.data.get("storages", ())]
        if lease is None or lease.storage_name is None or "storages" not in info.data:
            return lease
        if lease.storage_name not in names:
            there = f"; there are: {', '.join(map(str, names))}" if names else ""
            raise misplaced_error(f"no storage is called {lease.storage_name!r}{there}", "storage")
        return lease


def naming_of(config: Config) -> Naming:
    """Return how snapshots are named."""
    if config.name_layout is not None:
        return config.name_layout.open()
    return naming.SEED if config.naming == "seed" else naming.AGENT


def require_storages(config: Config) -> tuple[AnyStorage, ...]:
    """Return the storages, for a command that cannot do without.

    Raises:
        ConfigError: None is configured.
    """
    if not config.storages:
        raise ConfigError(
            "no storage is configured",
            hint="add one: `storages: [{type: local, path: /var/backups/vault}]`",
        )
    return config.storages


def spool_folder(config: Config, environ: Mapping[str, str]) -> Path:
    """Return the spool folder: as configured, else systemd's cache, else $TMPDIR."""
    if config.spool is not None:
        return config.spool
    cache = environ.get("CACHE_DIRECTORY", "").split(":")[0]
    return Path(cache or environ.get("TMPDIR") or "/var/tmp")  # noqa: S108 - names no file in it


def _retention(
    index: int, storage: AnyStorage, common: RetentionPolicy | None
) -> RetentionPolicy | None:
    if storage.static_name is None:
        return storage.retention or common
    if storage.retention is not None:
        what = "a storage with static_name holds one snapshot, so it takes no retention"
        raise misplaced_error(what, index, "retention")
    return None
