"""What is said of a stored snapshot when readings of it fail, and what that costs it: nothing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.faults.site import PREFIX, Ending, Site, in_process, oldest_first
from tests.lying import Behaviour, Exchange, Request, S3Faults, status

from raft_snapshot_agent.core.snapshots.naming import catalogue, manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import Condemnation
from raft_snapshot_agent.storage.http import download

pytestmark = pytest.mark.usefixtures("server")

DAY = timedelta(days=1)


def at(site: Site, *arguments: str) -> Ending:
    return in_process(*arguments, "-c", str(site.configuration()))


def old_time(days: int) -> datetime:
    return datetime.now(UTC) - days * DAY


@pytest.fixture
def stored(site: Site, s3: S3Faults) -> Iterator[str]:
    """The name of the newest of two snapshots in the bucket alone, behind the proxy."""
    site.s3["endpoint"] = s3.address
    site.more |= {"storages": [site.s3], "retention": {"last": 5}}
    for _ in range(2):
        assert site.run_once().code == 0
    return iter([oldest_first(site.objects())[-1]])


@pytest.fixture
def name(stored: Iterator[str]) -> str:
    return next(stored)


def reads(name: str) -> Callable[[Request], bool]:
    return lambda request: request.method == "GET" and request.path.endswith(name)


def altered(change: Callable[[bytes], bytes]) -> Behaviour:
    """Answer with other bytes, and a length that fits them."""

    def behave(exchange: Exchange) -> None:
        response = exchange.forward()
        body = change(response.read())
        headers = [(key, value) for key, value in response.getheaders() if key != "Content-Length"]
        exchange.answer(response.status, [*headers, ("Content-Length", str(len(body)))], body)

    return behave


def flipped(at: int) -> Behaviour:
    def flip(body: bytes) -> bytes:
        destination = len(body) // 2 + at
        return body[:destination] + bytes([body[destination] ^ 1]) + body[destination + 1 :]

    return altered(flip)


def cut(exchange: Exchange) -> None:
    """End the connection in the middle of the body."""
    response = exchange.forward()
    body = response.read()
    exchange.begin(response.status, response.getheaders())
    exchange.send(body[: len(body) // 2])
    exchange.cut()


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Treat one request after the other so, and begin anew."""
    turn = itertools.cycle(behaviours)

    def behave(exchange: Exchange) -> None:
        next(turn)(exchange)

    return behave


def notes(site: Site) -> list[str]:
    return [name for name in site.objects() if name.endswith((".broken", ".mismatch"))]


def lay(site: Site, name: str, content: bytes) -> None:
    site.client.put_object(Bucket=site.bucket, Key=PREFIX + name, Body=content)


def spoil(site: Site, name: str) -> bytes:
    """Damage what is stored; return how it was."""
    content = site.objects()[name]
    lay(site, name, content[:-100])
    return content


def condemn(site: Site, name: str, since: datetime | None) -> None:
    note = Condemnation("somebody says so", since)
    lay(site, f"{name}.broken", note.to_json() if since else b"")


# One look condemns nothing.


@pytest.mark.parametrize("behaviour", [flipped(0), cut, altered(lambda body: body[:-100])])
def test_one_reading_that_goes_wrong_is_read_again(
    site: Site, s3: S3Faults, name: str, behaviour: Behaviour
) -> None:
    before = site.names()[1]
    s3.behave(reads(name), behaviour, times=1)

    ended = at(site, "verify", "--all")

    assert ended.code == 0, ended.said
    assert "broken " not in ended.said.replace("is broken", "")
    assert notes(site) == []
    assert site.run_once().code == 0
    assert set(before) < set(site.names()[1])


@pytest.mark.parametrize("command", ["inspect", "fetch"])
def test_no_command_trusts_one_bad_reading(
    site: Site, s3: S3Faults, name: str, command: str
) -> None:
    s3.behave(reads(name), flipped(0), times=1)

    more = ["-o", str(site.root)] if command == "fetch" else []
    assert at(site, command, name, *more).code == 0


@pytest.mark.parametrize(
    "behaviours",
    [
        [flipped(0), flipped(1)],  # they differ
        [cut, cut, cut, cut],
        [altered(lambda body: body[:-100])] * 2,  # fewer than are listed
    ],
)
def test_what_cannot_be_read_twice_alike_is_unreadable(
    site: Site,
    s3: S3Faults,
    name: str,
    behaviours: list[Behaviour],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(download, "_WAITS", (0.01,) * 3)
    s3.behave(reads(name), in_turn(*behaviours))

    for command in (["verify", name], ["inspect", name], ["fetch", name, "-o", str(site.root)]):
        ended = at(site, *command)
        assert ended.code == 2, ended.said
        assert "the snapshot is broken" not in ended.said or "two readings differ" in ended.said
    assert "unreadable" in at(site, "verify", name).said
    assert notes(site) == []


def test_the_second_reading_goes_over_another_connection(
    site: Site, s3: S3Faults, name: str
) -> None:
    spoil(site, name)
    peers: list[object] = []

    def noted(exchange: Exchange) -> None:
        peers.append(exchange._handler.client_address)
        exchange.relay(exchange.forward())

    s3.behave(reads(name), noted)

    assert at(site, "verify", name).code == 4
    assert len(set(peers)) == len(peers) == 2


# What two readings condemn.


def test_what_is_broken_is_kept_aside_named_and_forgiven(site: Site, name: str) -> None:
    content = spoil(site, name)

    ended = at(site, "verify", "--all")

    assert ended.code == 4
    assert "broken" in ended.said
    assert notes(site) == [f"{name}.broken"]
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert f"broken since {today}" in at(site, "list").said
    site.more["retention"] = {"last": 1}
    for _ in range(2):
        ended = site.run_once()
        assert ended.code == 0
        (told,) = ended.of_level("warning")
        assert f"marked as broken, not counted for retention: {name}" in told
    assert name in site.objects()
    assert f"broken since {today}" in at(site, "prune", "--dry-run").said
    first = site.objects()[f"{name}.broken"]
    assert at(site, "verify", name).code == 4
    assert site.objects()[f"{name}.broken"] == first, "it is broken since then"

    lay(site, name, content)
    assert at(site, "inspect", name).code == 0
    assert notes(site) == []
    assert site.run_once().of_level("warning") == []


def test_an_empty_one_is_called_empty_as_in_the_list(site: Site) -> None:
    empty = "raft_snapshot-1767225600000000000.snap"  # as the original left them
    lay(site, empty, b"")
    (told,) = site.run_once().of_level("warning")
    assert f"empty, not counted for retention: {empty}" in told
    assert "marked as broken" not in told
    assert " empty " in next(line for line in at(site, "list").said.splitlines() if empty in line)


def test_the_broken_one_goes_when_its_time_is_over_and_it_still_is(site: Site, name: str) -> None:
    site.more["retention"] = {"last": 5, "keep_broken": "7d"}
    spoil(site, name)
    condemn(site, name, old_time(6))
    assert site.run_once().code == 0
    assert name in site.objects()
    condemn(site, name, old_time(8))
    assert "two more reads" in at(site, "prune", "--dry-run").said

    ended = site.run_once()

    assert ended.code == 0
    assert f"Deleted old snapshot {name}" in ended.said
    assert not [one for one in site.objects() if one.startswith(name)]


@pytest.mark.parametrize("since", [None, old_time(400), datetime(1970, 1, 1, tzinfo=UTC)])
def test_a_note_alone_deletes_nothing(site: Site, name: str, since: datetime | None) -> None:
    condemn(site, name, since)

    ended = site.run_once()

    assert ended.code == 0
    assert f"{name} was marked as broken, but is whole: it counts again" in ended.said
    assert name in site.objects()
    assert notes(site) == []


def test_a_note_that_does_not_tell_since_when_begins_its_time_now(site: Site, name: str) -> None:
    spoil(site, name)
    condemn(site, name, None)

    assert site.run_once().code == 0

    assert name in site.objects()
    note = Condemnation.from_json(site.objects()[f"{name}.broken"])
    assert note.since
    assert datetime.now(UTC) - note.since < DAY


def test_notes_beside_the_whole_history_and_one_junk_snapshot(site: Site, name: str) -> None:
    """What whoever may only create objects can do."""
    site.more["retention"] = {"last": 1}
    real = site.names()[1]
    for one in real:
        lay(site, f"{one}.broken", b"")
    lay(site, f"raft-snapshot-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-i999999.snap", b"x")

    for _ in range(3):
        assert at(site, "prune").code == 0

    assert real[-1] in site.objects()


@pytest.mark.parametrize("behaviour", [cut, flipped(0)])
def test_what_cannot_be_read_when_its_time_is_over_stays(
    site: Site, s3: S3Faults, name: str, behaviour: Behaviour
) -> None:
    condemn(site, name, old_time(99))
    s3.behave(reads(name), in_turn(behaviour, cut))

    ended = site.run_once()

    assert ended.code == 0
    assert name in site.objects()
    assert f"{name} was marked as broken: " in ended.said


def test_by_hand_it_goes_at_once_but_only_if_it_is_broken(site: Site, name: str) -> None:
    other = site.names()[1][0]
    assert site.run_once().code == 0
    spoil(site, other)
    assert at(site, "verify", other).code == 4
    condemn(site, name, old_time(0))
    lay(site, "raft-snapshot-20260101T000000Z-i1.snap", b"")

    tried = at(site, "prune", "--broken", "--dry-run")
    assert tried.said.count("two more reads") == 3
    assert other in site.objects()
    ended = at(site, "prune", "--broken")

    assert ended.code == 0, ended.said
    assert ended.said.count("two more reads confirmed it") == 2
    assert ended.said.count("not deleted now: see the warning") == 1
    assert "deleted if two more reads confirm it" not in ended.said
    assert not [one for one in site.objects() if one.startswith(other)]
    assert "raft-snapshot-20260101T000000Z-i1.snap" not in site.objects()
    assert name in site.objects()


def test_a_broken_one_that_cannot_be_deleted_is_an_error(
    site: Site, s3: S3Faults, name: str
) -> None:
    assert site.run_once().code == 0
    spoil(site, name)
    assert at(site, "verify", name).code == 4
    refusal = status(403, b"<Error><Code>AccessDenied</Code></Error>")
    s3.behave(lambda asked: asked.method == "DELETE" and asked.path.endswith(name), refusal)

    ended = at(site, "prune", "--broken")

    assert ended.code == 2, ended.said
    assert f"{name} is broken, but was not deleted: " in ended.said
    assert "0 deleted, 1 could not be deleted" in ended.said
    assert "not deleted now: see the warning" in ended.said
    assert manifest_name(name) in site.objects()


def test_one_of_which_only_the_manifest_is_left_is_told_by_verify(site: Site, name: str) -> None:
    assert site.run_once().code == 0
    spoiled = site.objects()
    site.client.delete_object(Bucket=site.bucket, Key=PREFIX + name)

    ended = at(site, "verify", "--all")

    assert ended.code == 4
    assert "missing" in ended.said
    assert f"raft-snapshot-agent copy {name} --from OTHER_STORAGE" in ended.said
    assert spoiled.keys() - site.objects().keys() == {name}


def test_the_newest_is_not_deleted_however_broken(site: Site, name: str) -> None:
    spoil(site, name)
    condemn(site, name, old_time(99))

    assert at(site, "prune", "--broken").code == 0

    assert name in site.objects(), "nothing that counts is newer"


# Whole, but not what it is said to be.


def test_a_newest_that_was_cut_is_told_without_reading_it(site: Site, name: str) -> None:
    sizes = {key: len(content) for key, content in site.objects().items()}
    name = catalogue(sizes.items())[0].name
    lay(site, name, site.objects()[name][:1000])

    assert at(site, "check").code in {1, 2}
    for command in ("list", "check", "status", "doctor"):
        assert "its manifest" in at(site, command).said

    assert site.run_once().code == 0, "the next one is whole, and ends it"
    assert at(site, "check").code == 0


def test_a_manifest_that_does_not_fit_is_told_and_the_snapshot_kept(site: Site, name: str) -> None:
    site.more["retention"] = {"last": 1}
    manifest = json.loads(site.objects()[manifest_name(name)])
    lay(site, manifest_name(name), json.dumps(manifest | {"sha256": "0" * 64}).encode())

    ended = at(site, "verify", "--all")

    assert ended.code == 4
    assert "mismatch" in ended.said
    assert notes(site) == [f"{name}.mismatch"]
    assert "mismatch" in at(site, "list").said
    for _ in range(3):
        ended = site.run_once()
        assert any("not what their manifests describe" in one for one in ended.of_level("warning"))
    assert at(site, "prune", "--broken").code == 0
    assert name in site.objects()
    assert at(site, "fetch", name, "-o", str(site.root)).code == 4

    lay(site, manifest_name(name), json.dumps(manifest).encode())
    assert at(site, "verify", "--all").code == 0
    assert notes(site) == []


def test_an_old_snapshot_under_a_new_name_is_no_whole_one(site: Site, name: str) -> None:
    """With a manifest that was edited to fit the name."""
    forged = f"raft-snapshot-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-i999999-abcdef.snap"
    manifest = json.loads(site.objects()[manifest_name(name)])
    lay(site, forged, site.objects()[name])
    lay(
        site,
        manifest_name(forged),
        json.dumps(manifest | {"snapshot": forged, "index": 999999}).encode(),
    )

    ended = at(site, "verify", forged)

    assert ended.code == 4
    assert "its name says index 999999" in ended.said


def test_a_damaged_local_file_is_read_twice_too(site: Site) -> None:
    site.more |= {"storages": [site.local], "retention": {"last": 5}}
    for _ in range(2):
        assert site.run_once().code == 0
    path = site.folder / site.names()[0][-1]
    content = path.read_bytes()
    path.write_bytes(content[:5000] + b"\x00\x01" + content[5002:])

    assert at(site, "verify", "--all").code == 4
    assert path.with_name(f"{path.name}.broken").exists()
    path.write_bytes(content)
    assert at(site, "fetch", path.name, "-o", str(site.root)).code == 0
    assert not path.with_name(f"{path.name}.broken").exists()
