"""`doctor --probe` on every storage: what it may do is said, and nothing stays behind."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.cluster.command import AGENT, environment
from tests.contract.conftest import _place
from tests.contract.destinations import S3, SETTINGS
from tests.contract.destinations import Place as Somewhere
from tests.http_proxy import Request
from tests.lying import S3Faults
from tests.stores.memory import MemoryStorage

from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.core.snapshots.naming import parse
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.doctor.probe import Trial, probe
from raft_snapshot_agent.doctor.results import CheckContext, CheckResult, Status
from raft_snapshot_agent.doctor.stores import storages
from raft_snapshot_agent.errors import (
    LoginRefused,
    NotThereYet,
    StorageDenied,
    StorageError,
    StorageUnavailable,
)
from raft_snapshot_agent.lease import proof
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS
from raft_snapshot_agent.storage.base import Entry, UploadSource
from raft_snapshot_agent.vault.leader import Cluster

pytestmark = pytest.mark.anyio

WHOLE = "store: permitted: write, read back, list, delete"


def context(
    *destinations: Destination, told: list[str] | None = None, **config: Any
) -> CheckContext:
    vault = {"address": "http://127.0.0.1:1"}
    parsed = Config.model_validate({"vault": vault, **config})
    said = [] if told is None else told
    return CheckContext(parsed, {}, destinations, Cluster(parsed.vault, "leader"), tell=said.append)


async def test_every_storage_is_tried_and_left_as_it_was(destination: Somewhere) -> None:
    other = "prod/raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap"
    destination.plant([other])
    (result,) = await probe(context(Destination("store", destination.open("prod/"))))
    assert (result.status, result.message) == (Status.SUCCESS, WHOLE)
    assert destination.keys() == [other]
    assert destination.pending() == []


@pytest.mark.parametrize("kind", ["local", "s3", "moto", "azure", "gcs"])
async def test_a_storage_that_keeps_leases_proves_it(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind == "moto":  # it compares and writes without a lock, so that two writers may win
        monkeypatch.setattr(proof, "_AT_ONCE", 1)
    destination = _place(kind, request)
    settings = {"name": "store", **destination.settings("prod/")}
    opened = SETTINGS.validate_python(settings)
    if kind == "local":
        opened.prepare()
    told: list[str] = []
    lease = {"type": "storage", "storage": "store"}
    whole, kept = await probe(
        context(Destination("store", opened.open()), told=told, storages=[settings], lease=lease)
    )
    assert (whole.status, whole.message) == (Status.SUCCESS, WHOLE)
    assert (kept.status, "refuses what a lease needs" in kept.message) == (Status.SUCCESS, True)
    assert (destination.keys(), destination.pending(), told) == ([], [], [])


class Faulty(MemoryStorage):
    """A storage that fails at what it is told to."""

    def __init__(self, **failing: Exception) -> None:
        super().__init__()
        self.failing = failing
        self.asked: list[str] = []

    def _fail(self, verb: str) -> None:
        self.asked.append(verb)
        if verb in self.failing:
            raise self.failing[verb]

    async def put(self, name: str, source: UploadSource) -> int:
        self._fail("put")
        size = await super().put(name, source)
        self._fail("after")
        return size

    async def entries(self) -> list[Entry]:
        self._fail("entries")
        return await super().entries()

    async def read(self, name: str) -> AsyncIterator[bytes]:
        self._fail("read")
        async for piece in super().read(name):
            yield piece

    async def delete(self, name: str) -> None:
        self._fail("delete")
        await super().delete(name)


DENIED = StorageDenied("no such right")
LOGIN = LoginRefused("the key is unknown", hint="check the keys")
BROKEN = StorageError("the disk broke")


async def tried(storage: Faulty, **more: Any) -> list[CheckResult]:
    return await probe(context(Destination("store", storage, **more)))


@pytest.mark.parametrize(
    ("failing", "statuses", "message"),
    [
        ({"put": DENIED}, ["failure"], "store cannot write: no such right"),
        ({"put": LOGIN}, ["failure"], "store cannot write: the key is unknown"),
        ({"read": BROKEN}, ["failure"], "store cannot read back: the disk broke"),
        ({"entries": LOGIN}, ["failure"], "store cannot list: the key is unknown"),
        ({"read": RuntimeError("boom")}, ["failure"], "store cannot read back: unexpected"),
        (
            {"entries": DENIED},
            ["warning"],
            "store: permitted: write, read back, delete; not permitted: list",
        ),
        ({"after": BROKEN}, ["failure"], "store cannot write: the disk broke"),
    ],
)
async def test_what_it_may_not_do_is_said(
    failing: dict[str, Exception], statuses: list[str], message: str
) -> None:
    storage = Faulty(**failing)
    found = await tried(storage)
    assert [one.status for one in found] == statuses
    assert found[0].message.startswith(message)
    assert (found[0].exit_code, storage._objects) == (2 if statuses[0] == "failure" else 0, {})


@pytest.mark.parametrize("kind", ["s3", "azure", "gcs", "swift", "sftp", "webdav"])
async def test_where_nothing_can_be_stored_nothing_was_left(
    request: pytest.FixtureRequest, kind: str
) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "sftp": {"host_key": f"SHA256:{'x' * 43}"},
        "azure": {"container": "missing"},
        "swift": {"container": "missing"},
    }
    place = _place(kind, request)
    more = wrong.get(kind, {"bucket": "missing"})
    if kind == "webdav":
        more = {"url": f"{place.settings()['url']}/missing"}
    storage: Any = SETTINGS.validate_python({**place.settings(), **more}).open()
    (found,) = await probe(context(Destination("store", storage)))
    assert (found.status, "cannot write" in found.message) == (Status.FAILURE, True)


@pytest.mark.parametrize(("static", "found"), [(None, True), ("latest.snap", False)])
async def test_one_place_by_two_addresses_is_found(static: str | None, found: bool) -> None:
    place, another = Faulty(), Faulty()
    results = await probe(
        context(
            Destination("first", place),
            Destination("down", Faulty(read=BROKEN, put=DENIED)),
            Destination("second", place, static_name=static),
            Destination("third", another),
        )
    )
    same = [one.message for one in results if one.status is Status.FAILURE][:1]
    assert same == (["first is the same place as second"] if found else [results[1].message])
    assert place._objects == another._objects == {}


@pytest.mark.parametrize(
    ("why", "told"),
    [
        (NotThereYet("/mnt/x does not exist yet"), "not tried: /mnt/x does not exist yet"),
        (StorageUnavailable("no"), "not tried, as it could not be listed just before"),
    ],
)
async def test_nothing_is_written_where_the_list_told_that_nothing_can_be(
    why: StorageError, told: str
) -> None:
    storage, sound = Faulty(entries=why), Faulty()
    kept = {"name": "store", "type": "local", "path": "/nonexistent"}
    lease = {"type": "storage", "storage": "store"}
    one = context(
        Destination("store", storage), Destination("other", sound), storages=[kept], lease=lease
    )
    await storages(one)

    absent, tried, held = await probe(one)

    assert (absent.status, absent.message) == (Status.SKIPPED, f"store: {told}")
    assert (tried.status, tried.message.startswith("other: permitted")) == (Status.SUCCESS, True)
    assert (held.status, held.message) == (Status.SKIPPED, "lease: not tried in store either")
    assert storage.asked == ["entries"]


async def test_an_interrupted_trial_does_not_claim_what_it_does_not_know() -> None:
    gone = StorageUnavailable("no answer")

    class Hanging(Faulty):
        async def put(self, name: str, source: UploadSource) -> int:
            scope.cancel()
            await anyio.sleep_forever()
            return 0

    said: list[str] = []
    with anyio.CancelScope() as scope:
        await probe(context(Destination("store", Hanging(delete=gone)), told=said))
    (line,) = said
    assert line.startswith("memory:raft-snapshot-agent-probe-")
    assert line.endswith("was possibly left behind: it could not be deleted: delete it by hand")


@pytest.mark.parametrize("write", [BROKEN, StorageUnavailable("no answer", hint="try again")])
async def test_what_may_have_been_stored_is_told(write: StorageError) -> None:
    cannot, stays = await tried(Faulty(after=write, delete=write))
    assert cannot.status is Status.FAILURE
    assert stays.message.endswith("was possibly left behind: it could not be deleted")


async def test_credentials_that_may_only_write_are_enough_with_prune_false() -> None:
    denied: dict[str, Exception] = {"read": DENIED, "entries": DENIED, "delete": DENIED}
    fine, stays = await tried(Faulty(**denied), prunes=False)
    assert (fine.status, fine.exit_code) == (Status.SUCCESS, 0)
    told = "store: permitted: write; not permitted: read back, list, delete; with prune: false that is enough"
    assert fine.message == told
    assert stays.status is Status.WARNING
    assert stays.message.startswith("memory:raft-snapshot-agent-probe-")
    assert stays.message.endswith("was left behind: it could not be deleted")
    lacking, _ = await tried(Faulty(**denied))
    assert lacking.status is Status.WARNING


async def test_what_is_not_the_same_is_a_failure() -> None:
    class Lying(Faulty):
        async def read(self, name: str) -> AsyncIterator[bytes]:
            yield b"something else"

    class Elsewhere(Faulty):
        async def entries(self) -> list[Entry]:
            return []

    class Deaf(Faulty):
        async def delete(self, name: str) -> None: ...

    for storage, told in (
        (Lying(), "the data read differs from the data written"),
        (Elsewhere(), "what was just written is not in the list"),
        (Deaf(), "what was deleted is still in the list"),
    ):
        found = await tried(storage)
        assert (found[0].status, told in found[0].message) == (Status.FAILURE, True)


def test_its_name_is_no_snapshots() -> None:
    name = Trial(Destination("store", MemoryStorage())).name
    assert parse(name) is None
    assert parse(f"{name}.json") is None


async def test_a_store_that_ignores_conditions_is_told_and_left_clean(
    request: pytest.FixtureRequest,
) -> None:
    destination = _place("moto", request)
    assert isinstance(destination, S3)
    with Unconditional(destination.seaweed.endpoint) as store:
        settings = {"name": "store", **destination.settings("prod/", endpoint=store.address)}
        opened = SETTINGS.validate_python(settings).open()
        lease = {"type": "storage", "storage": "store"}
        one = context(Destination("store", opened), storages=[settings], lease=lease)
        whole, kept = await probe(one)
    assert (whole.status, kept.status, kept.exit_code) == (Status.SUCCESS, Status.FAILURE, 2)
    assert "storage store cannot keep a lease: it accepts a second create" in kept.message
    assert destination.keys() == []


class Unconditional(S3Faults):
    """Passes everything on but what a write depends on."""

    def _choose(self, request: Request) -> Any:
        for header in ("if-none-match", "if-match"):
            del request.headers[header]
        return super()._choose(request)


def test_an_interrupted_probe_leaves_nothing(
    request: pytest.FixtureRequest, seaweed: SeaweedFS, tmp_path: Path
) -> None:
    destination = _place("s3", request)
    assert isinstance(destination, S3)

    def reads(request: Request) -> bool:
        return request.method == "GET" and "agent-probe-" in request.path

    with S3Faults(seaweed.endpoint) as faults:
        faults.hang(reads)
        storage = destination.settings("prod/", endpoint=faults.address)
        vault = {"address": "http://127.0.0.1:1", "auth": {"method": "token", "token": "t"}}
        file = tmp_path / "config.json"
        file.write_text(json.dumps({"vault": vault, "storages": [storage], "spool": str(tmp_path)}))
        command = [*AGENT, "doctor", "--probe", "-c", str(file)]
        with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE) as agent:
            until(lambda: any(map(reads, faults.requests)), "it reads back", within=60.0)
            assert any("agent-probe-" in key for key in list(destination.keys()))
            agent.send_signal(signal.SIGINT)
            assert agent.wait(60) == 130
    assert destination.keys() == []


async def test_a_store_that_may_only_be_written_to(
    request: pytest.FixtureRequest, seaweed: SeaweedFS
) -> None:
    destination = _place("s3", request)
    assert isinstance(destination, S3)
    uploader = seaweed.identities[1]
    storage = destination.open(
        "prod/",
        access_key_id=uploader.access_key_id,
        secret_access_key=uploader.secret_access_key,
    )
    (result,) = await probe(context(Destination("store", storage, prunes=False)))
    assert result.status is Status.SUCCESS
    assert "not permitted: read back, list; with prune: false that is enough" in result.message
    assert destination.keys() == []
