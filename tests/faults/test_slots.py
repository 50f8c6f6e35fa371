"""One snapshot per slot and storage, with real servers: what failed in the field."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.faults.site import PREFIX, Site
from tests.lying import Exchange, LyingProxy, Request, S3Faults, pass_through
from tests.moto_store import MotoStore

from raft_snapshot_agent.servers.process import until

HOURLY = {"every": "1h"}


def puts_a_manifest(request: Request) -> bool:
    return request.method == "PUT" and ".json" in request.path


def puts_a_snapshot(request: Request) -> bool:
    return request.method == "PUT" and request.path.endswith(".snap")


def names_the_checksum(exchange: Exchange) -> None:
    """Add what this emulation demands beside the checksum itself."""
    exchange.request.headers["x-amz-sdk-checksum-algorithm"] = "SHA256"
    pass_through(exchange)


def takes_it_and_fails(exchange: Exchange) -> None:
    exchange.forward().read()
    exchange.answer(500, [("Content-Length", "0")], b"")


def lists(request: Request) -> bool:
    return "list-type" in request.query


@pytest.fixture
def behind(site: Site, server: LyingProxy, s3: S3Faults) -> S3Faults:
    """The S3 store of the site, able to fail, and no other storage."""
    site.s3["endpoint"] = s3.address
    site.more |= {"storages": [site.s3], "schedule": HOURLY}
    return s3


def test_a_store_that_refuses_manifests_gets_one_copy_and_a_warning(
    site: Site, behind: S3Faults
) -> None:
    behind.fail(puts_a_manifest, 400)
    with site.command("run") as daemon:
        daemon.says("is stored without a manifest: ")
        time.sleep(1)  # what comes next comes at once
        assert "Trying again" not in daemon.said
        assert "error " not in daemon.said
    assert len(site.keys()) == 1
    asked = len(behind.requests)
    with site.command("run"):
        until(lambda: any(map(lists, behind.requests[asked:])), "it looks", within=60)
        time.sleep(1)
    assert len(site.keys()) == 1


def test_retention_goes_on_by_names_where_manifests_are_refused(
    site: Site, behind: S3Faults
) -> None:
    site.more["retention"] = {"last": 2}
    behind.fail(puts_a_manifest, 400)
    endings = [site.run_once() for _ in range(4)]
    assert [ending.code for ending in endings] == [0] * 4
    assert all("is stored without a manifest: " in one.only_error for one in endings)
    assert len(site.keys()) == 2


def test_an_answer_that_was_lost_is_no_second_copy(site: Site, behind: S3Faults) -> None:
    """The store has it complete and answers 500, as often as it is asked."""

    behind.behave(puts_a_snapshot, takes_it_and_fails)
    ending = site.run_once()
    assert ending.code == 0, ending.said
    assert "it has the snapshot, but reported a failure: " in ending.only_error
    assert len(site.names()[1]) == 1
    assert len(site.keys()) == 2, "with its manifest"


def test_who_was_killed_between_two_storages_serves_the_other_after_the_start(
    site: Site, server: LyingProxy, s3: S3Faults
) -> None:
    site.s3 |= {"endpoint": s3.address, "timeout": "1h"}
    site.more["schedule"] = HOURLY
    s3.hang(lambda request: request.method == "PUT")
    with site.command("run") as daemon:
        until(lambda: len([*site.folder.glob("raft-*")]) == 2, "the folder has it", within=60)
        daemon.process.kill()
    s3.heal()
    with site.command("run"):
        until(lambda: len(site.keys()) == 2, "the bucket gets it, too", within=90)
    assert [len(names) for names in site.names()] == [1, 1]


@dataclass(frozen=True, slots=True)
class Locked:
    """A bucket whose versions are locked for thirty days, behind a front that refuses manifests."""

    store: MotoStore
    bucket: str
    front: S3Faults

    def settings(self) -> dict[str, Any]:
        return {
            "bucket": self.bucket,
            "endpoint": self.front.address,
            "region": self.store.region,
            "access_key_id": self.store.access_key_id,
            "secret_access_key": self.store.secret_access_key,
            "checksum": True,
        }

    def versions(self) -> list[str]:
        found = self.store.client.list_object_versions(Bucket=self.bucket)
        return [version["Key"] for version in found["Versions"]]


@pytest.fixture
def locked() -> Iterator[Locked]:
    with MotoStore.start() as store:
        bucket = f"locked-{secrets.token_hex(4)}"
        store.client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}}
        lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
        store.client.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=lock)
        with S3Faults(store.endpoint) as front:
            front.behave(puts_a_snapshot, names_the_checksum)
            front.fail(puts_a_manifest, 400)
            yield Locked(store, bucket, front)
        store.client.close()


@pytest.mark.usefixtures("server")
def test_a_locked_bucket_gets_one_version_a_slot(site: Site, locked: Locked) -> None:
    site.s3 |= locked.settings()
    site.more |= {"storages": [site.s3], "schedule": HOURLY, "retention": {"last": 1}}
    with site.command("run") as daemon:
        daemon.says("is stored without a manifest: ")
        time.sleep(1)
        assert "Trying again" not in daemon.said
    asked = len(locked.front.requests)
    with site.command("run") as daemon:
        until(lambda: any(map(lists, locked.front.requests[asked:])), "it looks", within=60)
        time.sleep(1)
        assert "Successfully" not in daemon.said
    (version,) = locked.versions()
    assert version.startswith(PREFIX)


@pytest.mark.usefixtures("server")
def test_a_delete_in_a_locked_bucket_hides_the_snapshot_and_keeps_it(
    site: Site, locked: Locked
) -> None:
    locked.front.heal()
    locked.front.behave(lambda request: request.method == "PUT", names_the_checksum)
    site.s3 |= locked.settings()
    site.more |= {"storages": [site.s3], "retention": {"last": 1}}
    for _ in range(3):
        ended = site.run_once()
        assert (ended.code, ended.of_level("warning")) == (0, []), ended.said
    listed = locked.store.client.list_objects_v2(Bucket=locked.bucket)
    assert [one["Key"].endswith(".snap") for one in listed["Contents"]] == [True, False]
    assert sum(name.endswith(".snap") for name in locked.versions()) == 3


@pytest.mark.timeout(400)
@pytest.mark.soak
@pytest.mark.parametrize("storage", ["local", "s3"])
def test_a_lone_agent_beside_a_standby_says_that_nobody_takes_snapshots(
    site: Site, server: LyingProxy, storage: str
) -> None:
    standby = {"ha_enabled": True, "is_self": False, "leader_address": "https://bao-0:8200"}
    server.override("/v1/sys/leader", 200, standby)
    chosen = site.local if storage == "local" else site.s3
    site.more |= {"storages": [chosen], "schedule": {"every": "5s"}}
    with site.command("run") as daemon:
        daemon.says("Not running on leader node, skipping.")
        daemon.says("overdue and no agent takes it: there is none", within=90)
        assert " error " in daemon.said
