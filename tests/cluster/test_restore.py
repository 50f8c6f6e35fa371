"""A restore changes everything a cluster holds: what it does, and when it refuses."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from copy import copy
from functools import partial
from pathlib import Path

import pytest
from anyio import CancelScope
from anyio.lowlevel import checkpoint
from tests.cluster.command import Terminal, call, environment
from tests.cluster.field import Field, at_once, marked, opened
from tests.conftest import StartBao
from tests.elections import standbys, step_down
from tests.http_proxy import Exchange
from tests.lying import SNAPSHOT_PATH
from tests.processes.command import Command

from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.restore.drill import restored
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.openbao import OpenBaoCluster, prepare_agent
from raft_snapshot_agent.servers.process import until


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """One node."""
    yield from opened(tmp_path_factory.mktemp("one"), 1)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """Three nodes; a test that breaks one mends it."""
    yield from opened(tmp_path_factory.mktemp("three"), 3)


@pytest.fixture(scope="module")
def snapshot(one: Field) -> Path:
    """A snapshot of `one`, its manifest beside it."""
    return one.save()


@pytest.fixture
def foreign(bao: OpenBaoCluster, tmp_path: Path) -> Path:
    """A snapshot of another cluster with a manifest, and a secret in it that tells."""
    bao.write_secret("whose", {"name": "the other cluster"})
    target = tmp_path / "snapshots"
    file = tmp_path / "other.json"
    vault = {"address": bao.leader().address, "auth": {"method": "token", "token": bao.root_token}}
    storages = [{"type": "local", "path": str(target)}]
    file.write_text(json.dumps({"vault": vault, "storages": storages}))
    assert call("save", "-c", file).code == 0
    (snapshot,) = target.glob("*.snap")
    return snapshot


def follows(node: OpenBaoNode) -> bool:
    """Whether a node that led has become a standby that serves requests itself."""
    since = node.process.log_path.read_text().rpartition("stepping down from active")[2]
    ready = "read-enabled standby" in since and "post-unseal setup complete" in since
    return ready and "leader_address" in node.api("GET", "sys/leader")


# What a restore does.


def test_a_restore_that_was_confirmed_brings_the_old_secret_back(one: Field) -> None:
    marker = marked(one.cluster, "before")
    snapshot = one.save()
    one.cluster.write_secret(marker, {"value": "after"})

    with Terminal(
        "restore", snapshot.name, "-c", one.configuration(), env=one.operator
    ) as terminal:
        terminal.shows(f"Type the cluster's name, {one.name}, to replace all it holds: ")
        terminal.type(f"{one.name}\n")
        assert terminal.ended() == 0
        value = at_once(one.cluster.nodes[0], marker, one.cluster.root_token)

    assert value == "before"
    assert f"Verified: {snapshot} is whole." in terminal.shown
    name = one.cluster.nodes[0].seal_status()["cluster_name"]
    assert f"Replaces the data of cluster {name} at" in terminal.shown
    assert "secret IDs or passwords that logins need" in terminal.shown
    assert re.search(r"restoring .*left", terminal.shown)
    assert "Restored the snapshot of index " in terminal.shown
    assert f"{one.before(one.cluster.nodes[0]).address} leads; the Raft index" in terminal.shown
    assert "Checks with the agent's own login:" in terminal.shown
    checks = terminal.shown.rpartition("with the agent's own login:")[2]
    assert re.search(r"^success +login ", checks, re.MULTILINE)


def test_a_login_that_the_restore_took_away_is_told_at_once(one: Field) -> None:
    snapshot = one.save()
    later = prepare_agent(one.cluster)  # the snapshot does not know this secret ID
    there = copy(one)
    there.approle = later

    ended = call(
        *("restore", snapshot.name, "--yes", "-c", there.configuration()), env=one.operator
    )

    assert ended.code == 0, ended.talk
    assert re.search(r"^failure +login .*invalid", ended.text, re.MULTILINE)


def test_a_restore_of_a_pipe_at_a_standbys_address_brings_three_nodes_back(three: Field) -> None:
    cluster = three.cluster
    marker = marked(cluster, "before")
    snapshot = three.save()
    cluster.write_secret(marker, {"value": "after"})
    leader, (standby, other) = cluster.leader(), standbys(cluster)
    already = len(three.sent())

    ended = call(
        *("restore", "-", "--yes", "-c", three.configuration(standby)),
        env=three.operator,
        stdin=snapshot.read_bytes(),
    )
    value = at_once(leader, marker, cluster.root_token)

    assert ended.code == 0, ended.talk
    assert value == "before"
    assert f"{three.before(leader).address}: active: nothing to do." in ended.talk
    for follower in (standby, other):
        assert f"{three.before(follower).address}: standby: nothing to do." in ended.talk
        assert follower.seal_status()["sealed"] is False
        read = partial(at_once, follower, marker, cluster.root_token)
        until(lambda: read() == "before", f"{follower.name} follows", within=90)  # noqa: B023
    assert len(three.sent()) == already + 1
    assert three.sent()[-1] in three.before(leader).requests
    cluster.write_secret(marker, {"value": "writable"})


def test_a_forced_restore_leaves_a_sealed_cluster_that_opens_with_the_old_keys(
    start_bao: StartBao, tmp_path: Path, bao: OpenBaoCluster, foreign: Path
) -> None:
    with ExitStack() as stack:
        cluster = start_bao()
        there = Field(cluster, prepare_agent(cluster), tmp_path / "agent")
        there.hide(stack)
        ended = there.restore(foreign, "--force", "--yes")

        assert ended.code == 0, ended.talk
        assert "--force: the servers will seal; have the snapshot's unseal keys (1 of 1)" in (
            ended.talk
        )
        (node,) = cluster.nodes
        *_, restored, state, way_back = ended.talk.splitlines()
        assert restored == (
            "Restored; the cluster is sealed now. Restart every node, then unseal it with the"
            " keys of the cluster the snapshot was taken from. Tokens and logins are that"
            " cluster's as well; then run doctor."
        )
        assert state == (
            f"{there.before(node).address}: sealed: restart it, then unseal it with the keys of"
            " the snapshot's cluster."
        )
        assert way_back.startswith("To undo: raft-snapshot-agent restore ")
        assert "--force" in way_back
        assert node.seal_status()["sealed"] is True
        node.restart()
        node.unseal(bao.unseal_keys)
        node.wait_active()
        secret = node.api("GET", "secret/data/whose", token=bao.root_token)
        assert secret["data"]["data"] == {"name": "the other cluster"}


@pytest.mark.soak
async def test_a_drill_reads_a_secret_back_and_leaves_no_server(one: Field, tmp_path: Path) -> None:
    marker = marked(one.cluster, "for the drill")
    snapshot = one.save()
    value = ""

    with CancelScope() as given_up:
        async with restored(snapshot, one.cluster.unseal_keys, tmp_path / "drill") as node:
            value = at_once(node, marker, one.cluster.root_token)
            assert node.address not in {member.address for member in one.cluster.nodes}
            given_up.cancel()
            await checkpoint()

    assert given_up.cancelled_caught
    assert value == "for the drill"
    assert not node.process.alive


# Who is asked.


def test_nobody_there_to_confirm_is_a_no(one: Field, snapshot: Path) -> None:
    ended = call("restore", snapshot, "-c", one.configuration(), env=one.operator)

    assert ended.code == 1
    assert ended.error == "error: no terminal to confirm the restore at (give --yes)\n"


@pytest.mark.parametrize("answer", ["no\n", "\n", "yes\n", "vault-cluster\n", "\x04"])
def test_anything_but_the_clusters_name_is_a_no(one: Field, snapshot: Path, answer: str) -> None:
    before = one.sent()
    with Terminal("restore", snapshot, "-c", one.configuration(), env=one.operator) as terminal:
        terminal.shows("to replace all it holds: ")
        terminal.type(answer)
        assert terminal.ended() == 1

    assert "error: not restored (nothing was changed)" in terminal.shown
    assert one.sent() == before


def test_a_signal_at_the_question_is_a_no(one: Field, snapshot: Path) -> None:
    before = one.sent()
    with Terminal("restore", snapshot, "-c", one.configuration(), env=one.operator) as terminal:
        terminal.shows("to replace all it holds: ")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ended() == 130

    assert terminal.shown.endswith("\ninterrupted: nothing was changed\n")
    assert one.sent() == before


def test_a_restore_that_nobody_listens_to_is_carried_out(one: Field) -> None:
    marker = marked(one.cluster, "before")
    snapshot = one.save()
    one.cluster.write_secret(marker, {"value": "after"})
    reader, writer = os.pipe()
    os.close(reader)
    with Command(
        ["restore", snapshot.name, "--yes", "-c", one.configuration()],
        env=environment(one.operator),
        stdout=writer,
        stderr=writer,
    ) as command:
        os.close(writer)
        assert command.wait(90) == 0

    assert at_once(one.cluster.nodes[0], marker, one.cluster.root_token) == "before"


# What is refused before anything is sent.


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (lambda whole: b"", "it is empty"),
        (lambda whole: whole[:-8], "the snapshot is broken"),
        (lambda whole: whole[: len(whole) // 2], "the snapshot is broken"),
        (lambda whole: whole[:2000] + b"?" + whole[2001:], "the snapshot is broken"),
        (lambda whole: whole + b"more", "the snapshot is broken"),
        (lambda whole: b"no archive", "the snapshot is broken"),
    ],
    ids=["empty", "no trailer", "half", "changed", "trailing", "text"],
)
def test_what_is_not_whole_is_never_sent(
    one: Field, snapshot: Path, tmp_path: Path, broken: Callable[[bytes], bytes], why: str
) -> None:
    file = tmp_path / "broken.snap"
    file.write_bytes(broken(snapshot.read_bytes()))

    ended = one.refuses(4, why, file)

    assert str(file) in ended.error


def test_another_clusters_snapshot_is_refused_by_its_manifest(one: Field, foreign: Path) -> None:
    ended = one.refuses(1, "the snapshot is of another cluster", foreign)

    assert (
        "(check that vault.address is the right cluster; --force replaces all its data"
        in ended.talk
    )


def test_another_clusters_snapshot_without_manifest_is_refused_by_the_server(
    one: Field, foreign: Path, tmp_path: Path
) -> None:
    bare = Path(shutil.copy(foreign, tmp_path / "bare.snap"))
    assert not (tmp_path / manifest_name("bare.snap")).exists()
    marker, note = marked(one.cluster, "untouched"), one.restore_note()

    ended = one.restore(bare, "--yes")

    assert ended.code == 2
    address = one.before(one.cluster.nodes[0]).address
    assert ended.talk.splitlines()[-1] == (
        f"error: {address} refuses the snapshot: it was made with other unseal keys"
        " (check that vault.address is the right cluster; --force replaces all its data, and its"
        " nodes then need the unseal keys of the snapshot's cluster)"
    )
    assert at_once(one.cluster.nodes[0], marker, one.cluster.root_token) == "untouched"
    assert one.restore_note() in {b"", note}, "a safety snapshot ends the one of a test before"


# Whose token counts.


def test_a_token_that_may_not_restore_is_told_which_one_would(one: Field, snapshot: Path) -> None:
    before, tokens, note = one.snapshots(), one.tokens(), one.restore_note()
    ended = one.restore(snapshot, "--yes", env={})

    assert ended.code == 2
    assert one.tokens() <= tokens, "the agent's login leaves none"
    last = ended.talk.splitlines()[-1]
    assert last.startswith("error: permission denied: the token needs update on sys/storage/raft/")
    assert "VAULT_TOKEN" in last
    assert one.snapshots() == before, "no safety snapshot is taken for it"
    assert one.restore_note() == note


def test_the_operators_token_counts_for_a_restore_only(one: Field, snapshot: Path) -> None:
    nobodys = {"VAULT_TOKEN": "s.nobodysnobodysnobodysno"}

    refused = one.restore(snapshot, "--yes", env=nobodys)
    saved = call("save", "-c", one.configuration(), env=nobodys)

    assert refused.code == 2
    assert "does not know the token" in refused.talk
    assert "403" in refused.talk
    assert "safety" not in refused.talk
    assert saved.code == 0


# When leadership moves at that very moment.


def test_a_leader_that_stepped_down_before_the_confirmation_gets_nothing(three: Field) -> None:
    cluster = three.cluster
    snapshot, old, sent = three.save(), cluster.leader(), three.sent()

    with Terminal(
        "restore", snapshot.name, "-c", three.configuration(), env=three.operator
    ) as terminal:
        terminal.shows(f"Type the cluster's name, {three.name}, to replace all it holds: ")
        step_down(cluster)
        terminal.type(f"{three.name}\n")
        assert terminal.ended() == 2

    refused = f"the leader that was checked is not at {three.before(old).address} any more"
    assert refused in terminal.shown
    assert "nothing was changed" in terminal.shown
    assert three.sent() == sent
    assert old.seal_status()["sealed"] is False


def test_a_leader_that_dies_after_it_accepted_is_not_called_a_success(three: Field) -> None:
    cluster = three.cluster
    snapshot = three.save()
    leader = cluster.leader()

    def die(exchange: Exchange) -> None:
        response = exchange.forward()
        response.read()
        leader.kill()
        exchange.answer(response.status, [], b"")

    three.before(leader).behave(SNAPSHOT_PATH, die, times=1)

    ended = three.restore(snapshot, "--yes")
    cluster.restart(leader)

    assert ended.code == 2
    last = ended.talk.splitlines()[-1]
    assert f"error: {three.before(leader).address} received the snapshot, but" in last
    assert "it is unknown whether the cluster was restored" in last
    cluster.wait_voters()


@pytest.mark.soak
def test_a_leader_that_stepped_down_before_it_took_it_is_not_called_a_success(
    three: Field,
) -> None:
    cluster = three.cluster
    marker = marked(cluster, "before")
    snapshot = three.save()
    cluster.write_secret(marker, {"value": "after"})
    old = cluster.leader()

    def elect(exchange: Exchange) -> None:
        step_down(cluster)
        # Before it serves requests itself, it redirects; then it takes what it cannot restore.
        until(lambda: follows(old), "it is a standby", within=90)
        exchange.relay(exchange.forward())

    three.before(old).behave(SNAPSHOT_PATH, elect, times=1)

    ended = three.restore(snapshot, "--yes")

    assert ended.code == 2
    last = ended.talk.splitlines()[-1]
    assert last.startswith(f"error: {three.before(old).address} ")
    assert "it is unknown whether the cluster was restored" in last
    until(lambda: old.seal_status()["sealed"], "a standby that is restored seals", within=90)
    cluster.restart(old)
    assert cluster.read_secret(marker) == {"value": "after"}
