from __future__ import annotations

import io
import json
import weakref
from datetime import UTC, datetime, timedelta, timezone

import pytest

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.errors import AgentError

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
ROWS = [{"name": "a", "why": "last 1 of 3"}, {"name": "long", "why": "[bold]newest[/bold]"}]


@pytest.mark.parametrize(
    ("ago", "shown"),
    [
        (timedelta(0), "0s"),
        (timedelta(seconds=-5), "0s"),
        (timedelta(hours=-3, minutes=-7), "in 3h7m"),
        (timedelta(seconds=59), "59s"),
        (timedelta(minutes=5, seconds=1), "5m1s"),
        (timedelta(hours=3, minutes=7, seconds=9), "3h7m"),
        (timedelta(days=400, minutes=1), "400d"),
    ],
)
def test_an_age_is_written_in_its_two_largest_units(ago: timedelta, shown: str) -> None:
    assert output.age(NOW - ago, NOW) == shown


def test_a_moment_is_written_in_utc() -> None:
    berlin = timezone(timedelta(hours=1))

    assert output.moment(NOW) == "2026-11-23T15:30:00Z"
    assert output.moment(NOW.astimezone(berlin)) == "2026-11-23T15:30:00Z"


def test_a_table_has_headings_and_no_markup_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(ROWS, Format.TABLE)

    said = capsys.readouterr()
    assert said.out == "NAME  WHY\na     last 1 of 3\nlong  [bold]newest[/bold]\n"
    assert said.err == ""


def test_columns_stand_below_each_other_whatever_is_in_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ["plain", "two\nlines", "\u96ea wide", "bell\a", "", "x" * 5000]

    output.table([{"name": name, "size": "9 KiB"} for name in names[:5]], Format.TABLE)
    output.table([{"name": name, "size": "9 KiB"} for name in names[5:]], Format.TABLE)

    *few, heading, long = capsys.readouterr().out.splitlines()
    assert few == [
        "NAME       SIZE",
        "plain      9 KiB",
        "two lines  9 KiB",
        "\u96ea wide    9 KiB",
        "bell?      9 KiB",
        "           9 KiB",
    ]
    assert long == "x" * 4000 + "...  9 KiB"
    assert heading == "NAME".ljust(4003) + "  SIZE"


def test_an_empty_table_is_nothing_and_an_empty_document_is_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.table([], Format.TABLE)
    assert capsys.readouterr().out == ""

    output.table([], Format.JSON)
    assert json.loads(capsys.readouterr().out) == []


def test_a_table_as_json_is_the_document_where_there_is_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.table(ROWS, Format.JSON)
    assert json.loads(capsys.readouterr().out) == ROWS

    output.table(ROWS, Format.JSON, [{"more": 1}])
    assert json.loads(capsys.readouterr().out) == [{"more": 1}]


@pytest.mark.parametrize("layout", Format)
def test_rows_are_made_when_they_are_printed_and_not_kept(
    layout: Format, capsys: pytest.CaptureFixture[str]
) -> None:
    class Row(dict[str, str]):
        """One that can be watched."""

    made: list[weakref.ref[Row]] = []
    alive = []

    def make(number: int) -> Row:
        alive.append(sum(1 for one in made if one() is not None))
        made.append(weakref.ref(row := Row(number=str(number), name="é" * number)))
        return row

    output.table(output.Rows(range(12), make), layout)

    assert max(alive) <= 2
    said = capsys.readouterr().out
    if layout is Format.TABLE:
        assert said.splitlines()[:3] == ["NUMBER  NAME", "0", "1       é"]
    else:
        assert json.loads(said) == [make(number) for number in range(12)]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_long_document_is_printed_as_any_other(
    count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"name": f'"{one}\n', "index": None if one else 1} for one in range(count)]
    output.data(rows)
    whole = capsys.readouterr().out
    output.table((), Format.JSON, rows)
    assert capsys.readouterr().out == whole


def test_facts_stand_under_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    output.facts({"index": 4711, "raft_nodes": "bao0"}, Format.TABLE)
    assert capsys.readouterr().out == "index       4711\nraft_nodes  bao0\n"

    output.facts({"index": 4711}, Format.JSON)
    assert json.loads(capsys.readouterr().out) == {"index": 4711}


def test_talk_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    output.talk("no snapshot is stored yet")

    assert capsys.readouterr() == ("", "no snapshot is stored yet\n")


def test_nobody_listening_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Gone())

    output.talk("to nobody")


def test_what_a_terminal_would_obey_is_shown_instead(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "a\x1b[2Jb\rc\x07"

    output.talk(evil)
    output.facts({"cluster": evil}, Format.TABLE)
    output.table([{"why": evil}], Format.TABLE)

    said = capsys.readouterr()
    assert said.err == "a?[2Jb?c?\n"
    assert said.out == "cluster  a?[2Jb?c?\nWHY\na?[2Jb?c?\n"


HOSTILE = "a\nAll is well\r\x1b[2J\u202e\u200b\u2028\x07" + "x" * 50_000


@pytest.mark.parametrize("layout", Format)
def test_text_of_others_is_one_short_line_wherever_it_is_shown(
    layout: Format, capsys: pytest.CaptureFixture[str]
) -> None:
    output.table([{"name": HOSTILE}], layout)
    output.facts({"cluster": HOSTILE}, layout)
    output.talk(HOSTILE)
    output.text(HOSTILE)
    output.report([("failure", "storage", HOSTILE, HOSTILE)])
    output.talk(str(AgentError(HOSTILE, hint=HOSTILE)))
    captured = capsys.readouterr()
    told = captured.out + captured.err
    assert all(one.isprintable() or one == "\n" for one in told)
    assert not any(line.startswith("All is well") for line in told.splitlines())
    if layout is Format.TABLE:
        assert len(told) < 60_000
