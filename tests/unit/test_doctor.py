"""What the doctor says of storages, connections and rights, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from raft_snapshot_agent import doctor
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.doctor import Patient, Status
from raft_snapshot_agent.errors import ConfigError, StorageDenied, StorageUnavailable
from raft_snapshot_agent.place import Place
from raft_snapshot_agent.storage.base import Entry
from raft_snapshot_agent.storage.memory import MemoryStorage
from raft_snapshot_agent.vault.answers import SNAPSHOT_PATH
from raft_snapshot_agent.vault.leader import Cluster


class Refusing(MemoryStorage):
    """A storage that does not let itself be listed."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    async def entries(self) -> list[Entry]:
        raise self._error


def patient(*places: Place, **vault: Any) -> Patient:
    config = Config.model_validate({"vault": {"address": "http://127.0.0.1:1", **vault}})
    return Patient(config, {}, places, Cluster(config.vault, "leader"))


async def test_storages_are_listed_each_on_its_own() -> None:
    denied = Refusing(StorageDenied("no s3:ListBucket", hint="grant it"))
    away = Refusing(StorageUnavailable("cannot reach it", hint="check the address"))
    found = await doctor.storages(
        patient(Place("whole", MemoryStorage()), Place("closed", denied), Place("away", away))
    )
    assert [one.status for one in found] == [Status.SUCCESS, Status.WARNING, Status.FAILURE]
    assert found[1].message == "closed may not be listed: no s3:ListBucket"
    assert (found[2].message, found[2].advice) == ("away: cannot reach it", "check the address")
    assert [one.exit_code for one in found] == [0, 0, 2]


async def test_without_storages_there_is_nothing_to_list() -> None:
    (found,) = await doctor.storages(patient())
    assert found.status is Status.SKIPPED


@pytest.mark.parametrize(
    ("vault", "status", "message"),
    [
        ({"address": "http://127.0.0.1:8200"}, "success", "stays on this host"),
        ({"address": "unix:///run/bao.sock"}, "success", "stays on this host"),
        ({"address": "http://192.0.2.1:8200"}, "warning", "is not encrypted"),
        ({"address": "https://192.0.2.1:8200"}, "success", "is verified"),
        (
            {"address": "https://192.0.2.1:8200", "tls": {"skip_verify": True}},
            "warning",
            "is not verified",
        ),
    ],
)
async def test_it_says_which_connections_are_protected(
    vault: dict[str, Any], status: str, message: str
) -> None:
    (found,) = await doctor.tls(patient(**vault))
    assert (found.status, found.message) == (status, f"{vault['address']} {message}")


@pytest.mark.parametrize(
    ("capabilities", "status"),
    [
        (["read"], "success"),
        (["deny"], "failure"),
        (["update"], "failure"),
        (["read", "sudo"], "warning"),
        (["create", "read"], "warning"),
        (["root"], "warning"),
    ],
)
def test_rights_are_held_against_what_is_needed(capabilities: list[str], status: str) -> None:
    found = doctor._judged(set(capabilities), {SNAPSHOT_PATH: capabilities})
    assert found.status == status
    assert bool(found.exit_code) is (status == "failure")


async def test_one_failing_check_does_not_end_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: Patient) -> list[doctor.Finding]:
        raise ConfigError("it is wrong", hint="mend it")

    checks = {"first": broken, "storages": doctor.storages}
    monkeypatch.setattr(doctor, "CHECKS", checks)
    first, second = await doctor.examine(patient())
    assert (first.check, first.status, first.exit_code) == ("first", Status.FAILURE, 1)
    assert (first.message, first.advice) == ("it is wrong", "mend it")
    assert second.check == "storages"
