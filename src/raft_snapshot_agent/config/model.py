"""Our configuration. Nothing here touches disk or network."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, timedelta, tzinfo
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from raft_snapshot_agent.core.retention import Retention
from raft_snapshot_agent.core.schedule import Cron, Every, Schedule
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import PositiveDuration, RetentionPolicy, Settings
from raft_snapshot_agent.storage import AnyStorage
from raft_snapshot_agent.vault.settings import VaultSettings

_HOURLY = timedelta(hours=1)


def _cron(expression: str) -> str:
    Cron(expression)
    return expression


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path, such as /var/spool/raft-snapshot-agent")
    return path


class ScheduleSettings(Settings):
    """When snapshots are taken: a fixed distance apart, or at the times of a cron expression."""

    cron: Annotated[str, AfterValidator(_cron)] | None = None
    every: PositiveDuration | None = Field(
        default_factory=lambda given: None if given.get("cron") else _HOURLY
    )
    timezone: str = "UTC"

    @model_validator(mode="after")
    def _either(self) -> Self:
        if self.cron is not None and self.every is not None:
            raise ValueError("give every or cron, not both")
        if self.cron is None and self.every is None:
            raise ValueError("give every or cron")
        if self.cron is None and self.timezone != "UTC":
            raise ValueError("timezone goes with cron; every needs none")
        return self

    def open(self) -> Schedule:
        """Make the schedule.

        Raises:
            ConfigError: This host does not know the time zone.
        """
        if self.every is not None:
            return Every(self.every)
        return Cron(self.cron or "", self._zone())

    def _zone(self) -> tzinfo:
        if self.timezone == "UTC":
            return UTC  # known without a time zone database, too
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            near = get_close_matches(self.timezone, available_timezones(), 1)
            raise ConfigError(
                f"unknown time zone {self.timezone!r}",
                hint=f"did you mean {near[0]!r}?" if near else "write one such as Europe/Berlin",
            ) from error


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
    spool: Annotated[Path, AfterValidator(_absolute)] | None = None
    """The folder a snapshot streams into; see `spool_folder`."""
    log: LogSettings = LogSettings()
    naming: Literal["agent", "seed"] = "agent"
    """`seed`: names as the original agent writes them."""

    @field_validator("storages")
    @classmethod
    def _complete(
        cls, storages: tuple[AnyStorage, ...], info: ValidationInfo
    ) -> tuple[AnyStorage, ...]:
        common = info.data.get("retention")
        names = _names(storages)
        return tuple(
            storage.model_copy(
                update={"name": name, "retention": _retention(index, storage, common)}
            )
            for index, (storage, name) in enumerate(zip(storages, names, strict=True))
        )


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
    """Say where snapshots are spooled: as configured, else systemd's cache, else $TMPDIR."""
    if config.spool is not None:
        return config.spool
    cache = environ.get("CACHE_DIRECTORY", "").split(":")[0]
    return Path(cache or environ.get("TMPDIR") or "/var/tmp")  # noqa: S108 - names no file in it


def _names(storages: tuple[AnyStorage, ...]) -> list[str]:
    given = [storage.name for storage in storages]
    for index, name in enumerate(given):
        if name is not None and name in given[:index]:
            raise _misplaced(f"another storage is called {name!r} already", index, "name")
    names: list[str] = []
    for storage in storages:
        names.append(storage.name or _free(storage.type, {*given, *names}))
    return names


def _free(name: str, taken: set[str | None]) -> str:
    numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(one for one in numbered if one not in taken)


def _retention(index: int, storage: AnyStorage, common: Retention | None) -> Retention | None:
    if storage.static_name is None:
        return storage.retention or common
    if storage.retention is not None:
        what = "a storage with static_name holds one snapshot, so it takes no retention"
        raise _misplaced(what, index, "retention")
    return None


def _misplaced(what: str, *at: str | int) -> PydanticCustomError:
    """Make an error that `faults` shows at a place further down than pydantic would."""
    return PydanticCustomError("misplaced", "{what}", {"what": what, "at": at})
