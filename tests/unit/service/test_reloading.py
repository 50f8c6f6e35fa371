"""Which objects a reload replaces, and when a configuration is read again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from raft_snapshot_agent.config.keys import KeyPath
from raft_snapshot_agent.config.load import load_all
from raft_snapshot_agent.config.loaded import LoadedFleet
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import Settings
from raft_snapshot_agent.lease import LEASES
from raft_snapshot_agent.notify import NOTIFIERS
from raft_snapshot_agent.service.daemon import ActiveConfig
from raft_snapshot_agent.service.reloading import FileReloader
from raft_snapshot_agent.storage import STORAGES
from raft_snapshot_agent.vault.auth import LOGINS


class Site:
    """A configuration file of some clusters, and a clock that goes when it is told to."""

    spread = timedelta(milliseconds=25)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "agent.json"
        self.now = 0.0
        self.common: dict[str, Any] = {
            "spool": str(folder / "spool"),
            "scrub": {"every": "1d"},
            "drill": {"schedule": {"every": "7d"}},
        }
        self.clusters: dict[str, Any] = {}
        self.add("berlin", 1)
        self.add("paris", 2)
        self.write()
        self.takes = 0.0
        self.reloader = FileReloader(self.read, clock=lambda: self.now)

    def read(self) -> LoadedFleet:
        self.now += self.takes
        return load_all(self.file, os.environ)

    def add(self, name: str, port: int) -> None:
        folder = self.folder / name
        token = folder / "token"
        folder.mkdir(exist_ok=True)
        token.write_text("hvs.1")
        self.clusters[name] = {
            "vault": {
                "address": f"https://127.0.0.1:{port}",
                "auth": {"method": "token", "token": f"file://{token}"},
            },
            "storages": [{"type": "local", "path": str(folder)}],
        }

    def token(self, name: str) -> Path:
        return self.folder / name / "token"

    def write(self) -> None:
        self.file.write_text(json.dumps(self.common | {"clusters": self.clusters}))

    def load(self) -> Mapping[str, Any]:
        return self.reloader.load().clusters

    def notices(self) -> bool:
        """Tell whether the daemon would load the configuration within a minute."""
        self.now += 60
        return self.reloader.changed()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_only_what_a_changed_cluster_needs_is_replaced(site: Site) -> None:
    before = site.load()
    assert site.load() == before, "nothing has changed"

    site.common["notify"] = [{"type": "webhook", "url": "https://example.com"}]
    site.clusters["paris"]["schedule"] = {"every": "2h"}
    site.clusters = {"athens": None, **site.clusters}
    site.add("athens", 3)
    site.write()
    after = site.load()
    assert list(after) == ["athens", "berlin", "paris"]
    assert after["berlin"].has_objects_of(before["berlin"])
    assert [after[name].timing.phase / site.spread for name in after] == [0, 1, 2]
    assert not after["paris"].has_objects_of(before["paris"])
    assert after["paris"].agent._limiter is after["berlin"].agent._limiter

    del site.clusters["athens"]
    site.write()
    last = site.load()
    assert last == {name: after[name] for name in ("berlin", "paris")}
    assert [last[name].timing.phase / site.spread for name in last] == [0, 1]


def test_a_cluster_with_another_name_keeps_its_places(site: Site) -> None:
    before = site.load()
    site.clusters["rome"] = site.clusters.pop("paris")
    site.write()
    after = site.load()
    assert after["rome"].places == before["paris"].places
    assert not after["rome"].places & after["berlin"].places


@pytest.mark.parametrize("name", LOGINS)
def test_a_login_that_is_read_again_is_equal(site: Site, name: str) -> None:
    special: dict[str, dict[str, Any]] = {
        "approle": {"secret_id": "t", "wrapped": True},
        "aws": {"type": "ec2"},
    }
    fields = LOGINS[name].model_fields.items()
    required = {key for key, field in fields if field.is_required()}
    auth = dict.fromkeys(required, "t") | {"method": name} | special.get(name, {})
    site.clusters["paris"]["vault"]["auth"] = auth
    site.write()
    before = site.load()
    assert site.load() == before


def test_no_settings_have_private_attributes() -> None:
    kinds = [*LOGINS.values(), *STORAGES.values(), *NOTIFIERS.values(), *LEASES.values()]
    parts = [*kinds, *_list_subclasses(Settings)]
    assert not [one for one in parts if one.__private_attributes__]


def _list_subclasses(kind: type[Settings]) -> Iterator[type[Settings]]:
    for one in kind.__subclasses__():
        yield one
        yield from _list_subclasses(one)


@pytest.mark.parametrize(
    "change", [{"concurrency": 9}, {"spread": "9s"}, {"log": {"level": "debug"}}]
)
def test_what_all_share_replaces_all(site: Site, change: Mapping[str, Any]) -> None:
    before = site.load()
    site.common |= change
    site.write()
    after = site.load()
    assert not any(after[name] is before[name] for name in before)


def test_who_may_write_the_file_counts_as_a_part_of_it(site: Site) -> None:
    for one in site.clusters.values():
        one["vault"]["auth"]["token"] = "hvs.1"
    site.write()
    before = site.load()
    site.file.chmod(0o666)  # what it names is read only if anybody may
    after = site.load()
    assert not any(after[name] is before[name] for name in before)
    assert site.load() == after


def test_the_line_of_an_error_is_that_of_the_newest_file(site: Site) -> None:
    before = site.load()["berlin"].drills
    key: KeyPath = ("drill", "schedule")
    assert before.position(key).startswith(f"{site.file}:1:")
    site.file.write_text(f"\n\n{site.file.read_text()}")
    assert site.load()["berlin"].drills is before
    assert before.position(key).startswith(f"{site.file}:3:")


def test_a_cluster_that_is_disabled_at_the_start_is_tried_again(site: Site) -> None:
    site.add("athens", 3)
    site.write()
    site.token("paris").unlink()
    site.token("athens").unlink()
    active = site.reloader.load()
    assert (list(active.clusters), list(active.disabled)) == (["berlin"], ["paris", "athens"])
    assert not site.notices(), "nothing has changed"

    site.token("paris").write_text("hvs.2")
    assert not site.reloader.changed(), "it looks now and then only"
    assert site.notices()
    after = site.reloader.load()
    assert (list(after.clusters), list(after.disabled)) == (["berlin", "paris"], ["athens"])
    assert after.clusters["berlin"] is active.clusters["berlin"]
    assert not site.notices()

    site.token("athens").write_text("hvs.2")
    assert site.notices()
    assert not site.reloader.load().disabled
    assert not site.notices()


def refused(site: Site) -> str:
    with pytest.raises(ConfigError) as refusal:
        site.reloader.load()
    return str(refusal.value)


def test_a_configuration_that_names_a_file_which_comes_later_is_tried_again(site: Site) -> None:
    before: ActiveConfig = site.reloader.load()
    later = site.folder / "later"
    site.clusters["paris"]["vault"]["auth"]["token"] = f"file://{later}"
    site.write()
    assert site.reloader.changed()
    assert str(later) in refused(site)
    assert not site.notices(), "the same is wrong with it"

    later.write_text("")
    assert site.notices(), "something else is wrong with it"
    assert "empty" in refused(site)
    later.write_text("hvs.2")
    assert site.notices()
    after = site.reloader.load()
    assert after.clusters["berlin"] is before.clusters["berlin"]
    assert not site.notices()


def test_a_look_that_takes_long_is_seldom(site: Site) -> None:
    site.takes = 10.0
    site.token("paris").unlink()
    site.load()
    site.token("paris").write_text("hvs.2")
    assert [site.notices() for _ in range(4)] == [False, False, False, True]


def test_a_file_that_is_missing_for_a_moment_is_not_read(site: Site) -> None:
    site.load()
    content = site.file.read_text()
    site.file.unlink()
    assert not site.notices()
    site.file.write_text(content)
    assert site.notices()


def test_a_folder_that_was_there_is_not_created_again(site: Site) -> None:
    """Its disk may be unmounted, and snapshots would fill the one below."""
    kept = site.folder / "kept"
    site.clusters["berlin"]["storages"][0]["path"] = str(kept)
    site.write()
    site.load()
    assert kept.is_dir()
    kept.rmdir()
    site.common["log"] = {"level": "debug"}
    site.write()
    site.load()
    assert not kept.exists()
    (storage,) = site.clusters["berlin"]["storages"]
    storage["retention"] = {"last": 9}
    site.clusters["rome"] = site.clusters.pop("berlin")
    site.write()
    site.load()
    assert not kept.exists()
    storage["prefix"] = "new"
    site.write()
    site.load()
    assert not kept.exists()
    other = site.folder / "other"
    storage["path"] = str(other)
    site.write()
    site.load()
    assert (other / "new").is_dir()


def test_a_folder_that_was_removed_for_good_is_in_no_others_way(site: Site) -> None:
    for name in site.clusters:
        site.clusters[name]["storages"][0] |= {"path": str(site.folder / "disk"), "prefix": name}
    site.write()
    site.load()
    del site.clusters["paris"]
    (site.folder / "disk/paris").rmdir()
    site.add("rome", 3)
    site.clusters["rome"]["storages"][0] |= {"path": str(site.folder / "disk"), "prefix": "rome"}
    site.write()
    site.load()
    assert (site.folder / "disk/rome").is_dir()


def test_a_disk_that_is_mounted_after_the_start_gets_its_folder(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing: list[Path] = [site.folder / "disk"]
    monkeypatch.setattr(
        "raft_snapshot_agent.storage.local.local.missing_mount",
        lambda *_: missing[0] if missing else None,
    )
    vault = site.folder / "disk/vault"
    disk = {"type": "local", "name": "d", "path": str(vault), "require_mount": str(missing[0])}
    site.clusters["berlin"]["storages"].append(disk)
    site.write()
    before = site.load()
    assert not site.notices(), "it is not mounted yet"
    assert not vault.exists()

    missing.clear()
    assert site.notices()
    assert vault.is_dir()
    assert site.load() == before, "no object needs to be replaced"
    assert not site.notices()
    vault.rmdir()
    assert not site.notices()
    assert not vault.exists(), "it was there, so what is mounted now may be another disk"


def test_a_storage_whose_folder_could_not_be_made_gets_it_later(site: Site) -> None:
    obstacle = site.folder / "disk"
    obstacle.touch()
    site.clusters["berlin"]["storages"].append(
        {"type": "local", "name": "d", "path": str(obstacle / "vault")}
    )
    site.write()
    site.load()
    assert not site.notices()
    obstacle.unlink()
    assert site.notices()
    assert (obstacle / "vault").is_dir()


def test_a_change_of_the_page_that_is_taken_back_needs_no_restart(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    for port, told in ((8299, 0), (8300, 1), (8300, 0), (8299, 0), (8301, 1)):
        site.common["web"] = {"listen": f"127.0.0.1:{port}"}
        site.write()
        site.load()
        assert capsys.readouterr().err.count("take effect after a restart") == told
