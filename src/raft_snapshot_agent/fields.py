"""Field types and the model base that all settings share."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from datetime import UTC, timedelta, tzinfo
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    NonNegativeInt,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.dataclasses import dataclass

from raft_snapshot_agent.core.duration import format_duration, parse_duration
from raft_snapshot_agent.core.history.retention import Retention
from raft_snapshot_agent.core.schedules.schedule import Cron, Every, Schedule
from raft_snapshot_agent.core.schedules.slots import ScheduleSpec
from raft_snapshot_agent.errors import ConfigError

_HOURLY = timedelta(hours=1)
_LONGEST_TIMEOUT = timedelta(days=20)
"""The operating system stores timeouts as milliseconds in 31 bits."""

LARGEST = 2**63 - 1
"""Largest number of a setting; Python can neither slice nor divide by much larger ones."""
MAY_BE_EMPTY = Field(json_schema_extra={"minLength": 0})
"""Annotation for text that may be empty; all other text must not be."""


class Settings(BaseModel):
    """Base of all settings: frozen, and unknown keys are errors."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True
    )


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        return parse_duration(value)
    raise ValueError("write a duration with its unit, such as 30s or 1h30m")


def _positive(value: Any) -> Any:
    duration = _duration(value)
    if duration <= timedelta(0):
        raise ValueError("must be longer than zero")
    return duration


def _timeout(duration: timedelta) -> timedelta:
    if duration > _LONGEST_TIMEOUT:
        raise ValueError("must be at most 20 days")
    return duration


def _count(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("write a number")  # noqa: TRY004
    return value


_SIZE = re.compile(r"\s*[0-9]*\.?[0-9]+\s*(?:b|bit|[kmgtpe](?:i?b|i?bit)?)?\s*", re.IGNORECASE)


def _size(value: Any) -> Any:
    is_text = isinstance(value, str) and _SIZE.fullmatch(value)
    if is_text or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ValueError("write a size such as 500MB or 20GiB")


def _parse_speed(value: Any) -> Any:
    return _size(value.removesuffix("/s") if isinstance(value, str) else value)


def _cron(expression: str) -> str:
    Cron(expression)
    return expression


def absolute(example: str) -> AfterValidator:
    """Return the annotation of a path that must be absolute.

    Arguments:
        example: Part of the error message.
    """

    def check(path: Path) -> Path:
        if not path.is_absolute():
            raise ValueError(f"must be an absolute path, such as {example}")
        return path

    return AfterValidator(check)


_as_text = PlainSerializer(format_duration, return_type=str)

# Without this the schema would require ISO 8601 durations.
_go_syntax = WithJsonSchema({"type": "string", "examples": ["30s", "1h30m", "7d"]})

Duration = Annotated[timedelta, BeforeValidator(_duration), _as_text, _go_syntax]
PositiveDuration = Annotated[timedelta, BeforeValidator(_positive), _as_text, _go_syntax]
Timeout = Annotated[
    timedelta, AfterValidator(_timeout), BeforeValidator(_positive), _as_text, _go_syntax
]
"""A timeout: longer than zero, at most 20 days."""
Count = Annotated[NonNegativeInt, Field(le=LARGEST), BeforeValidator(_count)]
Size = Annotated[ByteSize, Field(gt=0, le=LARGEST), BeforeValidator(_size)]
Speed = Annotated[ByteSize, Field(gt=0, le=LARGEST), BeforeValidator(_parse_speed)]
"""Bytes per second, written like a size or with `/s` after it."""


def time_zone(name: str) -> tzinfo:
    """Return a time zone by its name.

    Raises:
        ConfigError: This host has no such time zone.
    """
    if name == "UTC":
        return UTC  # UTC needs no time zone database
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        known = available_timezones()
        if not known:
            raise ConfigError(
                f"time zone {name!r} is unknown: this host has no time zone database",
                hint="install tzdata, or use UTC",
            ) from error
        near = _find_near_zone(name, known)
        raise ConfigError(
            f"unknown time zone {name!r}",
            hint=f"did you mean {near!r}?" if near else "write one such as Europe/Berlin",
        ) from error


def _find_near_zone(name: str, known: Iterable[str]) -> str:
    """Return the zone that is probably meant; empty if none is.

    Not `EST` for `CEST`, which is elsewhere, nor `Etc/GMT+1`, which is one hour behind UTC.
    """
    zones = sorted(zone for zone in known if not zone.startswith("Etc/"))
    same = [zone for zone in zones if zone.rpartition("/")[2].lower() == name.lower()]
    places = [zone for zone in zones if "/" in zone]
    found = same if len(same) == 1 else get_close_matches(name, places, 1)
    return found[0] if found else ""


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # one around it is missing
        return False


def require_extra(extra: str, what: str, *packages: str) -> None:
    """Check that the packages of an extra are installed, without importing them.

    Arguments:
        extra: Its name in `pyproject.toml`.
        what: What needs it, for the message.
        packages: Those that it adds, by their names for `import`.

    Raises:
        ConfigError: One is missing.
    """
    if not all(_is_installed(package) for package in packages):
        wanted = f"pip install 'raft-snapshot-agent[{extra}]'"
        raise ConfigError(f"{what} needs the extra {extra}", hint=wanted)


class ScheduleSettings(Settings):
    """When snapshots are taken: at a fixed interval, or at the times of a cron expression."""

    cron: Annotated[str, AfterValidator(_cron)] | None = None
    every: PositiveDuration | None = Field(
        default_factory=lambda given: None if given.get("cron") else _HOURLY
    )
    timezone: str = "UTC"
    jitter: Duration = timedelta(0)
    """Upper limit of the random delay of each snapshot."""
    catch_up: bool = True
    """Whether a snapshot missed while no agent ran is taken at the start."""

    @model_validator(mode="after")
    def _either(self) -> Self:
        if self.cron is not None and self.every is not None:
            raise ValueError("give every or cron, not both")
        if self.cron is None and self.every is None:
            raise ValueError("give every or cron")
        if self.cron is None and self.timezone != "UTC":
            raise ValueError("timezone goes with cron; every needs none")
        return self

    def __str__(self) -> str:
        return f"every {format_duration(self.every)}" if self.every else f"at {self.cron}"

    def open(self) -> ScheduleSpec:
        """Build the schedule.

        Raises:
            ConfigError: This host has no such time zone.
        """
        return ScheduleSpec(self._schedule(), self.jitter, self.catch_up)

    def _schedule(self) -> Schedule:
        if self.every is not None:
            return Every(self.every)
        return Cron(self.cron or "", time_zone(self.timezone))


_POLICY = ConfigDict(
    extra="forbid",
    hide_input_in_errors=True,
    defer_build=True,
    json_schema_extra={"minProperties": 0},  # no rule is set: keep all
)


@dataclass(frozen=True, slots=True, config=_POLICY)
class RetentionPolicy(Retention):
    """`Retention` as configured: errors name the rule, durations are in Go's syntax."""

    last: Count | None = None
    hourly: Count | None = None
    daily: Count | None = None
    weekly: Count | None = None
    monthly: Count | None = None
    yearly: Count | None = None
    within: Duration | None = None
    min_keep: Count = 1
    max_space: Size | None = None
    max_deletes: Count | None = None
    keep_broken: Duration = timedelta(days=30)
    timezone: str = "UTC"
    """Time zone in which days, weeks, months and years begin."""
