"""Retention in storages that are full of other things, or that refuse."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from tests.cluster.command import call
from tests.faults.site import PREFIX, Ending, Site
from tests.lying import Request, S3Faults, status

from raft_snapshot_agent.servers.process import until

pytestmark = pytest.mark.usefixtures("server")

OLDEST = datetime(2021, 3, 1, tzinfo=UTC)
FOREIGN = [
    "README.md",
    "raft-snapshot-20210301T000000Z-i1.snap.old",
    "raft-snapshot-20210301T000000Z.snap",
    "raft-snapshot-20211301T000000Z-i1.snap",
    "raft_snapshot-.snap",
    "raft_snapshot-202103010000.snap",
    "vault.snap.json",
    ".raft-snapshot-20210301T000000Z-i1-0a1b2c.snap.part",
]


def old_names(count: int) -> list[str]:
    """Names of snapshots an hour apart, the oldest first."""
    times = (OLDEST + timedelta(hours=hour) for hour in range(count))
    return [f"raft-snapshot-{at:%Y%m%dT%H%M%SZ}-i{number}.snap" for number, at in enumerate(times)]


def plant(site: Site, keys: Iterable[str]) -> None:
    """Put three bytes under each key of the bucket."""

    def put(key: str) -> None:
        site.client.put_object(Bucket=site.bucket, Key=key, Body=b"abc")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(put, keys))


def warned(site: Site, words: str) -> Ending:
    """Run once: both places get their snapshot, and one warning has these words."""
    ending = site.run_once()
    assert ending.code == 0, ending.said
    assert words in ending.only_error
    assert ending.of_level("error") == []
    assert len(ending.of_level("info")) >= 2
    assert site.leftovers() == []
    return ending


@pytest.mark.parametrize("many", [500, pytest.param(5000, marks=pytest.mark.soak)])
def test_folder_with_many_snapshots_and_foreign_files(site: Site, many: int) -> None:
    old = old_names(many)
    for name in (*old, *FOREIGN):
        (site.folder / name).write_bytes(b"abc")
    (site.folder / "raft-snapshot-20210301T000000Z-i1-ffffff.snap").mkdir()
    # What is years old looks like a clock that jumped ahead, so a few would go in one run.
    retention = {"last": 3, "max_deletes": many}
    site.more |= {"retention": retention, "storages": [site.local]}
    assert site.run_once().code == 0
    left = {path.name for path in site.folder.iterdir() if path.is_file()}
    new = left - {*old, *FOREIGN}
    assert left == {*FOREIGN, *old[-2:], *new}
    assert len(new) == 2
    assert len([path for path in site.folder.iterdir() if path.is_dir()]) == 1


@pytest.mark.soak
def test_bucket_with_more_objects_than_a_page_holds(site: Site) -> None:
    foreign = [f"{PREFIX}a-foreign-object-{number}" for number in range(1050)]
    others = [f"prod-2/{name}" for name in old_names(3)] + [f"{PREFIX}deeper/{old_names(1)[0]}"]
    old = [PREFIX + name for name in old_names(6)]
    kept = {*foreign, *others, *(PREFIX + name for name in FOREIGN)}
    plant(site, {*kept, *old})
    site.more |= {"retention": {"last": 3}, "storages": [site.s3]}
    assert site.run_once().code == 0
    keys = set(site.keys())
    new = keys - kept - set(old)
    assert keys == {*kept, *old[-2:], *new}
    assert len(new) == 2


def deletes(request: Request) -> bool:
    return request.method == "DELETE"


DENIED = status(403, b"<Error><Code>AccessDenied</Code></Error>")


def test_refused_delete_is_a_warning(site: Site, s3: S3Faults) -> None:
    site.s3["endpoint"] = s3.address
    site.more["retention"] = {"last": 1}
    site.succeeds()
    first = site.keys()
    s3.behave(deletes, DENIED)
    ending = warned(site, "is not deleted: ")
    assert "access denied" in ending.only_error.lower()
    deleted = [line for line in ending.of_level("info") if "Deleted old snapshot" in line]
    assert ["storage=local " in line for line in deleted] == [True]
    assert set(first) < set(site.keys())
    s3.heal()
    assert site.run_once().code == 0
    assert [len(names) for names in site.names()] == [1, 1]


def test_prune_by_hand_says_keep_of_what_it_could_not_delete(site: Site, s3: S3Faults) -> None:
    site.s3["endpoint"] = s3.address
    old = old_names(3)
    plant(site, [PREFIX + name for name in old])
    site.more |= {"retention": {"last": 1}, "storages": [site.s3]}
    s3.behave(deletes, DENIED)
    ending = call("prune", "--config", site.configuration(), "--format", "json")
    assert ending.code == 2
    assert [one["action"] for one in ending.document] == ["keep"] * 3
    assert [one["why"] for one in ending.document][1:] == [
        "no rule keeps it, but it could not be deleted"
    ] * 2
    assert "s3: 1 kept, 0 deleted, 2 could not be deleted" in ending.talk


def test_refused_deletes_are_not_asked_for_at_every_run(site: Site, s3: S3Faults) -> None:
    """A bucket with a lock, and more past retention than fits on a screen."""
    site.s3["endpoint"] = s3.address
    old = old_names(12)
    plant(site, [PREFIX + name for name in old])
    site.more |= {
        "retention": {"last": 1},
        "storages": [site.s3],
        "schedule": {"every": "1s"},
    }
    s3.behave(deletes, DENIED)
    with site.command("run") as daemon:
        stored = "Successfully created"
        until(lambda: daemon.said.count(stored) >= 4, "four snapshots are stored", within=90)
        daemon.process.terminate()
        ending = daemon.ended(60)
    warnings = [line for line in ending.of_level("warning") if "not deleted: " in line]
    assert all(f"{old[0]} and others are not deleted: " in line for line in warnings)
    assert any("(snapshots: 12)" in line for line in warnings), warnings
    refused = [request for request in s3.requests if deletes(request)]
    runs = ending.said.count(stored)
    assert len(warnings) <= runs, "one line a run at most"
    assert len(refused) <= len(old) + 2 * runs, "each of the old once, and what is new"


def test_keys_that_may_only_write(site: Site) -> None:
    """Listing, reading back and sweeping are refused: that is told once, where it matters."""
    uploader = site.seaweed.identities[1]
    site.s3 |= {
        "access_key_id": uploader.access_key_id,
        "secret_access_key": uploader.secret_access_key,
    }
    ending = site.succeeds()
    assert ending.of_level("warning") == []
    site.more["retention"] = {"last": 1}
    ending = warned(site, "s3: old snapshots are not pruned: cannot list snapshots in")
    assert "s3:ListBucket" in ending.only_error
    assert [len(names) for names in site.names()] == [1, 2]


def test_listing_that_hangs_does_not_fail_the_backup(site: Site, s3: S3Faults) -> None:
    site.s3 |= {"endpoint": s3.address, "timeout": "1s"}
    site.more["retention"] = {"last": 1}
    s3.hang(lambda request: "list-type" in request.query)
    warned(site, "s3: the snapshot is stored without a manifest, and nothing is pruned: ")


def test_broken_snapshots_do_not_push_whole_ones_out(site: Site) -> None:
    """Empty files of other agents count for nothing."""
    whole, *empty = [name.replace("2021", "2031") for name in old_names(4)]
    (site.folder / whole).write_bytes(b"abc")
    for name in empty:
        (site.folder / name).touch()
    site.more |= {"retention": {"last": 1}, "storages": [site.local]}
    assert site.run_once().code == 0
    left = {path.name for path in site.folder.iterdir()}
    assert whole in left
    assert (
        len([name for name in left if name.startswith(f"raft-snapshot-{datetime.now(UTC):%Y%m%d}")])
        == 2
    )
