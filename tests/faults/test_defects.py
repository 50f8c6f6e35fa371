"""A defect of the agent's own costs no more than what it touches, and never freezes the agent."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from typing import Any

import anyio
import pytest
from tests.faults.site import Site, alone

from raft_snapshot_agent.backup.agent import Agent
from raft_snapshot_agent.config.load import load
from raft_snapshot_agent.core.schedules.timetable import ScheduleState
from raft_snapshot_agent.core.snapshot_file.archive import ArchiveVerifier
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.service import assembly, cluster_loop
from raft_snapshot_agent.storage.http.bucket_storage import BucketStorage
from raft_snapshot_agent.storage.local.local import LocalStorage
from raft_snapshot_agent.transfer.spool import Spool
from raft_snapshot_agent.vault.leader import Cluster
from raft_snapshot_agent.vault.session import Session
from raft_snapshot_agent.vault.stream import SnapshotStream

pytestmark = pytest.mark.usefixtures("server")

TOLD = "unexpected Defect in "


class Defect(Exception):
    """A bug, not a failure anybody thought of."""


def boom(*_: object, **__: object) -> Any:
    raise Defect("boom\nbang")


@pytest.mark.parametrize("verb", ["put", "location"])
def test_in_the_folder(site: Site, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    monkeypatch.setattr(LocalStorage, verb, boom)
    ending = site.run_once()
    assert ending.code == 3
    assert f"Could not store the snapshot in local: {TOLD}" in ending.only_error
    assert len(site.names()[1]) == 1
    assert site.leftovers() == []


@pytest.mark.parametrize("verb", ["put", "location"])
def test_in_the_bucket(site: Site, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    monkeypatch.setattr(BucketStorage, verb, boom)
    ending = site.run_once()
    assert ending.code == 3
    assert f"Could not store the snapshot in s3: {TOLD}" in ending.only_error
    assert len(site.names()[0]) == 1
    assert site.leftovers() == []


@pytest.mark.parametrize("storage", [LocalStorage, BucketStorage])
@pytest.mark.parametrize("verb", ["entries", "delete", "sweep"])
def test_beside_the_way_is_a_warning(
    site: Site, monkeypatch: pytest.MonkeyPatch, storage: type, verb: str
) -> None:
    site.more["retention"] = {"last": 1}
    site.succeeds()
    monkeypatch.setattr(storage, verb, boom)
    ending = site.run_once()
    assert ending.code == 0
    assert TOLD in ending.only_error
    assert ending.of_level("warning") == [ending.only_error]
    assert min(len(names) for names in site.names()) == 1


@pytest.mark.parametrize(
    ("where", "what"),
    [
        (ArchiveVerifier, "feed"),
        (ArchiveVerifier, "finish"),
        (Cluster, "open_snapshot"),
        (SnapshotStream, "chunks"),
        (Spool, "announce"),
        (Spool, "complete"),
        (Spool, "accept"),
    ],
)
def test_on_the_way_fails_the_run(
    site: Site, monkeypatch: pytest.MonkeyPatch, where: type, what: str
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(where, what, boom)
        ending = site.run_once()
    assert ending.code == 1
    assert f"Snapshot failed: {TOLD}" in ending.only_error
    assert site.names() == ([], [])
    assert site.leftovers() == []
    site.succeeds()


async def says(said: io.StringIO, words: str) -> None:
    while words not in said.getvalue():  # noqa: ASYNC110 - a log is no event
        await anyio.sleep(0.02)


async def test_in_a_run_does_not_end_the_daemon(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load(site.configuration(), {}).config
    agent = assembly.agent(config, assembly.destinations(config))
    said = io.StringIO()
    with redirect_stderr(said), anyio.fail_after(60):
        daemon = alone(agent, config, configure("text", "info"))
        with monkeypatch.context() as broken:
            broken.setattr(Agent, "_find_leader", boom)
            broken.setattr(Cluster, "keep_token", boom)
            broken.setattr(Session, "seconds_to_renewal", lambda _session: 0.0)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(daemon.run)
                await says(said, "The token could not be renewed")
                await says(said, "Trying again in")
                broken.undo()
                await says(said, "Successfully created s3 snapshot")
                tasks.cancel_scope.cancel()
    lines = [line for line in said.getvalue().splitlines() if TOLD in line]
    assert len([line for line in lines if "Resolved: " not in line]) == 2
    assert site.leftovers() == []


async def test_between_two_runs_does_not_end_the_daemon(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load(site.configuration(), {}).config
    agent = assembly.agent(config, assembly.destinations(config))
    said = io.StringIO()
    monkeypatch.setattr(cluster_loop, "SLICE", 0.2)
    with redirect_stderr(said), anyio.fail_after(60):
        daemon = alone(agent, config, configure("text", "info"))
        with monkeypatch.context() as broken:
            broken.setattr(ScheduleState, "begin", boom)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(daemon.run)
                await says(said, f"starts again in 0.2 s: {TOLD}")
                broken.undo()
                await says(said, "Successfully created s3 snapshot")
                tasks.cancel_scope.cancel()
    assert site.leftovers() == []
