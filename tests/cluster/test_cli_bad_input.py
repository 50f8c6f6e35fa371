"""Bad input: one line that names the place and the mend, exit 1, and nobody was contacted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.command import SEED, Ending, call, untouched

Document = dict[str, Any]
TEXTS = {
    "empty": ("", ": the file is empty (write at least "),
    "no mapping": ("- vault\n", ":1:1: the top level must be a mapping of keys, not a list ("),
    "no YAML": ("storages: [\n", ":2:1: not YAML: "),
}


def ours(address: str, folder: Path) -> Document:
    return {
        "vault": {"address": f"http://{address}", "auth": {"method": "token", "token": "t"}},
        "schedule": {"every": "1h"},
        "retention": {"last": 3},
        "spool": str(folder),
        "storages": [{"type": "local", "path": str(folder / "snapshots")}],
    }


def the_seeds(address: str, folder: Path) -> Document:
    return {
        "addr": f"http://{address}",
        "retain": 3,
        "frequency": "1h",
        "role_id": "r",
        "secret_id": "s",
        "local_storage": {"path": str(folder / "snapshots")},
    }


def put(document: Document, path: str, value: Any) -> None:
    """Set a value; with `ADDRESS` in it, the one that is there goes in without its scheme."""
    *above, last = path.split(".")
    for key in above:
        document = document[int(key)] if key.isdecimal() else document.setdefault(key, {})  # type: ignore[index]
    if value == "MISSING":
        del document[last]
        return
    document[last] = document[last].removeprefix("http://") if value == "ADDRESS" else value


BAD: list[tuple[Callable[[str, Path], Document], str, Any, str]] = [
    (ours, "vault.address", "ADDRESS", "is not an address: write it with its scheme, such as"),
    (ours, "vault.proxy", "proxy.example:3128", "'proxy.example:3128' is not the URL of a proxy"),
    (ours, "vault.proxy", "env://HOME", "is not the URL of a proxy"),
    (ours, "vault.auth.token", "env://NOBODY", "environment variable NOBODY is missing or empty"),
    (ours, "vault.tls.ca_file", "/nonexistent", "cannot read /nonexistent: No such file"),
    (ours, "vault.auth.method", "approl", "unknown method 'approl' (did you mean 'approle'"),
    (ours, "schedule.every", "0s", "must be longer than zero (write it like 30s, 1h30m, 7d)"),
    (ours, "schedule.every", "-1h", "'-1h' is negative (write it like 30s, 1h30m, 7d)"),
    (ours, "schedule.every", "1x", "'1x' is not a duration such as 30s, 1h30m or 7d"),
    (ours, "retention.last", -1, "must be 0 or more"),
    (ours, "retention.last", "many", "must be a whole number"),
    (ours, "storage", [], "unknown key (did you mean 'storages'?)"),
    (ours, "storages", {}, "is empty (give it a value, or leave it out)"),
    (ours, "vault.address", None, "has no value (give it a value, or leave it out)"),
    (ours, "storages.0.pth", "/x", "unknown key (did you mean 'path'?)"),
    (ours, "storages.0.type", "tape", "unknown type 'tape' (one of azure, gcs, local, s3,"),
    (ours, "storages.0.path", "/dev/null/x", "storage folder /dev/null/x cannot be written: "),
    (ours, "spool", "/dev/null", "the spool's folder /dev/null cannot be written: "),
    (the_seeds, "addr", "ADDRESS", "is not an address: write it with its scheme, such as"),
    (the_seeds, "retain", -1, "must be 0 or more"),
    (the_seeds, "frequency", "0s", "must be longer than zero (write it like 30s, 1h30m, 7d)"),
    (the_seeds, "frequency", "-1h", "'-1h' is negative (write it like 30s, 1h30m, 7d)"),
    (the_seeds, "frequency", "1x", "'1x' is not a duration such as 30s, 1h30m or 7d"),
    (the_seeds, "ftp_storage", {}, "unknown key (one of addr, "),
    (the_seeds, "local_storage.path", "/dev/null/x", "cannot be written: "),
]


def is_one_line_and_a_local_failure(ended: Ending) -> None:
    assert ended.code == 1
    assert ended.data == b""
    assert "Traceback" not in ended.error


@pytest.mark.parametrize(("dialect", "path", "value", "words"), BAD)
def test_a_bad_value_stops_the_daemon_before_it_starts(
    tmp_path: Path,
    dialect: Callable[[str, Path], Document],
    path: str,
    value: Any,
    words: str,
) -> None:
    file = tmp_path / "agent.json"
    with untouched() as address:
        document = dialect(address, tmp_path)
        put(document, path, value)
        file.write_text(json.dumps(document, indent=2))
        if dialect is ours:
            ended = call("run", "-c", file, env={"TMPDIR": str(tmp_path)})
        else:
            ended = call(file, program=SEED, env={"TMPDIR": str(tmp_path)})

    is_one_line_and_a_local_failure(ended)
    where, _, why = ended.error.removeprefix(f"error: {file}:").partition(": ")
    line, column = map(int, where.split(":"))
    key = path.rpartition(".")[2]
    assert f'"{key}"' in file.read_text().splitlines()[line - 1][column - 1 :]
    assert words in why


@pytest.mark.parametrize("what", TEXTS)
@pytest.mark.parametrize("arguments", [["run"], ["config", "check"]], ids=" ".join)
def test_a_file_that_is_no_configuration_is_refused(
    tmp_path: Path, arguments: list[str], what: str
) -> None:
    file = tmp_path / "agent.yaml"
    text, words = TEXTS[what]
    file.write_text(text)

    ended = call(*arguments, "-c", file)

    is_one_line_and_a_local_failure(ended)
    assert ended.error.startswith(f"error: {file}{words}")


@pytest.mark.parametrize("arguments", [["run"], ["run", "--once"], ["save"], ["list"], ["prune"]])
def test_a_configuration_that_cannot_be_read_is_named(tmp_path: Path, arguments: list[str]) -> None:
    ended = call(*arguments, "-c", tmp_path)

    is_one_line_and_a_local_failure(ended)
    assert (
        f"cannot read the configuration {tmp_path}: Is a directory (check the path" in ended.error
    )


def test_without_any_configuration_the_places_are_named(tmp_path: Path) -> None:
    ended = call("list", cwd=tmp_path)

    is_one_line_and_a_local_failure(ended)
    assert "/etc/raft-snapshot-agent/config.yaml" in ended.error
    assert "(give one with --config, " in ended.error


COMMANDS = [
    ["run", "--once"],
    ["save"],
    ["save", "FILE"],
    ["save", "-"],
    ["restore", "--yes", "FILE"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("vault.auth.token", "env://NOBODY", "environment variable NOBODY is missing or empty"),
        ("vault.auth", "MISSING", "no login is configured (set vault.auth, or BAO_TOKEN or"),
    ],
)
def test_a_missing_secret_is_found_before_anybody_is_asked(
    tmp_path: Path, arguments: list[str], path: str, value: Any, words: str
) -> None:
    file, snapshot = tmp_path / "agent.json", tmp_path / "vault.snap"
    told = [str(snapshot) if one == "FILE" else one for one in arguments]
    with untouched() as address:
        document = ours(address, tmp_path)
        put(document, path, value)
        file.write_text(json.dumps(document, indent=2))
        ended = call(*told, "-c", file)

    is_one_line_and_a_local_failure(ended)
    assert words in ended.error


@pytest.mark.parametrize("command", ["save", "list", "prune"])
def test_a_storage_nobody_knows_is_refused_with_those_there_are(
    tmp_path: Path, command: str
) -> None:
    file = tmp_path / "agent.json"
    with untouched() as address:
        file.write_text(json.dumps(ours(address, tmp_path)))
        ended = call(command, "-c", file, "--storage", "cloud")

    is_one_line_and_a_local_failure(ended)
    assert "no storage is called 'cloud' (there are: local)" in ended.error


@pytest.mark.parametrize("command", ["run", "save", "list", "verify", "prune"])
def test_no_storage_at_all_is_refused(tmp_path: Path, command: str) -> None:
    file = tmp_path / "agent.json"
    with untouched() as address:
        document = ours(address, tmp_path)
        del document["storages"]
        file.write_text(json.dumps(document))
        ended = call(command, "-c", file)

    is_one_line_and_a_local_failure(ended)
    assert "no storage is configured (add one: " in ended.error


def test_an_address_in_the_environment_is_checked_too() -> None:
    with untouched() as address:
        ended = call("save", "-", env={"VAULT_ADDR": address, "VAULT_TOKEN": "t"})

    is_one_line_and_a_local_failure(ended)
    assert f"'{address}' is not an address: write it with its scheme" in ended.error
