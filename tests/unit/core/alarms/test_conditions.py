from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_snapshot_agent.core.alarms.conditions import LoggedConditions, State, kind_of

START = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def told(
    looks: list[dict[str, str]], *, together: bool = False
) -> list[tuple[int, State, str, int]]:
    """Look once a minute; return what was told when."""
    conditions: LoggedConditions[str] = LoggedConditions()
    all_news = []
    for number, texts in enumerate(looks):
        now = START + number * MINUTE
        conditions, news = conditions.observe("s3", texts, now, together=together)
        all_news += [(number, one.state, one.text, one.times) for one in news]
    return all_news


def test_what_lasts_is_told_at_first_each_hour_and_at_its_end() -> None:
    looks = [{}, *[{"down": f"down at {n}"} for n in range(1, 151)], {}, {}]
    assert told(looks) == [
        (1, State.BEGINS, "down at 1", 1),
        (61, State.LASTS, "down at 61", 61),
        (121, State.LASTS, "down at 121", 121),
        (151, State.ENDS, "down at 150", 150),
    ]


def test_another_condition_is_told_at_once() -> None:
    assert [state for _, state, *_ in told([{"a": "A"}, {"a": "A", "b": "B"}, {"b": "B"}])] == [
        State.BEGINS,
        State.BEGINS,
        State.ENDS,
    ]


def test_what_alternates_is_one_condition() -> None:
    looks = [{"a": "A"} if number % 2 else {"b": "B"} for number in range(60)]
    assert [text for *_, text, _ in told([*looks, {}], together=True)] == ["B", "A", "B", "A"]


def test_places_do_not_disturb_each_other() -> None:
    empty: LoggedConditions[str] = LoggedConditions()
    conditions, _ = empty.observe("s3", {"a": "A"}, START)
    conditions, news = conditions.observe("local", {}, START)
    assert news == []
    _, news = conditions.observe("local", {"a": "A"}, START)
    assert len(news) == 1


@given(st.lists(st.dictionaries(st.text("abc"), st.just("x"), max_size=3), max_size=200))
def test_no_kind_is_told_more_than_once_an_hour_while_it_lasts(looks: list[dict[str, str]]) -> None:
    assert len(told(looks, together=True)) <= 60 * (sum(not one for one in looks) + 1)


def test_ever_new_texts_are_no_flood() -> None:
    looks = [{f"kind {number}": "x"} for number in range(50)]
    assert len(told(looks, together=True)) <= 11


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("raft-snapshot-20261123T153000Z-i4-0a1b2c.snap is not deleted: locked", "raft-snapshot-20261124T153000Z-i5-ffffff.snap is not deleted: locked"),
        ("would delete 32 snapshots", "would delete 33 snapshots"),
        ("cannot reach https://a:8200: refused", "cannot reach https://b:8200: refused"),
        ("login paused for 42 s", "login paused for 7 s"),
        ("no storage is called 'a'", "no storage is called 'b'"),
        ("host-a-1234-abcd holds the lease in s3://b/x.json", "host-b-77-00ff holds the lease in s3://b/x.json"),
        ("InternalError (request id=AB12)", "InternalError (request id=CD34)"),
    ],
)  # fmt: skip
def test_names_numbers_and_times_make_no_other_kind(one: str, other: str) -> None:
    assert kind_of(one) == kind_of(other)


def test_another_reason_is_another_kind() -> None:
    assert kind_of("cannot reach a: refused") != kind_of("cannot reach a: timed out")


def test_a_clock_that_was_set_back_silences_nothing() -> None:
    empty: LoggedConditions[str] = LoggedConditions()
    conditions, _ = empty.observe("s3", {"down": "down"}, START)
    conditions, news = conditions.observe("s3", {"down": "down"}, START - timedelta(days=2))
    assert [one.state for one in news] == [State.LASTS]
    assert conditions.observe("s3", {"down": "down"}, START - timedelta(days=2) + MINUTE)[1] == []


def test_the_kind_of_a_word_without_end_is_found() -> None:
    """Not in a time that grows with the square of its length, which would be hours."""
    assert kind_of(f"before it was {'x' * 1_000_000}").startswith("before it was xxx")
    assert kind_of(f"before it was {'x' * 1_000_000}1") == "before it was #"
