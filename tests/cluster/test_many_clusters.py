"""One agent for many clusters, each of which is served as if it were alone."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from tests.cluster.fleet import Fleet
from tests.crowd import HANG, WELL, Crowd
from tests.faults.site import AGENT, Ending, in_process

from raft_snapshot_agent.core.snapshots.snapshot import Manifest
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.servers.process import program, until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

SLOW = timedelta(seconds=3)
"""What a busy machine adds, and a name's whole seconds."""
MOST_MIB = 300


@pytest.mark.timeout(500)
@pytest.mark.parametrize(
    ("clusters", "hanging", "every", "length"),
    [
        pytest.param(12, 4, timedelta(seconds=6), timedelta(seconds=12), id="of a dozen"),
        pytest.param(
            *(100, 10, timedelta(seconds=15), timedelta(seconds=60)),
            id="of a hundred",
            marks=pytest.mark.soak,
        ),
    ],
)
def test_some_clusters_hang_and_the_others_stay_on_time(
    *,
    clusters: int,
    hanging: int,
    every: timedelta,
    length: timedelta,
    tmp_path: Path,
    archive: bytes,
    bao: OpenBaoCluster,
    approle: AppRole,
    seaweed: SeaweedFS,
    bucket: str,
    opened: ExitStack,
) -> None:
    bucket_of_all = {
        "type": "s3",
        "bucket": bucket,
        "endpoint": seaweed.endpoint,
        "region": seaweed.region,
        "access_key_id": seaweed.access_key_id,
        "secret_access_key": seaweed.secret_access_key,
    }
    local = {"type": "local", "path": str(tmp_path / "stored")}
    schedule = {"every": f"{every.seconds}s"}
    fleet = Fleet(tmp_path, [local, bucket_of_all], run_on="anywhere", schedule=schedule)
    manners = [*HANG * (hanging // 2), *WELL * (clusters - hanging - 1)]
    crowd = opened.enter_context(Crowd(archive, manners))
    fleet.add_all(crowd.addresses)
    fleet.add("real", bao.leader().address)
    fleet.clusters["real"]["vault"]["auth"] |= {
        "role_id": approle.role_id,
        "secret_id": approle.secret_id,
    }
    hang = [f"c{number:02}" for number in range(hanging)]
    for name in hang:  # only theirs runs out, however busy this machine is
        fleet.clusters[name]["vault"]["timeout"] = f"{every.seconds * 2 // 3}s"
    healthy = sorted(fleet.clusters.keys() - set(hang))

    daemon = opened.enter_context(fleet.command("run", agent=program(AGENT)))
    until(lambda: all(map(fleet.taken, healthy)), "each has its first snapshot", within=60)
    time.sleep(length.total_seconds())
    memory = _peak_mib(daemon.process.pid)
    daemon.process.send_signal(signal.SIGTERM)
    ending = daemon.ended()

    assert ending.code == 0, ending.said
    # A busy machine may cost one a slot; to wait for those that hang would cost it a minute.
    bound = 2 * every + SLOW
    late = {name: found for name in healthy if max(found := _distances(fleet, name)) > bound}
    print(f"peak memory: {memory:.0f} MiB; distances: {_spread(fleet, healthy)}")
    assert late == {}
    assert min(len(fleet.taken(name)) for name in healthy) >= length // every - 1
    assert memory <= MOST_MIB
    assert [fleet.taken(name) for name in hang] == [[]] * len(hang)
    failed = [line for line in ending.of_level("error") if "Snapshot failed: " in line]
    told = {line.rpartition("cluster=")[2].split()[0] for line in failed}
    assert {*hang[::2]} <= told <= {*hang}, "the deaf ones are told of"
    assert list((tmp_path / "spool").iterdir()) == []


def _distances(fleet: Fleet, name: str) -> list[timedelta]:
    return [b - a for a, b in pairwise(fleet.taken(name))]


def _spread(fleet: Fleet, names: list[str]) -> str:
    found = sorted(one.total_seconds() for name in names for one in _distances(fleet, name))
    return f"{found[0]:g} to {found[-1]:g} s, {found[len(found) // 2]:g} in the middle"


def _peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


def test_the_threads_of_a_daemon_share_one_heap(
    fleet: Fleet, archive: bytes, opened: ExitStack
) -> None:
    crowd = opened.enter_context(Crowd(archive, WELL * 6))
    fleet.add_all(crowd.addresses)
    daemon = opened.enter_context(fleet.command("run", agent=program(AGENT)))
    until(lambda: all(map(fleet.taken, fleet.clusters)), "each has its snapshot", within=90)
    assert _further_heaps(daemon.process.pid) == []


def _further_heaps(pid: int) -> list[str]:
    """What glibc reserves for the heaps of threads: most of 64 MiB each, beside those in use."""
    found = []
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        begin, end = (int(place, 16) for place in line.split()[0].split("-"))
        if " ---p 00000000 00:00 0" in line and end - begin > 32 << 20:
            found.append(line)
    return found


def test_a_single_run_serves_each_cluster_and_tells_of_each(
    fleet: Fleet, archive: bytes, opened: ExitStack
) -> None:
    crowd = opened.enter_context(Crowd(archive, ["well", "well", "deaf"]))
    for name, address in zip(("berlin", "paris", "rome"), crowd.addresses, strict=True):
        fleet.add(name, address)
    fleet.clusters["rome"]["vault"]["timeout"] = "1s"

    ending = in_process("run", "--once", "-c", str(fleet.configuration()))
    assert ending.code == 3, ending.said
    assert "did not answer in time" in ending.only_error
    assert " cluster=rome " in ending.only_error
    assert [len(fleet.taken(name)) for name in ("berlin", "paris", "rome")] == [1, 1, 0]
    assert [_manifest(fleet, name).cluster_id for name in ("berlin", "paris")] == [
        "crowd-0",
        "crowd-1",
    ]

    ending = in_process("run", "--once", "--cluster", "paris", "-c", str(fleet.configuration()))
    assert (ending.code, ending.of_level("warning", "error")) == (0, [])
    assert [len(fleet.taken(name)) for name in ("berlin", "paris", "rome")] == [1, 2, 0]


def _manifest(fleet: Fleet, name: str) -> Manifest:
    (found,) = (fleet.root / "stored" / name).glob("*.snap.json")
    return Manifest.from_json(found.read_bytes())


def test_a_warning_of_what_they_share_is_told_once(fleet: Fleet) -> None:
    fleet.common["storages"][0]["required"] = False
    for number in range(1, 6):
        fleet.add(f"c{number}", f"http://127.0.0.1:{number}")
    fleet.clusters["c5"]["storages"] = [{"type": "local", "path": str(fleet.root / "of c5")}]
    fleet.clusters["c4"]["vault"]["login_check"] = "1s"
    path = str(fleet.configuration())

    ended = in_process("run", "--once", "-c", path)

    shared, own = ended.of_level("warning")
    assert "no storage is required: " in shared
    assert "(clusters: c1, c2, c3 and 1 more)" in shared
    assert " cluster=" not in shared
    assert "the agent logs in every 1s, only to see" in own
    assert " cluster=c4 " in own
    assert in_process("config", "check", "-c", path).said.count("warning: ") == 2


def test_a_command_by_hand_is_for_one_cluster(
    fleet: Fleet, archive: bytes, opened: ExitStack
) -> None:
    crowd = opened.enter_context(Crowd(archive, ["well", "well"]))
    for name, address in zip(("berlin", "paris"), crowd.addresses, strict=True):
        fleet.add(name, address)
    path = str(fleet.configuration())

    for command in ("save", "list", "verify", "prune", "doctor"):
        ending = in_process(command, "-c", path)
        assert ending.code == 1
        assert ending.said == (
            "error: there are several clusters: choose one with --cluster"
            " (there are: berlin, paris)\n"
        )
    assert in_process("save", "--cluster", "paris", "-c", path).code == 0
    assert in_process("--cluster", "paris", "verify", "--all", "-c", path).code == 0
    said = in_process("list", "--cluster", "paris", "-c", path).said
    assert str(fleet.taken("paris")[0].strftime("%Y%m%dT%H%M%SZ")) in said
    assert fleet.taken("berlin") == []
    wrong = in_process("list", "--cluster", "rome", "-c", path).said
    assert wrong == "error: no cluster is called 'rome' (there are: berlin, paris)\n"
    assert in_process("config", "check", "-c", path).said.count("is valid") == 2


def test_clusters_come_and_go_with_the_configuration(
    fleet: Fleet, archive: bytes, opened: ExitStack
) -> None:
    crowd = opened.enter_context(Crowd(archive, ["well", "well", "well"]))
    berlin, paris, rome = crowd.addresses
    fleet.common["schedule"] = {"every": "1s"}
    fleet.add("berlin", berlin)
    fleet.add("paris", paris)
    daemon = opened.enter_context(fleet.command("run"))
    until(lambda: fleet.taken("berlin") and fleet.taken("paris"), "both are served", within=90)

    del fleet.clusters["paris"]
    fleet.add("rome", rome)
    fleet.configuration()
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: fleet.taken("rome"), "the new one is served", within=90)
    served = [len(fleet.taken(name)) for name in ("berlin", "paris")]
    until(lambda: len(fleet.taken("berlin")) > served[0] + 2, "the old one goes on", within=90)
    assert len(fleet.taken("paris")) <= served[1] + 1, "one may have been under way"

    fleet.add("milan", rome)
    fleet.configuration()
    daemon.process.send_signal(signal.SIGHUP)
    daemon.says("The new configuration is refused, the old one stays in force: ")
    daemon.says(f"clusters.milan.vault.address: {rome} is also used by the cluster rome")
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.ended().code == 0


def test_what_is_wrong_with_one_cluster_costs_the_others_nothing_at_the_start(
    fleet: Fleet, archive: bytes, opened: ExitStack
) -> None:
    crowd = opened.enter_context(Crowd(archive, ["well", "well"]))
    berlin, paris = crowd.addresses
    fleet.common["schedule"] = {"every": "1s"}
    fleet.add("berlin", berlin)
    fleet.add("paris", paris)
    missing = fleet.root / "secret-id"
    fleet.clusters["berlin"]["vault"]["auth"]["secret_id"] = f"file://{missing}"
    daemon = opened.enter_context(fleet.command("run"))
    until(lambda: fleet.taken("paris"), "the other is served", within=90)
    assert "This cluster is disabled, its configuration is invalid: " in daemon.said
    assert "clusters.berlin.vault.auth.secret_id" in daemon.said

    daemon.process.send_signal(signal.SIGHUP)
    daemon.says("clusters: 1 disabled (berlin), 1 unchanged.")
    missing.write_text("s")
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: fleet.taken("berlin"), "it is served once it is mended", within=90)
    daemon.process.send_signal(signal.SIGTERM)
    ending: Ending = daemon.ended()
    assert ending.code == 0
