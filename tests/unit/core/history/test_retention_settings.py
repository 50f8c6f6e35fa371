from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from raft_snapshot_agent.core.history.retention import Retention, plan
from raft_snapshot_agent.core.snapshots.snapshot import Stored
from raft_snapshot_agent.fields import RetentionPolicy

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize("kind", [Retention, RetentionPolicy])
@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ({"last": 1, "lst": 2}, r"lst\n  Unexpected keyword argument"),
        ({"last": -1}, "must not be negative|greater than or equal to 0"),
        ({"yearly": -1}, "must not be negative|greater than or equal to 0"),
        ({"min_keep": -1}, "must not be negative|greater than or equal to 0"),
        ({"within": timedelta(seconds=-1)}, "must not be negative"),
        ({"daily": "many"}, "valid integer"),
        ({"daily": 1.5}, "valid integer"),
    ],
)
def test_wrong_settings_are_validation_errors(
    kind: type[Retention], written: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        TypeAdapter(kind).validate_python(written)


@pytest.mark.parametrize(
    "rule", ["last", "hourly", "daily", "weekly", "monthly", "yearly", "min_keep"]
)
def test_a_negative_number_is_refused_by_name(rule: str) -> None:
    rules: dict[str, Any] = {rule: -1}

    with pytest.raises(ValueError, match=f"{rule} must not be negative"):
        Retention(**rules)


@pytest.mark.parametrize("rule", ["within", "keep_broken"])
def test_a_negative_age_is_refused(rule: str) -> None:
    rules: dict[str, Any] = {rule: timedelta(seconds=-1)}

    with pytest.raises(ValueError, match=f"{rule} must not be negative"):
        Retention(**rules)


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ({"last": -1}, "last"),
        ({"last": True}, "last"),
        ({"within": "12x"}, "within"),
        ({"within": 7}, "within"),
        ({"within": "-1s"}, "within"),
        ({"keep_broken": "-1h"}, "keep_broken"),
        ({"keep_broken": 30}, "keep_broken"),
        ({"wihtin": "7d"}, "wihtin"),
    ],
)
def test_the_configurations_errors_are_at_their_place(written: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(RetentionPolicy).validate_python(written)

    assert [error["loc"] for error in raised.value.errors()] == [(place,)]


def test_the_configurations_retention_is_a_retention() -> None:
    adapter: TypeAdapter[Retention] = TypeAdapter(RetentionPolicy)

    read = adapter.validate_python({"last": 1, "within": "7d"})

    assert isinstance(read, Retention)
    assert read.within == timedelta(days=7)
    assert adapter.validate_json(adapter.dump_json(read)) == read
    assert replace(read, last=2).last == 2
    stored = [Stored(f"{age}", NOW - timedelta(days=age), 1) for age in (0, 6, 8)]
    assert [one.name for one in plan(stored, read, NOW).keep] == ["0", "6"]


def test_the_configurations_retention_has_the_same_rules() -> None:
    # The time zone is the configuration's: the rules are handed it.
    assert [(one.name, one.default) for one in fields(RetentionPolicy)] == [
        *((one.name, one.default) for one in fields(Retention)),
        ("timezone", "UTC"),
    ]
