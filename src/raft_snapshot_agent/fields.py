"""Field types and the model base that all settings share."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    NonNegativeInt,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.dataclasses import dataclass

from raft_snapshot_agent.core.duration import format_duration, parse_duration
from raft_snapshot_agent.core.retention import Retention


class Settings(BaseModel):
    """A frozen piece of configuration that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


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


def _count(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("write a number")  # noqa: TRY004
    return value


_as_text = PlainSerializer(format_duration, return_type=str)

# Without this the schema would ask for ISO 8601.
_go_syntax = WithJsonSchema({"type": "string", "examples": ["30s", "1h30m", "7d"]})

Duration = Annotated[timedelta, BeforeValidator(_duration), _as_text, _go_syntax]
PositiveDuration = Annotated[timedelta, BeforeValidator(_positive), _as_text, _go_syntax]
Count = Annotated[NonNegativeInt, BeforeValidator(_count)]


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid", hide_input_in_errors=True))
class RetentionPolicy(Retention):
    """`Retention` as the configuration writes it: errors name the very rule, durations are Go's."""

    last: Count | None = None
    hourly: Count | None = None
    daily: Count | None = None
    weekly: Count | None = None
    monthly: Count | None = None
    yearly: Count | None = None
    within: Duration | None = None
    min_keep: Count = 1
