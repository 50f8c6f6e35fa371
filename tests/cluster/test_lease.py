"""Several agents away from the cluster, of which one works."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest
from tests.faults.site import PREFIX, Running, Site
from tests.http_proxy import Exchange
from tests.kube import Kube
from tests.s3_faults import S3Faults

from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.core.snapshots.naming import manifest_name, parse
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

SEED = 20261125
AGENTS = 3
EVERY = timedelta(seconds=10)
DURATION = timedelta(seconds=2)
UNHURRIED = timedelta(seconds=8)
"""For a holder that is to keep it, also where a busy machine lets it wait for seconds."""
CHAOS = timedelta(minutes=2)
SLOW = timedelta(seconds=4)
"""What a busy machine adds: a start of the agent, a login, a run."""
SECOND = timedelta(seconds=1)
"""A name tells its time no more exactly."""
SKIPS = "Another agent holds the lease, skipping."
TAKES = "Acquired the lease in "


class Crew:
    """Agents on several hosts, which share a folder and a bucket."""

    def __init__(self, sites: list[Site], keeper: str) -> None:
        self.sites = sites
        self.keeper = keeper
        self.agents: list[Running] = []
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def start(self, number: int) -> Running:
        running = self._opened.enter_context(self.sites[number].command("run"))
        self.agents[number : number + 1] = [running]
        return running

    def record(self) -> Record | None:
        """Read the lease's record as it lies there."""
        site = self.sites[0]
        if self.keeper == "s3":
            key = f"{PREFIX}raft-snapshot-lease.json"
            found = {key}.intersection(site.keys())
            texts = [
                site.client.get_object(Bucket=site.bucket, Key=one)["Body"].read() for one in found
            ]
        else:
            files = site.folder.glob("raft-snapshot-lease/*.json")
            texts = [max(files, key=lambda path: int(path.stem)).read_bytes()]
        return Record.from_json(texts[-1]) if texts else None

    def holder(self) -> int | None:
        """Tell which agent holds the lease, by the process ID in its name."""
        record = self.record()
        pids = [str(agent.process.pid) for agent in self.agents]
        pid = record.holder.rsplit("-", 2)[-2] if record and record.holder else ""
        return pids.index(pid) if pid in pids else None

    def stop(self) -> list[str]:
        for agent in self.agents:
            agent.process.send_signal(signal.SIGTERM)
        endings = [agent.ended() for agent in self.agents]
        # One that was only just started listens for no signal yet, and has nothing to end.
        begun = [ending.code for ending in endings if ending.said]
        assert begun == [0] * len(begun), endings
        return [ending.said for ending in endings]

    def taken(self, *, complete: bool) -> list[list[datetime]]:
        """Say when what each storage holds was taken; `complete` needs a manifest."""
        site = self.sites[0]
        return [
            sorted(
                one.taken_at
                for name in files
                if (one := parse(name)) and (not complete or manifest_name(name) in files)
            )
            for files in (site.files(), site.objects())
        ]


@pytest.fixture
def crew(
    tmp_path: Path,
    seaweed: SeaweedFS,
    bucket: str,
    approle: AppRole,
    bao: OpenBaoCluster,
    kube: Kube,
) -> Iterator[Callable[..., Crew]]:
    with ExitStack() as opened:

        def make(keeper: str, duration: timedelta = DURATION, **more: Any) -> Crew:
            sites = []
            for number in range(AGENTS):
                root = tmp_path / f"host-{number}"
                root.mkdir()
                site = opened.enter_context(Site(root, seaweed, bucket, approle))
                site.folder = tmp_path / "shared"
                site.local["path"] = str(site.folder)
                site.folder.mkdir(exist_ok=True)
                site.vault["address"] = bao.leader().address
                lease = {"type": "storage", "storage": keeper}
                if keeper == "kubernetes":
                    lease = {"type": "kubernetes"}
                    (root / ".kube").mkdir()
                    (root / ".kube/config").write_bytes(kube.kubeconfig().read_bytes())
                lease["duration"] = f"{duration.seconds}s"
                site.more |= {"run_on": "anywhere", "lease": lease, **more}
                sites.append(site)
            return opened.enter_context(Crew(sites, keeper))

        yield make


@pytest.mark.parametrize("keeper", ["local", "s3", "kubernetes"])
def test_one_of_two_works_and_the_other_takes_over_at_once_when_it_stops(
    crew: Callable[..., Crew], keeper: str
) -> None:
    every = timedelta(seconds=3)
    team = crew(keeper, UNHURRIED, schedule={"every": "3s"})
    first = team.start(0)
    first.says("Successfully created")
    first.says(TAKES)
    second = team.start(1)
    second.says(SKIPS)
    assert TAKES not in second.said
    first.process.send_signal(signal.SIGTERM)
    assert first.ended().code == 0
    second.says("Successfully created")
    assert second.said.index(TAKES) < second.said.index("Successfully created")
    until(
        lambda: all(len(taken) > 2 for taken in team.taken(complete=True)),
        "each storage has those of both",
        within=60,
    )
    # One that comes late in its slot is followed by the next in its own: count over two slots.
    for taken in team.taken(complete=True):
        assert min(c - a for a, c in zip(taken, taken[2:], strict=False)) >= every - SECOND


@pytest.mark.soak
def test_a_single_run_leaves_the_work_to_whoever_holds_the_lease(
    crew: Callable[..., Crew],
) -> None:
    team = crew("s3", UNHURRIED, schedule={"every": "1h"})
    team.start(0).says("Successfully created")
    ending = team.sites[1].run_once()
    assert (ending.code, SKIPS in ending.said) == (0, True), ending.said
    assert team.sites[1].run_once("--require-leader").code == 5
    assert [len(taken) for taken in team.taken(complete=True)] == [1, 1]
    team.agents[0].process.kill()
    ending = team.sites[1].run_once()
    assert ending.code == 0
    assert SKIPS not in ending.said
    assert [len(taken) for taken in team.taken(complete=True)] == [2, 2]
    assert (record := team.record())
    assert record.free


@pytest.mark.soak
def test_a_holder_that_slept_past_its_turn_makes_up_for_it(crew: Callable[..., Crew]) -> None:
    """Alone, it holds the lease on waking, but not in the very moment."""
    team = crew("local", schedule={"every": f"{EVERY.seconds}s"})
    agent = team.start(0)
    agent.says("Successfully created")
    slot = _newest(team) + EVERY
    time.sleep((slot - datetime.now(UTC)).total_seconds() - 1)
    agent.process.send_signal(signal.SIGSTOP)
    time.sleep(1 + 2 * DURATION.total_seconds())
    agent.process.send_signal(signal.SIGCONT)
    until(lambda: _newest(team) >= slot, "it has its turn", within=60)
    assert _newest(team) < slot + EVERY, "and in its own slot, by the agent's clock"


def _newest(team: Crew) -> datetime:
    return team.taken(complete=True)[0][-1]


@pytest.mark.soak
def test_while_the_record_cannot_be_reached_each_agent_fails_loudly(
    crew: Callable[..., Crew],
) -> None:
    team = crew("s3", schedule={"every": "4s"})  # no shorter, or that is warned of
    site = team.sites[0]
    site.s3 |= {"endpoint": "http://127.0.0.1:9", "timeout": "2s"}
    site.fails(2, "cannot read the lease record s3://")
    team.start(0).says("Snapshot failed: cannot read the lease record s3://")


def test_an_unmounted_disk_that_keeps_the_record_is_not_replaced_by_what_lies_below(
    crew: Callable[..., Crew],
) -> None:
    team = crew("local", schedule={"every": "4s"})
    site = team.sites[0]
    agent = team.start(0)
    agent.says("Successfully created local snapshot")
    disk = site.folder.rename(site.root / "unmounted")
    agent.says("Snapshot failed: cannot write the lease record ")
    assert not site.folder.exists()
    disk.rename(site.folder)
    agent.says("Resolved: ")
    until(lambda: len(team.taken(complete=True)[0]) > 1, "it goes on there", within=60)


def test_on_a_store_that_ignores_conditions_no_agent_works_and_each_says_so(
    crew: Callable[..., Crew], seaweed: SeaweedFS
) -> None:
    team = crew("s3", schedule={"every": "4s"})  # no shorter, or that is warned of
    with S3Faults(seaweed.endpoint) as front:
        front.behave(lambda request: request.method == "PUT", _unconditionally)
        for site in team.sites:
            site.s3 |= {"endpoint": front.address, "timeout": "3s"}
        words = "storage s3 cannot keep a lease: it accepts a second create"
        team.sites[0].fails(2, words)
        first, second = team.start(0), team.start(1)
        for agent in (first, second):
            agent.says(f"No snapshots while the lease is kept there: {words}")
            agent.says(f"Snapshot failed: {words}")
        assert "skipping" not in first.said + second.said
        assert team.taken(complete=False) == [[], []]
        assert [key for key in team.sites[0].keys() if "lease" in key] == []  # noqa: SIM118
        team.stop()


def _unconditionally(exchange: Exchange) -> None:
    """Say of every write that it was done."""
    response = exchange.forward()
    body = response.read()
    if response.status == 412:
        exchange.answer(200, [("ETag", '"new"'), ("Content-Length", "0")], b"")
    else:
        exchange.answer(response.status, response.getheaders(), body)


@pytest.mark.soak
def test_who_fails_gives_the_lease_to_one_that_may_do_better(crew: Callable[..., Crew]) -> None:
    team = crew("local", UNHURRIED, schedule={"every": "3s"})
    team.sites[0].more["lease"] |= {"max_failures": 2}
    team.sites[0].vault["auth"] = {**team.sites[0].vault["auth"], "secret_id": "mistyped"}
    sick = team.start(0)
    sick.says(TAKES)
    well = team.start(1)
    well.says("Successfully created", within=60)
    why = "the last 2 runs failed, another agent may do better."
    gave_away = f"Released the lease in {team.sites[0].folder}/raft-snapshot-lease: {why}"
    sick.says(gave_away)  # at its next look, which the other need not wait for
    before, _, _ = sick.said.partition(gave_away)
    assert before.count("Snapshot failed: ") == 2
    taken, takes = len(team.taken(complete=True)[0]), sick.said.count(TAKES)
    until(lambda: len(team.taken(complete=True)[0]) > taken + 1, "slots go on", within=90)
    assert sick.said.count(TAKES) == takes, "it is not taken straight back"


def test_a_lone_agent_that_failed_takes_it_again_and_loses_no_slot_for_ever(
    crew: Callable[..., Crew],
) -> None:
    team = crew("local", schedule={"every": "3s"})
    site = team.sites[0]
    site.more["lease"] |= {"max_failures": 1}
    right = site.vault["auth"]["secret_id"]
    (site.root / "secret_id").write_text("mistyped")
    site.vault["auth"] = {**site.vault["auth"], "secret_id": f"file://{site.root}/secret_id"}
    agent = team.start(0)
    agent.says("Released the lease in ", within=60)
    (site.root / "secret_id").write_text(right)
    agent.says("Successfully created", within=90)
    assert agent.said.count(TAKES) >= 2


@pytest.mark.timeout(600)
@pytest.mark.soak
@pytest.mark.parametrize("keeper", ["local", "s3"])
def test_killed_and_paused_for_two_minutes_no_slot_is_served_twice_and_none_is_lost(
    crew: Callable[..., Crew], keeper: str
) -> None:
    team = crew(keeper, schedule={"every": f"{EVERY.seconds}s"})
    for number in range(AGENTS):
        team.start(number)
    until(team.sites[0].keys, "the first snapshot is stored", within=90)
    acts = _disturb(team, random.Random(SEED))
    before = [len(taken) for taken in team.taken(complete=True)]
    until(
        lambda: all(map(int.__lt__, before, map(len, team.taken(complete=True)))),
        "peace",
        within=90,
    )
    said = team.stop()
    print("acts:", *acts)
    for complete, whole in zip(team.taken(complete=True), team.taken(complete=False), strict=True):
        distances = [b - a for a, b in pairwise(complete)]
        print("distances:", *(f"{one.total_seconds():g}" for one in distances))
        # One that comes late in its slot is followed by the next in its own: count over two slots.
        both = [a + b for a, b in pairwise(distances)]
        assert min(both) >= 2 * EVERY - 2 * DURATION - timedelta(seconds=1), said
        assert max(b - a for a, b in pairwise(whole)) <= EVERY + 2 * DURATION + SLOW, said
    assert [site.leftovers() for site in team.sites] == [[]] * AGENTS
    team.sites[0].names()  # proves them whole


def _disturb(team: Crew, moments: random.Random) -> list[str]:
    """Kill, stop or suspend agents, most of them while they hold the lease; one at a time."""
    acts: list[str] = []
    end = time.monotonic() + CHAOS.total_seconds()
    while time.monotonic() < end:
        time.sleep(moments.uniform(1, 2.5) * 2 * DURATION.total_seconds())
        holder = team.holder()
        number = moments.randrange(AGENTS)
        if holder is not None and moments.random() < 0.7:
            number = holder
        act = moments.choice(["kill", "suspend", "stop"])
        acts.append(f"{act}{'*' if number == holder else ''}")
        _act(team, number, act, moments)
    return acts


def _act(team: Crew, number: int, act: str, moments: random.Random) -> None:
    process = team.agents[number].process
    match act:
        case "suspend":
            process.send_signal(signal.SIGSTOP)
            time.sleep(moments.uniform(0.2, 3) * DURATION.total_seconds())
            process.send_signal(signal.SIGCONT)
        case "kill":
            process.kill()
            process.wait()
            team.start(number)
        case _:
            process.send_signal(signal.SIGTERM)
            assert team.agents[number].ended().code == 0
            team.start(number)
