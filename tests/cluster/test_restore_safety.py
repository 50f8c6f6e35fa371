"""A restore has a net: it makes a way back first, and nothing is touched where it is refused."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cluster.command import Terminal, call
from tests.cluster.field import Field, marked, opened
from tests.http_proxy import Exchange, status
from tests.lying import SNAPSHOT_PATH

from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.notes import GUARD_NAME, RESTORED_NAME
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Sidecar

SEAL_STATUS, LEADER = "/v1/sys/seal-status", "/v1/sys/leader"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """One node, and storages that keep one snapshot only."""
    for there in opened(tmp_path_factory.mktemp("one"), 1):
        there.retention = {"last": 1}
        yield there


@pytest.fixture(scope="module")
def snapshot(one: Field, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of `one` in a file, with no manifest beside it."""
    file = tmp_path_factory.mktemp("file") / "one.snap"
    assert call("save", file, "-c", one.configuration()).code == 0
    return file


def held(there: Field) -> list[str]:
    notes = (there.folder / "snapshots").glob(f"*{Sidecar.HOLD}")
    return sorted(note.name.removesuffix(Sidecar.HOLD) for note in notes)


def words_of(line: str) -> list[str]:
    """The command that a line tells, without the program."""
    command = line.partition("raft-snapshot-agent ")[2].partition(" (")[0]
    return shlex.split(command)


# The way back.


def test_what_was_replaced_comes_back_by_the_command_that_was_told(one: Field) -> None:
    marker = marked(one.cluster, "before")
    wanted = one.save()
    one.cluster.write_secret(marker, {"value": "after"})

    ended = one.restore(wanted.name, "--yes")

    assert ended.code == 0, ended.talk
    (safety,) = held(one)
    folder = one.folder / "snapshots"
    assert {path.name for path in one.snapshots()} >= {wanted.name, safety}  # despite last: 1
    assert (folder / f"{safety}.json").exists()
    assert f"Safety snapshot: {safety} (index " in ended.talk
    assert ") in local, held against retention." in ended.talk
    (way_back,) = (line for line in ended.talk.splitlines() if line.startswith("To undo: "))
    command = words_of(way_back)
    assert command[:2] == ["restore", safety]
    assert one.cluster.read_secret(marker) == {"value": "before"}

    back = call(*command, "--yes", "--no-safety", env=one.operator)

    assert back.code == 0, back.talk
    assert "Safety snapshot: none, the restore cannot be undone." in back.talk
    assert one.cluster.read_secret(marker) == {"value": "after"}
    assert not (folder / GUARD_NAME).exists()
    one.save()
    assert (folder / safety).exists()  # held
    assert call("release", safety, "-c", one.configuration()).code == 0


def test_where_there_is_no_way_back_nothing_is_restored(
    one: Field, snapshot: Path, tmp_path: Path
) -> None:
    document = json.loads(one.configuration().read_text())
    (tmp_path / "full").write_text("no folder")
    nowhere = {"type": "local", "path": str(tmp_path / "full" / "x")}
    file = tmp_path / "agent.json"
    file.write_text(json.dumps({**document, "storages": [nowhere]}))
    before = one.sent()

    ended = call("restore", snapshot, "--yes", "-c", file, env=one.operator)

    assert ended.code == 2
    last = ended.talk.splitlines()[-1]
    assert last.startswith("error: no safety snapshot could be stored: local: ")
    assert "with --no-safety no safety snapshot is taken, and the restore cannot be undone)" in last
    assert one.sent() == before


@pytest.mark.parametrize("answer", ["no\n", ""], ids=["no", "Ctrl-C"])
def test_a_no_leaves_nothing_held(one: Field, snapshot: Path, answer: str) -> None:
    before, wanted, note = one.sent(), one.save().name, one.restore_note()
    with Terminal("restore", snapshot, "-c", one.configuration(), env=one.operator) as terminal:
        terminal.shows(f"Type the cluster's name, {one.name}, to replace all it holds: ")
        assert len(held(one)) == 1
        if answer:
            terminal.type(answer)
        else:
            terminal.process.send_signal(signal.SIGINT)
        assert terminal.ended() == (1 if answer else 130)

    assert held(one) == []
    assert one.sent() == before
    assert one.restore_note() in {b"", note}
    latest = call("verify", "--latest", "-c", one.configuration())
    assert wanted in latest.text, "the same as before, and not what was to be replaced"
    assert call("prune", "-c", one.configuration()).code == 0
    assert (one.folder / "snapshots" / wanted).exists()  # despite last: 1 and a newer one


def test_a_refusal_names_the_setting_and_leaves_nothing_behind(one: Field, snapshot: Path) -> None:
    marker, note = marked(one.cluster, "untouched"), one.restore_note()
    why = {"errors": ["failed to read snapshot file: read tcp 1:2->3:4: i/o timeout"]}
    one.before(one.cluster.nodes[0]).behave(SNAPSHOT_PATH, status(500, why), times=1)

    ended = one.restore(snapshot, "--yes")

    assert ended.code == 2
    last = ended.talk.splitlines()[-1]
    assert "i/o timeout; nothing was changed (" in last
    assert "raise http_read_timeout in the listener" in last
    assert held(one) == []
    assert one.restore_note() in {b"", note}
    assert one.cluster.read_secret(marker) == {"value": "untouched"}


# What is refused before anything is taken or sent.


def test_an_older_server_is_refused(one: Field, snapshot: Path) -> None:
    proxy = one.before(one.cluster.nodes[0])
    told = {**one.cluster.nodes[0].seal_status(), "version": "2.1.0"}
    proxy.override(SEAL_STATUS, 200, told)
    try:
        ended = one.refuses(1, f"{proxy.address} runs version 2.1.0, and the snapshot", snapshot)
    finally:
        proxy.behave(SEAL_STATUS, lambda exchange: exchange.relay(exchange.forward()))

    assert "taken from 2." in ended.talk
    assert "(upgrade every node to 2." in ended.talk


def test_unseal_keys_that_are_none_are_refused_at_once(one: Field, snapshot: Path) -> None:
    keys = ("--force", "--unseal-key")
    one.refuses(1, "--unseal-key is not a reference", snapshot, *keys, "plain")
    one.refuses(1, "environment variable OTHER is missing", snapshot, *keys, "env://OTHER")


def test_a_sealed_target_is_refused(one: Field, snapshot: Path) -> None:
    proxy = one.before(one.cluster.nodes[0])
    behaviour = one.as_seen[LEADER]
    proxy.override(LEADER, 503, {"errors": ["Vault is sealed"]})
    try:
        one.refuses(2, f"{proxy.address} is sealed", snapshot)
    finally:
        proxy.behave(LEADER, behaviour)


def test_a_standby_that_tells_no_leader_is_refused(one: Field, snapshot: Path) -> None:
    proxy = one.before(one.cluster.nodes[0])
    behaviour = one.as_seen[LEADER]
    proxy.override(LEADER, 200, {"ha_enabled": True, "is_self": False, "leader_address": ""})
    try:
        one.refuses(2, "the cluster has no leader", snapshot)
    finally:
        proxy.behave(LEADER, behaviour)


def test_several_of_one_moment_are_named_and_none_is_restored(one: Field) -> None:
    there = one.save()
    index = int(there.name.partition("-i")[2].partition("-")[0])
    other = there.with_name(there.name.replace(f"-i{index}-", f"-i{index + 1}-"))
    told = there.with_name(manifest_name(there.name)).read_text()
    other.write_bytes(there.read_bytes())
    beside = other.with_name(manifest_name(other.name))
    manifest = Manifest.from_json(told.encode())
    # Another of the same second, by what it tells: neither a copy nor one that disagrees.
    agreeing = replace(manifest, snapshot=other.name, index=manifest.index + 1, sha256="b" * 64)
    beside.write_bytes(agreeing.to_json())
    try:
        ended = one.refuses(1, "2 snapshots were taken at", "--at", "2999-01-01T00:00:00Z")
    finally:
        other.unlink()
        beside.unlink()

    assert f"{there.name}, {other.name} (give the name of the one you mean)" in ended.talk


def test_what_is_not_there_ends_with_what_is(one: Field) -> None:
    there = one.save()
    wrong = there.name.replace("-i", "-i9")
    ended = one.refuses(2, f"no snapshot is called {wrong}", wrong)
    assert f"nearest: {there.name}" in ended.talk
    one.refuses(2, "no snapshot was taken at 2020-01-01", "--at", "2020-01-01T00:00:00Z")
    one.refuses(1, "--latest and --at cannot be combined", "--latest", "--at", "2020-01-01")
    one.refuses(1, "--wait", there.name, "--wait", "soon")


def test_a_refusal_leaves_the_note_of_the_restore_before_it(one: Field, snapshot: Path) -> None:
    note = one.folder / "snapshots" / RESTORED_NAME
    assert one.restore(snapshot, "--yes", "--no-safety").code == 0
    left = note.read_bytes()
    one.before(one.cluster.nodes[0]).behave(SNAPSHOT_PATH, status(500, {}), times=1)

    refused = one.restore(snapshot, "--yes", "--no-safety")

    assert refused.code == 2, refused.talk
    assert note.read_bytes() == left
    note.unlink()


def test_a_note_that_is_taken_away_during_the_upload_is_left_again(
    one: Field, snapshot: Path
) -> None:
    """By another restore that is refused."""
    note = one.folder / "snapshots" / RESTORED_NAME

    def take_away(exchange: Exchange) -> None:
        note.unlink()
        exchange.relay(exchange.forward())

    one.before(one.cluster.nodes[0]).behave(SNAPSHOT_PATH, take_away, times=1)

    assert one.restore(snapshot, "--yes", "--no-safety").code == 0
    assert note.exists()
    note.unlink()
