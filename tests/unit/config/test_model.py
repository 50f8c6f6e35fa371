from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.config.model import Config, require_storages, spool_folder
from raft_snapshot_agent.core.schedules.schedule import Cron, Every
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import ScheduleSettings
from raft_snapshot_agent.lease.in_storage import StorageLease

LoadText = Callable[..., Loaded]
Refusal = Callable[..., str]


def test_a_snapshot_is_taken_every_hour_unless_told_otherwise() -> None:
    assert Config().schedule.open().schedule == Every(timedelta(hours=1))


def test_every_is_a_distance() -> None:
    assert ScheduleSettings.model_validate({"every": "1h30m"}).open().schedule == Every(
        timedelta(minutes=90)
    )


def test_cron_runs_in_its_time_zone() -> None:
    settings = ScheduleSettings(cron="0 */4 * * *", timezone="Europe/Berlin")
    assert settings.open().schedule == Cron("0 */4 * * *", ZoneInfo("Europe/Berlin"))


def test_cron_is_in_utc_unless_told_otherwise() -> None:
    assert ScheduleSettings(cron="@daily").open().schedule == Cron("@daily")


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("Europe/Berln", "did you mean 'Europe/Berlin'?"),
        ("Berlin", "did you mean 'Europe/Berlin'?"),
        ("utc", "did you mean 'UTC'?"),
        ("CEST", "such as Europe/Berlin"),  # EST is seven hours off
        ("JST", "such as Europe/Berlin"),
        ("GMT+1", "such as Europe/Berlin"),  # Etc/GMT+1 is behind, not ahead
        ("../x", "such as Europe/Berlin"),
        ("x\0", "such"),
    ],
)
def test_an_unknown_time_zone_is_named(zone: str, hint: str) -> None:
    with pytest.raises(ConfigError, match="unknown time zone") as caught:
        ScheduleSettings(cron="@daily", timezone=zone).open()
    assert hint in caught.value.hint


def test_storages_are_called_by_their_type_and_a_number(load_text: LoadText) -> None:
    text = """
        storages:
          - {type: s3, bucket: a}
          - {type: s3, bucket: b, name: s3-2}
          - {type: local, path: /x}
          - {type: s3, bucket: c}
          - {type: local, path: /y, name: disk}
    """
    names = [storage.name for storage in load_text("c.yaml", text).config.storages]
    assert names == ["s3", "s3-2", "local", "s3-3", "disk"]


def test_a_storage_takes_the_common_retention_unless_it_has_its_own(load_text: LoadText) -> None:
    text = """
        retention: {last: 24}
        storages:
          - {type: local, path: /x}
          - {type: s3, bucket: b, retention: {within: 36h, min_keep: 3}}
          - {type: s3, bucket: c, static_name: latest.snap}
    """
    common, own, static = (one.retention for one in load_text("c.yaml", text).config.storages)
    assert common is not None
    assert common.last == 24
    assert own is not None
    assert (own.last, own.within, own.min_keep) == (None, timedelta(hours=36), 3)
    assert static is None


def test_without_retention_everything_is_kept(load_text: LoadText) -> None:
    config = load_text("c.yaml", "storages: [{type: local, path: /x}]\n").config
    assert config.retention is None
    assert config.storages[0].retention is None


def test_no_storage_is_fine_until_one_is_needed() -> None:
    with pytest.raises(ConfigError, match="no storage is configured") as caught:
        require_storages(Config())
    assert "type: local, path:" in caught.value.hint


def test_storages_are_returned_where_there_are_some(load_text: LoadText) -> None:
    config = load_text("c.yaml", "storages: [{type: local, path: /x}]\n").config
    assert require_storages(config) == config.storages


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"CACHE_DIRECTORY": "/var/cache/a:/var/cache/b", "TMPDIR": "/t"}, "/var/cache/a"),
        ({"TMPDIR": "/t"}, "/t"),
        ({"CACHE_DIRECTORY": "", "TMPDIR": ""}, "/var/tmp"),
        ({}, "/var/tmp"),
    ],
)
def test_the_spool_lies_where_there_is_room(environ: dict[str, str], folder: str) -> None:
    assert spool_folder(Config(), environ) == Path(folder)


def test_a_configured_spool_comes_first() -> None:
    assert spool_folder(Config(spool=Path("/s")), {"CACHE_DIRECTORY": "/c"}) == Path("/s")


LEASED = """
vault: {auth: {method: token, token: t}}
storages:
  - {type: local, path: /var/backups}
  - {type: sftp, host: h, path: /b, username: u, password: p, name: far}
"""


def test_a_lease_names_the_storage_that_keeps_it(load_text: LoadText) -> None:
    config = load_text("a.yaml", LEASED + "lease: {type: storage, storage: local}\n").config
    assert isinstance(config.lease, StorageLease)
    assert (config.lease.duration, config.lease.name) == (
        timedelta(seconds=15),
        "raft-snapshot-lease",
    )


@pytest.mark.parametrize(
    ("lease", "told"),
    [
        (
            "{type: storage, storage: s3}",
            "lease.storage: no storage is called 's3'; there are: loc",
        ),
        ("{type: storage}", "lease.storage"),
        ("{type: zookeeper, storage: local}", "lease.type"),
        ("{type: kubernetes, storage: local}", "lease.storage: unknown key"),
        ("{type: kubernetes, name: Upper}", "lease.name: must be a name as Kubernetes has them"),
        ("{type: kubernetes, duration: 1s}", "lease.duration: must be between 2s and 1h"),
        ("{type: storage, storage: local, duration: 1s}", "must be between 2s and 1h"),
        ("{type: storage, storage: local, name: a/b}", "must be a plain file name"),
    ],
)
def test_a_wrong_lease_is_told_with_its_place(refusal: Refusal, lease: str, told: str) -> None:
    assert told in refusal("a.yaml", f"{LEASED}lease: {lease}\n")
