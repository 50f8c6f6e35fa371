from __future__ import annotations

import json

import pytest

from raft_snapshot_agent.config.document import parse
from raft_snapshot_agent.errors import ConfigError

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 10)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

HUGE = "9" * 5001


def broken(text: str, suffix: str = ".yaml") -> str:
    with pytest.raises(ConfigError) as caught:
        parse("f", suffix, text)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json", ".toml", ".conf", ""])
@pytest.mark.parametrize("text", ["", " \n\n"])
def test_an_empty_file_says_what_to_write(suffix: str, text: str) -> None:
    assert broken(text, suffix).startswith("f: the file is empty (write at least `storages:")


@pytest.mark.parametrize(
    ("suffix", "text"),
    [(".json", '{"$schema": "s", "a": 1}'), (".yaml", "$schema: s\na: 1\n")],
)
def test_the_schema_for_editors_is_no_setting(suffix: str, text: str) -> None:
    assert parse("f", suffix, text).value == {"a": 1}


def test_numbers_are_read_as_they_are_written() -> None:
    text = "a: [0, -5, +7, 1_000, 0.5, .5, 1.5e+3, '010', \"1:30\", 2026-11-27, 1e3]"
    assert parse("f", ".yaml", text).value["a"] == [
        *(0, -5, 7, 1000, 0.5, 0.5, 1500.0),
        *("010", "1:30", "2026-11-27", "1e3"),
    ]


@pytest.mark.parametrize(
    ("suffix", "text"), [(".yaml", "# only\n"), (".toml", "# only"), (".json", "{}")]
)
def test_a_file_that_says_nothing_is_empty(suffix: str, text: str) -> None:
    assert "f: the file is empty" in broken(text, suffix)


@pytest.mark.parametrize(
    ("suffix", "text", "expected"),
    [
        (
            ".yaml",
            "a: 1\nb: c: d\n",
            "f:2:5: not YAML: mapping values are not allowed here (look at",
        ),
        (
            ".yaml",
            "a:\n\tb: 1\n",
            "f:2:1: not YAML: found character '\\t' that cannot start any token (indent with spaces)",
        ),
        (".yaml", "a: [1\n", "f:2:1: not YAML: expected ',' or ']'"),
        (".yaml", "a: 1\n---\nb: 1\n", "f:2:1: not YAML: but found another document"),
        (".yaml", "a: *b\n", "f:1:4: not YAML: an alias or anchor (* or &) that cannot be used"),
        (".yaml", "a: 1\nb: x\x07\n", "f:2:5: a character that YAML does not allow (delete it)"),
        (
            ".yaml",
            "a: !!python/object/apply:os.system [id]\n",
            "f:1:4: a: a tag (!) is not allowed",
        ),
        (".yaml", "a: !mine x\n", "f:1:4: a: a tag (!) is not allowed"),
        (".yaml", "a: 010\n", "f:1:4: a: YAML reads this as another number than it shows (write"),
        (".yaml", "a: [1, 1:30]\n", "f:1:8: a[1]: YAML reads this as another number"),
        (".yaml", "a: 1:30.5\n", "f:1:4: a: YAML reads this as another number"),
        (".yaml", "a: 0x1F\n", "f:1:4: a: YAML reads this as another number"),
        (".yaml", "a: 0b11\n", "f:1:4: a: YAML reads this as another number"),
        (".yaml", f"a: {HUGE}\n", "f:1:4: a: this value cannot be read"),
        (".json", f'{{\n"a": {HUGE}}}', "f:2:6: this number is too large"),
        (".toml", f"b = 1\na = {HUGE}", "f:2:5: this number is too large"),
        (".yaml", "a: 99999999999999999999\n", "f:1:1: a: this number is too large"),
        (".json", '{"a": 99999999999999999999}', "f:1:2: a: this number is too large"),
        (".toml", f"a = 0x{HUGE}", "f:1:1: a: this number is too large"),
        (".yaml", "a: !!int x\n", "f:1:4: a: this value cannot be read"),
        (".yaml", "a: {[1]: 2}\n", "f:1:5: a: a key must be plain text"),
        (".yaml", "a: {<<: 1}\n", "f:1:9: a: << takes mappings only"),
        (".yaml", "a:\n  b: 1\n  b: 2\n", "f:3:3: a.b: given twice (keep one of them)"),
        (".json", '{"a": 1,\n\t"b": }', "f:2:7: not JSON: Expecting value (look at the commas"),
        (".json", '{"a": 1,\n\t"a": 2}', "f:2:2: a: given twice (keep one of them)"),
        (".toml", "a = 1\nb = \n", "f:2:5: not TOML: Invalid value (look at the commas"),
        (".toml", "a = 1\na = 2\n", "f:2:6: not TOML: Cannot overwrite a value"),
        (".toml", "a = 1\nb = [", "f:2:6: not TOML: Invalid value"),
        (".toml", "a = [1, 1979-05-27]", "f:1:9: a[1]: must not be a date (put it in quotes)"),
        (".yaml", "- a\n", "f:1:1: the top level must be a mapping of keys, not a list (begin"),
        (".json", "1", "f:1:1: the top level must be a mapping of keys, not a number (begin"),
        (".yaml", "hello\n", "f:1:1: the top level must be a mapping of keys, not text (begin"),
    ],
)
def test_a_broken_text_says_where_and_what(suffix: str, text: str, expected: str) -> None:
    assert broken(text, suffix).startswith(expected)


@pytest.mark.parametrize("text", [LAUGHS, MERGES])
def test_a_small_file_cannot_fill_the_memory(text: str) -> None:
    assert "the aliases expand to far more values than the file has" in broken(text)


def test_what_is_written_out_is_no_alias_however_long() -> None:
    text = "".join(f"c{number}: {{a: {number}, b: [x, y]}}\n" for number in range(3000))
    assert len(parse("f", ".yaml", text).value) == 3000


def test_many_may_share_what_is_long() -> None:
    shared = ", ".join(f"k{number}: {number}" for number in range(30))
    lines = "".join(f"c{number}: {{<<: *all, own: 1}}\n" for number in range(600))
    value = parse("f", ".yaml", f"all: &all {{{shared}}}\n{lines}").value
    assert {len(value[f"c{number}"]) for number in range(600)} == {31}


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".yaml", "[" * 1200),
        (".yaml", "[" * 101 + "]" * 101),
        (".yaml", "- [" * 101),
        (".yaml", "{a: " * 101),
        (".yaml", "- " * 1200),
        (".json", "[" * 9000),
        (".json", '{"a": ' + "[" * 101 + "]" * 101 + "}"),
        (".toml", f"a{'.a' * 800} = 1"),
        (".toml", f"[a{'.a' * 800}]"),
        (".yaml", "\n".join(f"{' ' * depth}a:" for depth in range(102)) + " {}"),
        (".yaml", "a: &a [*a]\n"),
        (".yaml", "a: &a {<<: *a}\n"),
    ],
)
def test_bottomless_nesting_is_refused(suffix: str, text: str) -> None:
    assert broken(text, suffix).startswith("f: nested too deeply")


def test_nesting_is_read_as_deep_as_anybody_writes_it() -> None:
    assert parse("f", ".yaml", "a: " + "[" * 100 + "]" * 100).value["a"] == json.loads(
        "[" * 100 + "]" * 100
    )


@pytest.mark.parametrize("text", ["a: <<\n", "a: [<<]\n"])
def test_the_merge_key_is_text_where_it_is_no_key(text: str) -> None:
    assert "<<" in str(parse("f", ".yaml", text).value)


def test_anchors_and_merges_work_and_the_nearer_value_wins() -> None:
    text = "a: &a {k: 1, l: 1}\nb: &b {l: 2, m: 2}\nc: {<<: [*a, *b], k: 3}\nd: *a\n"
    value = parse("f", ".yaml", text).value
    assert value["c"] == {"k": 3, "l": 1, "m": 2}
    assert value["d"] == value["a"]


def test_dates_in_yaml_stay_text() -> None:
    assert parse("f", ".yaml", "a: 2026-11-23\n").value == {"a": "2026-11-23"}


@pytest.mark.parametrize("name", ["f.json", "f.conf", "f"])
def test_json_may_be_indented_by_tabs_under_any_name(name: str) -> None:
    document = parse(name, name[1:], '{\n\t"a": {\n\t\t"b": 1}}')
    assert document.place(("a", "b")) == f"{name}:3:3: a.b"


def test_a_text_without_a_known_suffix_may_be_yaml() -> None:
    assert parse("f", "", "{a: 1}\n").value == {"a": 1}


def test_what_is_missing_stands_where_it_should_have_been() -> None:
    document = parse("f", ".yaml", "a:\n  b: [1, {c: 2}]\n")
    assert document.place(("a", "b", 1, "d", 0)) == "f:2:10: a.b[1].d[0]"
    assert document.place(("z",)) == "f:1:1: z"
    assert document.place(()) == "f:1:1"
