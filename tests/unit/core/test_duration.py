from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from raft_snapshot_agent.core.duration import format_duration, parse_duration
from raft_snapshot_agent.fields import Duration, PositiveDuration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("30s", 30),
        ("+30s", 30),
        ("100ms", 0.1),
        ("1500us", 0.0015),
        ("1500\u00b5s", 0.0015),
        ("1500\u03bcs", 0.0015),
        ("1500000ns", 0.0015),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (".5h", 1800),
        ("7d", 604_800),
        ("2w", 1_209_600),
        ("1y", 31_536_000),
        ("36500d", 3_153_600_000),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "h",
        "1h30",
        "1H",
        "1x",
        "1.5.2h",
        "one hour",
        "1h-30m",
        "1h 30m",
        "1h,30m",
        " 1h",
        "1h\n",
        "5mm",
        "\u0663h",
        "PT1H",
        "1:00:00",
        "infh",
    ],
)
def test_what_is_no_duration_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration such as 30s, 1h30m or 7d") as raised:
        parse_duration(text)
    assert repr(text) in str(raised.value)


@pytest.mark.parametrize("text", ["-1s", "-1h30m", "-.5h"])
def test_negative_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is negative"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["36501d", "101y", "9" * 20 + "h", "9" * 400 + "h"])
def test_durations_longer_than_a_hundred_years_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="longer than a hundred years"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0"),
        (0.0015, "1ms500us"),
        (1, "1s"),
        (60, "1m"),
        (3600, "1h"),
        (3660.5, "1h1m0.5s"),
        (604_800, "168h"),
        (59.123456, "59.123456s"),
        (3_153_600_000, "876000h"),
        (1_234_567 * 3600, "1234567h"),
        (-90, "-1m30s"),
    ],
)
def test_durations_are_written(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


@given(st.timedeltas(timedelta(0), timedelta(days=100)))
def test_what_is_written_can_be_read(value: timedelta) -> None:
    assert parse_duration(format_duration(value)) == value


@given(st.integers(0, 36_500 * 86_400))
def test_whole_seconds_are_exact_over_a_hundred_years(seconds: int) -> None:
    value = timedelta(seconds=seconds)

    assert parse_duration(format_duration(value)) == value


@given(st.text("0123456789.+-hmsdwyuµn ", max_size=12))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        value = parse_duration(text)
    except ValueError:
        return
    assert timedelta(0) <= value <= timedelta(days=36_500)


def test_a_setting_is_read_and_written_in_gos_syntax() -> None:
    setting: TypeAdapter[timedelta] = TypeAdapter(Duration)

    assert setting.validate_python("90m") == timedelta(minutes=90)
    assert setting.validate_python(timedelta(0)) == timedelta(0)
    assert setting.dump_json(timedelta(minutes=90)) == b'"1h30m"'
    assert setting.json_schema() == {"type": "string", "examples": ["30s", "1h30m", "7d"]}


@pytest.mark.parametrize("value", [30, 30.0, True, None, "30", "PT30S"])
def test_a_setting_needs_its_unit(value: object) -> None:
    with pytest.raises(ValidationError, match="such as 30s"):
        TypeAdapter(Duration).validate_python(value)


@pytest.mark.parametrize("value", ["0", "0s", "1ns", timedelta(0), timedelta(seconds=-1)])
def test_a_positive_setting_is_longer_than_zero(value: object) -> None:
    with pytest.raises(ValidationError, match="longer than zero"):
        TypeAdapter(PositiveDuration).validate_python(value)
