"""One table of exit codes, and every command keeps it; signals are in `test_cli_manners`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina
from tests.cluster.test_cli import leads, working_site
from tests.faults.site import PREFIX, Site, in_process
from tests.lying import LyingProxy

from raft_snapshot_agent.core.snapshots.notes import GUARD_NAME, Alarm
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

NOWHERE = "http://127.0.0.1:9"
LOCAL, REMOTE, PARTIAL, BROKEN, NOT_LEADER, SUSPENDED = 1, 2, 3, 4, 5, 6
WARNING, UNKNOWN = 1, 3
"""Of `check`, which has the exit codes of a plugin for monitoring systems."""

_ALL: dict[str, list[str]] = {
    "run --once": ["run", "--once"],
    "run --once --require-leader": ["run", "--once", "--require-leader"],
    "save": ["save"],
    "save FILE": ["save", "FILE"],
    "list": ["list"],
    "inspect": ["inspect", "NAME"],
    "verify": ["verify", "NAME"],
    "verify --all": ["verify", "--all"],
    "fetch": ["fetch", "NAME", "-o", "FILE"],
    "prune": ["prune"],
    "prune --dry-run": ["prune", "--dry-run"],
    "hold": ["hold", "NAME"],
    "release": ["release", "NAME"],
    "restore": ["restore", "NAME", "--yes"],
    "doctor": ["doctor"],
    "check": ["check"],
    "config check": ["config", "check"],
    "config show": ["config", "show"],
}
_READS = dict.fromkeys(("inspect", "verify", "fetch", "hold", "release", "restore"), REMOTE)
TABLE: dict[str, dict[str, int]] = {
    "all is well": dict.fromkeys(_ALL.keys() - {"restore"}, 0),
    "an option nobody knows": {**dict.fromkeys(_ALL, LOCAL), "check": UNKNOWN},
    "a key nobody knows": {**dict.fromkeys(_ALL, LOCAL), "check": UNKNOWN},
    "a secret that is missing": {
        "run --once": LOCAL,
        "save": LOCAL,
        "save FILE": LOCAL,
        "restore": LOCAL,
        "doctor": LOCAL,
        "config check": LOCAL,
        "config show": 0,
        "list": 0,
        "check": 0,
    },
    "no server": {
        "run --once": REMOTE,
        "save": REMOTE,
        "save FILE": REMOTE,
        "restore": REMOTE,
        "doctor": REMOTE,
        "list": 0,
        "inspect": 0,
        "verify": 0,
        "fetch": 0,
        "prune": 0,
        "hold": 0,
        "check": 0,
        "config check": 0,
    },
    "one storage down": {
        "run --once": PARTIAL,
        "save": PARTIAL,
        "list": PARTIAL,
        "verify --all": PARTIAL,
        "prune": PARTIAL,
        "prune --dry-run": PARTIAL,
        "hold": PARTIAL,
        "doctor": REMOTE,
        "check": UNKNOWN,
        "save FILE": 0,
        "config check": 0,
    },
    "all storages down": {
        "run --once": REMOTE,
        "save": REMOTE,
        "list": REMOTE,
        "verify --all": REMOTE,
        "prune": REMOTE,
        "doctor": REMOTE,
        **_READS,
        "check": UNKNOWN,
        "save FILE": 0,
        "config check": 0,
    },
    "no such snapshot": _READS,
    "a snapshot that broke": {
        "inspect": BROKEN,
        "verify": BROKEN,
        "verify --all": BROKEN,
        "fetch": BROKEN,
        "restore": BROKEN,
        "list": 0,
    },
    "an alarm that nobody looked at": {
        "run --once": SUSPENDED,
        "save": SUSPENDED,
        "prune": SUSPENDED,
        "prune --dry-run": SUSPENDED,
        "check": WARNING,
        "list": 0,
        "verify --all": 0,
        "fetch": 0,
        "save FILE": 0,
    },
    "a standby": {"run --once": 0, "run --once --require-leader": NOT_LEADER},
}


@pytest.fixture(autouse=True)
def at_once() -> Iterator[None]:
    """What is down stays down: no second try."""
    with stamina.set_testing(True):
        yield


@pytest.fixture
def kept(
    tmp_path: Path, seaweed: SeaweedFS, approle: AppRole, bao: OpenBaoCluster
) -> Iterator[Site]:
    with working_site(tmp_path, seaweed, approle, bao) as site:
        assert in_process("save", "-c", str(site.configuration())).code == 0
        yield site


def _change(site: Site, situation: str) -> None:
    match situation:
        case "a key nobody knows":
            site.more["retenion"] = {"last": 3}
        case "a secret that is missing":
            site.vault["auth"] = {"method": "token", "token": "env://NOBODY"}
        case "no server":
            site.vault["address"] = NOWHERE
        case "one storage down":
            site.s3["bucket"] = "no-such-bucket"
        case "all storages down":
            site.s3["bucket"] = "no-such-bucket"
            site.local = {"type": "webdav", "url": f"{NOWHERE}/x", "timeout": "1s"}
        case "an alarm that nobody looked at":
            _raise_alarm(site)
        case "a snapshot that broke":
            _cut_off(site)


def _raise_alarm(site: Site) -> None:
    note = Alarm("the cluster is another", "a.snap", "2026-01-01T00:00:00Z").to_json()
    (site.folder / GUARD_NAME).write_bytes(note)
    site.client.put_object(Bucket=site.bucket, Key=f"{PREFIX}{GUARD_NAME}", Body=note)


def _cut_off(site: Site) -> None:
    for path in site.folder.glob("*.snap"):
        path.write_bytes(path.read_bytes()[:-9])
    for name, whole in site.objects().items():
        if name.endswith(".snap"):
            key = f"{PREFIX}{name}"
            site.client.put_object(Bucket=site.bucket, Key=key, Body=whole[:-9])


@pytest.mark.parametrize("situation", [one for one in TABLE if one != "a standby"])
def test_every_command_keeps_the_table(kept: Site, situation: str) -> None:
    (name,), _ = kept.names()
    if situation == "no such snapshot":
        name = name.replace("-i", "-i9")
    _change(kept, situation)
    ended = {}
    for command in TABLE[situation]:
        known = {"NAME": name, "FILE": str(kept.root / command.replace(" ", "-"))}
        arguments = [known.get(one, one) for one in _ALL[command]]
        more = ["--nonsense"] if situation == "an option nobody knows" else []
        ended[command] = in_process(*arguments, "-c", str(kept.configuration()), *more)
    assert {command: one.code for command, one in ended.items()} == TABLE[situation], "\n".join(
        f"{command}: {one.code}: {one.said}" for command, one in ended.items()
    )


@pytest.mark.parametrize("command", TABLE["a standby"])
def test_who_stands_by_is_told_by_code_where_that_is_asked(kept: Site, command: str) -> None:
    leader = kept.vault["address"]
    with LyingProxy(leader) as standby:
        says = {**leads(standby), "is_self": False, "leader_address": leader}
        standby.override("/v1/sys/leader", 200, says)
        kept.vault["address"] = standby.address
        ended = in_process(*_ALL[command], "-c", str(kept.configuration()))
    assert ended.code == TABLE["a standby"][command], ended.said
