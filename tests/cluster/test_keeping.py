"""What stays and what goes, over several runs against real servers and storages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.command import Ending, call
from tests.conftest import StartBao
from tests.faults.site import Site
from tests.s3_faults import S3Faults

from raft_snapshot_agent.core.snapshots.notes import GUARD_NAME
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster, fill, prepare_agent
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS


def at(site: Site, *arguments: str | Path) -> Ending:
    return call(*arguments, "--config", site.configuration())


@pytest.fixture
def site(
    tmp_path: Path, seaweed: SeaweedFS, bucket: str, approle: AppRole, bao: OpenBaoCluster
) -> Iterator[Site]:
    with Site(tmp_path, seaweed, bucket, approle) as site:
        site.vault["address"] = bao.leader().address
        site.more["retention"] = {"last": 1}
        yield site


def swap(site: Site, start_bao: StartBao) -> None:
    """Put another cluster in the place of the first."""
    cluster = start_bao()
    approle = prepare_agent(cluster)
    site.vault["address"] = cluster.leader().address
    site.vault["auth"] |= {"role_id": approle.role_id, "secret_id": approle.secret_id}


def test_a_swapped_cluster_pushes_nothing_out_until_an_operator_says_so(
    site: Site, start_bao: StartBao
) -> None:
    assert site.run_once().code == 0
    ((good,), _) = site.names()
    swap(site, start_bao)

    first = site.run_once()

    assert first.code == 6
    told = first.of_level("error")
    assert len(told) == 2
    for name, line in zip(
        ("local", "s3"), sorted(told, key=lambda line: " s3: " in line), strict=True
    ):
        assert f"Retention suspended for {name}: the cluster is another: " in line
    again = site.run_once()
    assert again.code == 6
    assert again.of_level("warning") == []
    assert all(
        "run raft-snapshot-agent prune --acknowledge" in one for one in again.of_level("error")
    )
    assert len(again.of_level("error")) == 2
    saved = at(site, "save")
    assert saved.code == 6
    assert saved.talk.count("alarm: retention suspended for ") == 2
    for names in site.names():
        assert good in names
        assert len(names) == 4
    for options in ([], ["--dry-run"]):
        refused = at(site, "prune", *options)
        assert refused.code == 6
        assert refused.talk.count("4 kept") == 0
        assert refused.talk.count("1 kept, 3 would be deleted otherwise") == 2
    assert good in site.names()[0]

    tried = at(site, "prune", "--acknowledge", "--dry-run")
    assert tried.code == 0
    assert tried.talk.count("would be acknowledged: the cluster is another: ") == 2
    assert (site.folder / GUARD_NAME).exists()
    done = at(site, "prune", "--acknowledge")

    assert done.code == 0, done.talk
    assert done.talk.count(": acknowledged: the cluster is another: ") == 2
    assert done.talk.count("1 kept, 3 would be deleted by the next prune") == 2
    assert done.text == tried.text
    assert [len(names) for names in site.names()] == [4, 4]
    assert not (site.folder / GUARD_NAME).exists()
    ended = site.run_once()
    assert ended.code == 0
    assert ended.of_level("warning", "error") == []
    assert [len(names) for names in site.names()] == [1, 1]


def test_a_cluster_that_lost_most_of_what_it_held(
    tmp_path: Path, seaweed: SeaweedFS, bucket: str, start_bao: StartBao
) -> None:
    cluster = start_bao()
    approle = prepare_agent(cluster)
    fill(cluster, 2 << 20)
    with Site(tmp_path, seaweed, bucket, approle) as site:
        site.vault["address"] = cluster.leader().address
        site.more |= {"retention": {"last": 1}, "guard": {"max_shrink": "50%"}}
        assert site.run_once().code == 0
        (full,) = site.names()[0]
        cluster.api("DELETE", "sys/mounts/fill")

        ended = site.run_once()

        assert ended.code == 6
        assert all("the snapshot shrank from " in line for line in ended.of_level("error"))
        assert full in site.files()
        assert full in site.objects()


def test_a_mount_that_vanished_is_an_alarm_though_hardly_a_byte_is_missing(
    site: Site, bao: OpenBaoCluster
) -> None:
    bao.api("POST", "sys/mounts/soon-gone", {"type": "kv"})
    for number in range(30):
        bao.api("POST", f"soon-gone/{number}", {"a": number})
    uuid = bao.api("GET", "sys/mounts")["data"]["soon-gone/"]["uuid"]
    assert site.run_once().code == 0
    ((full,), _) = site.names()
    bao.api("DELETE", "sys/mounts/soon-gone")

    ended = site.run_once()

    assert ended.code == 6
    lost = f"the mount logical/{uuid}/ has vanished with its 30 keys"
    assert [lost in line for line in ended.of_level("error")] == [True, True]
    assert full in site.files()
    assert at(site, "prune", "--acknowledge").code == 0
    assert site.run_once().code == 0


def test_what_is_held_stays_until_it_is_released(site: Site) -> None:
    assert site.run_once().code == 0
    ((held,), _) = site.names()

    ended = at(site, "hold", held, "--reason", "before the upgrade")

    assert ended.code == 0
    assert ended.talk.splitlines() == [f"local: {held} is held", f"s3: {held} is held"]
    assert (site.folder / f"{held}.hold").read_text() == "before the upgrade\n"
    for _ in range(2):
        assert site.run_once().code == 0
    assert [len(names) for names in site.names()] == [2, 2]
    assert "verified, held" in at(site, "list").text

    assert at(site, "release", held).code == 0
    assert site.run_once().code == 0
    assert all(held not in names and len(names) == 1 for names in site.names())
    assert not list(site.folder.glob("*.hold"))


def test_what_is_not_there_cannot_be_held(site: Site) -> None:
    ended = at(site, "hold", "raft-snapshot-20260101T000000Z-i1.snap")

    assert ended.code == 2
    assert "no snapshot is called raft-snapshot-20260101T000000Z-i1.snap" in ended.talk


def test_a_storage_that_is_not_required_only_warns(site: Site) -> None:
    site.s3 |= {"bucket": "there-is-no-such-bucket", "required": False}

    ended = site.run_once()

    assert ended.code == 0
    assert "Could not store the snapshot in s3" in ended.only_error
    assert ended.of_level("error") == []


def test_a_storage_that_is_not_required_is_still_the_only_one_left(site: Site) -> None:
    site.s3 |= {"bucket": "there-is-no-such-bucket", "required": False}
    site.more["storages"] = [site.s3]

    assert site.run_once().code == 2


def test_a_storage_that_is_not_pruned_is_neither_listed_nor_swept(site: Site) -> None:
    site.local["prune"] = False
    site.more["storages"] = [site.local]
    partial = site.folder / ".raft-snapshot-20260101T000000Z-i1-0a1b2c.snap.partial"
    partial.touch()
    for _ in range(3):
        assert site.run_once().of_level("warning", "error") == []

    ended = at(site, "prune")

    assert ended.code == 0
    assert "local: nothing is deleted: prune is false" in ended.talk
    partial.unlink()
    assert len(site.names()[0]) == 3


def test_hourly_to_disk_and_daily_to_s3(site: Site) -> None:
    site.more |= {"schedule": {"every": "2s"}, "retention": {}}
    site.s3["schedule"] = {"every": "24h"}
    with site.command("run") as daemon:
        daemon.says("a snapshot every 2s to local; every 24h to s3")
        until(lambda: len(site.files()) >= 6, "three snapshots on the disk", within=40)
        daemon.process.terminate()
        assert daemon.ended().code == 0
    local, remote = site.names()
    assert len(remote) == 1
    assert remote[0] == local[0]


def test_names_of_another_agent_go_on(site: Site) -> None:
    site.more["name_layout"] = {"prefix": "vault-", "timestamp": "20060102T150405", "suffix": ".s"}
    site.more["storages"] = [site.local]
    old = site.folder / "vault-20260101T000000.s"
    fork = site.folder / "raft-snapshot-2026-01-01T00-00-00Z+0100.snap"
    foreign = site.folder / "vault-yesterday.s"
    for path in (old, fork, foreign):
        path.write_bytes(b"abc")

    ended = site.run_once()

    assert ended.code == 0
    assert not old.exists()
    assert not fork.exists()
    assert foreign.exists()
    (new,) = site.folder.glob("vault-2*.s")
    assert at(site, "verify", new.name).code == 0
    assert new.name in at(site, "list").text


def test_bandwidth_is_kept(site: Site) -> None:
    site.more["storages"] = [site.s3]
    assert site.run_once().code == 0
    (size,) = [snapshot.size for snapshot in site.stored()[1].values()]
    site.s3["bandwidth"] = size // 2

    ended = site.run_once()

    assert ended.code == 0
    (stored,) = [line for line in ended.of_level("info") if "Successfully created" in line]
    (seconds,) = re.findall(r" seconds=(\S+)", stored)
    assert float(seconds) >= 1


def test_a_storage_that_cannot_be_listed_leaves_the_guard_in_force(
    site: Site, start_bao: StartBao
) -> None:
    assert site.run_once().code == 0
    ((good,), _) = site.names()
    swap(site, start_bao)
    with S3Faults(site.seaweed.endpoint) as faults:
        site.s3["endpoint"] = faults.address
        site.more["storages"] = [site.s3]
        faults.fail(lambda request: "list-type" in request.query, 500)
        blind = site.run_once()
    assert blind.code == 0
    assert any("is stored without a manifest" in line for line in blind.of_level("warning"))
    site.s3["endpoint"] = site.seaweed.endpoint

    seeing = site.run_once()

    assert seeing.code == 6
    assert any("the cluster is another: " in line for line in seeing.of_level("error"))
    assert good in site.names()[1]
    assert len(site.names()[1]) == 3


def test_a_static_snapshot_that_was_found_broken_is_forgiven_its_successor(site: Site) -> None:
    site.local["static_name"] = "latest.snap"
    site.more |= {"storages": [site.local], "retention": {}}
    assert site.run_once().code == 0
    (site.folder / "latest.snap.broken").write_text("an older agent left this")

    assert site.run_once().code == 0

    assert not (site.folder / "latest.snap.broken").exists()
    assert "verified" in at(site, "list").text
    path = site.folder / "latest.snap"
    path.write_bytes(path.read_bytes()[:-100])
    assert at(site, "verify", "--all").code == 4
    assert not (site.folder / "latest.snap.broken").exists()
