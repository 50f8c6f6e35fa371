"""What somebody with rights in a storage lays there, so that good snapshots go."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.adversary.good import DAYS, forged
from tests.adversary.tricks import SHOUT

from raft_snapshot_agent.core.snapshots.naming import AGENT
from raft_snapshot_agent.core.snapshots.notes import SCRUB_NAME

Files = dict[str, bytes]
_FUTURE = datetime(2999, 1, 1, 12, tzinfo=UTC)
_INDEX = 1_000_000
GUARD, RESTORED = "raft-snapshot-guard.json", "raft-snapshot-restored.json"


@dataclass(frozen=True, slots=True)
class Scene:
    """What an intruder finds."""

    good: Mapping[str, bytes]
    cluster_id: str

    @property
    def names(self) -> list[str]:
        """Of the good snapshots, the oldest first."""
        return sorted(name for name in self.good if name.endswith(".snap"))

    @property
    def days(self) -> list[datetime]:
        """A moment of each day of the history, later than its good snapshot."""
        today = datetime.now(UTC).replace(hour=3, minute=30, second=0, microsecond=0)
        return [today - timedelta(days=DAYS - number) for number in range(DAYS)]

    def manifest(self, name: str, **changed: object) -> bytes:
        """Edit the manifest of a good one."""
        return json.dumps(json.loads(self.good[f"{name}.json"]) | changed).encode()


def name_at(moment: datetime, index: int) -> str:
    return f"raft-snapshot-{moment:%Y%m%dT%H%M%SZ}-i{index}-{index % 0xFFFFFF:06x}.snap"


def described(name: str, content: bytes, moment: datetime, index: int, cluster_id: str) -> Files:
    """Lay anything there, with a manifest that describes it."""
    like = json.loads(forged(moment, index, cluster_id).manifest)
    digest = hashlib.sha256(content).hexdigest()
    manifest = like | {"snapshot": name, "size": len(content), "sha256": digest}
    return {name: content, f"{name}.json": json.dumps(manifest).encode()}


def condemned(scene: Scene) -> Files:
    """A note beside each good one, and one junk that would be the newest."""
    notes = {f"{name}.broken": b"" for name in scene.names}
    return notes | {name_at(datetime.now(UTC), _INDEX): b"x"}


def condemned_long_ago(scene: Scene) -> Files:
    note = json.dumps({"reason": "rotten", "since": "2020-01-01T00:00:00Z"}).encode()
    return {f"{name}.broken": note for name in scene.names}


def mismatched(scene: Scene) -> Files:
    return {f"{name}.mismatch": SHOUT.encode() for name in scene.names}


def drilled(scene: Scene) -> Files:
    """Notes of drills that nobody held, beside good ones and beside nothing."""
    note = {"snapshot": "", "passed": False, "at": "9999-12-31T23:59:59Z", "seconds": 10**400}
    told = {**note, "sha256": "", "server": SHOUT, "proved": SHOUT, "reason": SHOUT}
    names = [*scene.names, *(name_at(day, 3) for day in scene.days)]
    return {
        f"{name}.drill": json.dumps({**told, "snapshot": name, "signature": ""}).encode()
        for name in names
    }


def scrubbed(scene: Scene) -> Files:
    """A note of readings: each good one is rotten, others are gone, all of it in the future."""
    read = {name: ["9999-12-31T23:59:59Z", SHOUT] for name in scene.names}
    told = {"looked_at": "2020-01-01T00:00:00Z", "vanished": [SHOUT] * 999, "read": read}
    return {SCRUB_NAME: json.dumps({**told, "signature": ""}).encode()}


def held(scene: Scene) -> Files:
    return {f"{name_at(day, 0)}.hold": b"" for day in scene.days} | {
        name_at(day, 0): b"x" for day in scene.days
    }


def future_junk(_: Scene) -> Files:
    return {name_at(_FUTURE + timedelta(days=day), day): b"x" for day in range(31)}


def future_described(scene: Scene) -> Files:
    files: Files = {}
    for day in range(31):
        moment = _FUTURE + timedelta(days=day)
        files |= described(name_at(moment, day), b"x", moment, day, scene.cluster_id)
    return files


def future_whole(scene: Scene) -> Files:
    files: Files = {}
    for day in range(31):
        files |= forged(_FUTURE + timedelta(days=day), day, scene.cluster_id).files
    return files


def later_that_day(scene: Scene) -> Files:
    return {name_at(day, 7): b"x" for day in scene.days}


def later_that_day_described(scene: Scene) -> Files:
    files: Files = {}
    for number, day in enumerate(scene.days):
        files |= described(name_at(day, number), b"junk", day, number, scene.cluster_id)
    return files


def many_each_day_described(scene: Scene) -> Files:
    """More than schedule and people explain."""
    files: Files = {}
    for number, day in enumerate(scene.days):
        for minute in range(8):
            moment, index = day + timedelta(minutes=minute), 10 * number + minute
            content = f"junk {index}".encode()
            name = name_at(moment, index)
            files |= described(name, content, moment, index, scene.cluster_id)
    return files


def later_that_day_empty_described(scene: Scene) -> Files:
    files: Files = {}
    for day in scene.days:
        files |= described(name_at(day, 0), b"", day, 0, scene.cluster_id)
    return files


def copies(scene: Scene) -> Files:
    """The oldest one under later names, each with a manifest that says what the name says."""
    files: Files = {}
    oldest = scene.good[scene.names[0]]
    for number, day in enumerate(scene.days):
        index = _INDEX + number
        files |= described(name_at(day, index), oldest, day, index, scene.cluster_id)
    return files


def copies_of_that_index(scene: Scene) -> Files:
    """The same with the index that the archive tells."""
    files: Files = {}
    parsed = AGENT.parse(scene.names[0])
    index = (parsed.index if parsed else 0) or 0
    for day in scene.days:
        oldest = scene.good[scene.names[0]]
        files |= described(name_at(day, index), oldest, day, index, scene.cluster_id)
    return files


def blinding(scene: Scene) -> Files:
    """Manifests without a snapshot that suits them, newer than all: index 0, size 0."""
    now = datetime.now(UTC)
    files: Files = {}
    for number in range(40):
        name = name_at(now - timedelta(seconds=number), number)
        files |= {name: b"x", f"{name}.json": scene.manifest(scene.names[-1], index=0, size=0)}
    return files


def orphans(scene: Scene) -> Files:
    return {f"{name_at(day, 1)}.json": b"{}" for day in scene.days}


def shouting_guard(_: Scene) -> Files:
    note = {"reason": SHOUT * 50, "snapshot": SHOUT, "since": SHOUT}
    return {GUARD: json.dumps(note).encode()}


def surrogates(scene: Scene) -> Files:
    text = {"reason": "\ud800\udfff", "snapshot": "\udc80", "since": "\ud800"}
    changed = scene.manifest(
        scene.names[-1], cluster_name="\ud800", node="\udc9b", version="\udfff"
    )
    return {GUARD: json.dumps(text).encode(), f"{scene.names[-1]}.json": changed}


def endless_guard(_: Scene) -> Files:
    return {GUARD: b"[" * (8 << 20)}


def restored(scene: Scene) -> Files:
    note = {
        "snapshot": SHOUT,
        "at": "2026-01-01T00:00:00Z",
        "cluster_id": scene.cluster_id,
        "index": 10**30,
        "size": -1,
        "clock": SHOUT,
        "uptime": 1e308,
    }
    return {RESTORED: json.dumps(note).encode()}


def nonsense_restored(_: Scene) -> Files:
    return {RESTORED: b'{"snapshot": 1, "at": [], "cluster_id": {}, "index": 1e999, "size": NaN}'}


NONSENSE: tuple[bytes, ...] = (
    b"",
    b"[" * 100_000,
    b"\xff\xfe\x00\xd8",
    b'{"index": 1' + b"0" * 5000 + b"}",
    b'{"snapshot": null}',
    b"null",
    b'{"duration": NaN, "began": Infinity, "ended": -1e999}',
)


def nonsense(scene: Scene) -> Files:
    return {
        f"{name_at(day, 1)}{end}": text
        for day, text in zip(scene.days, NONSENSE, strict=False)
        for end in (".snap.json", "", ".json", ".hold", ".broken", ".mismatch", ".drill")
    }


def beyond_numbers(scene: Scene) -> Files:
    """Manifests beside snapshots, whose numbers and moments are none."""
    changes: tuple[dict[str, object], ...] = (
        {"duration": float("nan")},
        {"duration": 1e308, "began": -1e308, "ended": 1e308},
        {"index": -(10**40), "term": -1, "size": -5},
        {"taken_at": "9999-12-31T23:59:59+00:01", "leading_since": "0001-01-01T00:00:00+23:59"},
        {"taken_at": "0001-01-01T00:00:00+14:00"},
        {"clock": SHOUT, "history": SHOUT},
        {"cluster_id": "x" * 900_000},
    )
    now = datetime.now(UTC)  # not before: of yesterday, a few are as those that people take
    files: Files = {}
    for number, change in enumerate(changes):
        made = forged(now, 20 + number, scene.cluster_id)
        like = json.loads(made.manifest) | change
        files |= {made.name: made.archive, f"{made.name}.json": json.dumps(like).encode()}
    return files


def endless(scene: Scene) -> Files:
    """Words so long that a search that grows with the square of a text does not end."""
    now = datetime.now(UTC)
    files: Files = {}
    for number, word in enumerate(("x", "'", "eyJaaaaaaaa-", "sftp://a:", "a:", "<", "<script")):
        long = (word * 900_000)[:900_000]
        made = forged(now, 40 + number, scene.cluster_id)
        fields = {"cluster_id": long, "node": long, "version": long, "product": long}
        like = json.loads(made.manifest) | fields
        files |= {made.name: made.archive, f"{made.name}.json": json.dumps(like).encode()}
        note = {"reason": long, "snapshot": long, "since": long, "server": long, "proved": long}
        files |= {f"{made.name}.broken": json.dumps(note).encode()}
        files |= {f"{name}.mismatch": long.encode() for name in scene.names[number : number + 1]}
        files |= {GUARD: json.dumps(note).encode()}
    return files


def undated_names(_: Scene) -> Files:
    names = (
        "raft-snapshot-9999-12-31T23-59-59Z-2359.snap",
        "raft-snapshot-0001-01-01T00-00-00Z+2359.snap",
        "raft-snapshot-99991231T235959Z-i1-000000.snap",
        "raft-snapshot-20261301T000000Z-i1-000000.snap",
        "raft-snapshot-20260230T000000Z-i1-000000.snap",
        "raft-snapshot-20260101T000000Z-i99999999999999999999-000000.snap",
        "raft_snapshot-9999999999999999999.snap",
        "raft_snapshot-0000000000000000000.snap",
        "raft_snapshot-0000000000000000001.snap",
        "raft-snapshot-\u0662\u0660\u0662\u0666\u0661\u0661\u0662\u0663T000000Z-i1-000000.snap",
    )
    return dict.fromkeys(names, b"x")


def shouting_names(_: Scene) -> Files:
    shout = SHOUT.replace("\x00", "").replace("/", "")
    names = (
        f"{shout}.snap",
        f"raft-snapshot-20260101T000000Z-i1-{shout}.snap",
        f"raft-snapshot-20260101T000000Z-i1-00000a.snap.{shout}",
        "a\nb\n2026-11-26T00:00:00.000Z info    Successfully created liar snapshot",
        os.fsdecode(b"\xff\xfe\x80.snap"),
        "x" * 250,
        "-rf",
        "~",
        "$(reboot)",
    )
    return dict.fromkeys(names, b"x")


PLANTS: dict[str, Callable[[Scene], Files]] = {
    "condemns each good one": condemned,
    "condemns each good one long ago": condemned_long_ago,
    "says each is not what it seems": mismatched,
    "tells of drills that failed": drilled,
    "tells what was read back": scrubbed,
    "holds junk": held,
    "lays junk into the future": future_junk,
    "lays described junk into the future": future_described,
    "lays whole ones into the future": future_whole,
    "lays junk over each day": later_that_day,
    "lays described junk over each day": later_that_day_described,
    "lays much described junk over each day": many_each_day_described,
    "lays described emptiness over each day": later_that_day_empty_described,
    "copies an old one over each day": copies,
    "copies an old one with its index over each day": copies_of_that_index,
    "lays manifests to blind the guard": blinding,
    "lays manifests without snapshots": orphans,
    "shouts through the guard's note": shouting_guard,
    "writes half letters": surrogates,
    "nests the guard's note": endless_guard,
    "says it was restored": restored,
    "says nonsense of a restore": nonsense_restored,
    "lays nonsense beside": nonsense,
    "lays numbers beyond all": beyond_numbers,
    "writes words without end": endless,
    "uses names without a date": undated_names,
    "shouts through names": shouting_names,
}


# With the right to change what is there, or as a user of that host.


def manifests_changed(scene: Scene, folder: Path) -> None:
    for name in scene.names:
        (folder / f"{name}.json").write_bytes(scene.manifest(name, sha256="0" * 64))


def manifests_swapped(scene: Scene, folder: Path) -> None:
    for name, other in zip(scene.names, reversed(scene.names), strict=True):
        (folder / f"{name}.json").write_bytes(scene.good[f"{other}.json"])


def manifests_huge(scene: Scene, folder: Path) -> None:
    for name in scene.names[-3:]:
        with (folder / f"{name}.json").open("wb") as file:
            file.truncate(2 << 30)


def guard_huge(_: Scene, folder: Path) -> None:
    with (folder / GUARD).open("wb") as file:
        file.truncate(2 << 30)


def not_files(scene: Scene, folder: Path) -> None:
    """Folders, pipes, links and loops, under the names of snapshots and notes."""
    now = datetime.now(UTC)
    for number, ending in enumerate(("", ".json", ".broken", ".hold", ".drill")):
        (folder / f"{name_at(now, 100 + number)}{ending}").mkdir()
        os.mkfifo(folder / f"{name_at(now, 200 + number)}{ending}")
        (folder / f"{name_at(now, 300 + number)}{ending}").symlink_to("/dev/zero")
        (folder / f"{name_at(now, 400 + number)}{ending}").symlink_to(
            f"{name_at(now, 400 + number)}{ending}"
        )
    os.mkfifo(folder / f"{name_at(now, 500)}.json")
    (folder / name_at(now, 500)).write_bytes(b"x")
    os.mkfifo(folder / RESTORED)


def guard_is_a_pipe(_: Scene, folder: Path) -> None:
    os.mkfifo(folder / GUARD)


CHANGES: dict[str, Callable[[Scene, Path], None]] = {
    "changes each manifest": manifests_changed,
    "swaps manifests": manifests_swapped,
    "makes manifests of 2 GiB": manifests_huge,
    "makes a guard's note of 2 GiB": guard_huge,
    "lays no files": not_files,
    "lays a pipe as the guard's note": guard_is_a_pipe,
}

WANT_A_KEY = {"lays described junk over each day"}
"""So few, and so well described, that without a key they look like what people take by hand."""
