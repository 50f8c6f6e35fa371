"""Every command with every feature of the configuration, in pairs: nothing is unexpected."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina
from tests.contract.conftest import _place, azure, gcs, s3, spools  # noqa: F401 - fixtures
from tests.faults.site import in_process
from tests.pairs import Row, pairs_of, pairwise
from tests.unit.cli import commands

from raft_snapshot_agent.config.show import schema
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster, prepare_agent

CODES = {0, 1, 2, 3, 4, 5, 6}
NAME = "raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap"
COMMANDS: dict[str, list[str]] = {
    "run --once": ["run", "--once"],
    "run --once --require-leader": ["run", "--once", "--require-leader"],
    "save": ["save"],
    "save --storage": ["save", "--storage", "first"],
    "save FILE": ["save", "FILE", "--force"],
    "save -": ["save", "-"],
    "list": ["list"],
    "inspect": ["inspect", "--latest"],
    "diff": ["diff", NAME, NAME],
    "drill": ["drill", "--latest", "--server", "/nonexistent"],
    "browse": ["browse", "--latest"],
    "recover": ["recover", "--latest", "secret/app", "--yes"],
    "verify": ["verify", "--latest", "--format", "json"],
    "verify --all": ["verify", "--all"],
    "fetch": ["fetch", "--latest", "--output", "FOLDER", "--force"],
    "prune": ["prune"],
    "prune --dry-run": ["prune", "--dry-run"],
    "prune --acknowledge": ["prune", "--acknowledge"],
    "prune --broken": ["prune", "--broken"],
    "hold": ["hold", NAME],
    "release": ["release", NAME],
    "restore": ["restore", "--latest", "--yes"],
    "doctor": ["doctor"],
    "doctor --probe": ["doctor", "--probe"],
    "check": ["check"],
    "check --format json": ["check", "--format", "json", "--max-age", "1h"],
    "copy": ["copy", "--from", "first", "--to", "second", "--dry-run"],
    "status": ["status"],
    "notify test": ["notify", "test"],
    "config check": ["config", "check"],
    "config show": ["config", "show"],
    "config schema": ["config", "schema"],
}
STORAGES = ["local", "s3", "sftp", "swift", "webdav", "azure", "gcs"]
FACTORS: dict[str, list[str]] = {
    "command": [*COMMANDS],
    "storage": STORAGES,
    "second": ["none", "latest", "unreachable"],
    "lease": ["none", "storage", "kubernetes"],
    "run_on": ["leader", "anywhere"],
    "schedule": ["default", "every", "cron", "jitter"],
    "own_schedule": ["none", "every", "cron"],
    "retention": ["none", "last", "periods", "space", "limit", "zone"],
    "own_retention": ["none", "{}", "last"],
    "names": ["agent", "seed", "layout", "static"],
    "prune": ["true", "false"],
    "required": ["true", "false"],
    "bandwidth": ["none", "10MiB/s"],
    "guard": ["default", "0%", "1.0"],
    "log": ["text", "json", "hclog", "debug", "error"],
    "shape": ["one", "clusters", "defaults"],
    "auth": ["approle", "token"],
    "address": ["address", "nodes"],
    "times": ["default", "short"],
    "lock": ["none", "mount", "mode"],
}
USUAL = {name: values[0] for name, values in FACTORS.items()}
TROUBLE = {
    "command": FACTORS["command"],
    "auth": ["wrong", "userpass", "none", "cert", "absent", "approle"],
    "address": ["unreachable", "address"],
    "namespace": ["none", "team"],
    "shape": FACTORS["shape"],
}
"""What keeps a command from coming far, and would hide other pairs."""
RETENTION: dict[str, dict[str, Any]] = {
    "none": {},
    "last": {"last": 3},
    "periods": {"hourly": 1, "daily": 1, "weekly": 1, "monthly": 1, "yearly": 1, "min_keep": 2},
    "space": {"max_space": "1KiB", "within": "7d"},
    "limit": {"last": 1, "max_deletes": 1},
    "zone": {"daily": 2, "timezone": "Europe/Berlin"},
}
SCHEDULE: dict[str, dict[str, Any]] = {
    "every": {"every": "2h"},
    "cron": {"cron": "0 */4 * * *", "timezone": "Europe/Berlin"},
    "jitter": {"every": "1h", "jitter": "5m", "catch_up": False},
}


class Scene:
    """Where the rows are tried."""

    def __init__(self, bao: OpenBaoCluster, approle: AppRole, folder: Path) -> None:
        self.bao, self.approle, self.folder = bao, approle, folder

    def document(self, row: Row, first: dict[str, Any]) -> dict[str, Any]:
        """Write what a row asks for."""
        document: dict[str, Any] = {
            "run_on": row["run_on"],
            "spool": str(self.folder / "spool"),
            "vault": self._vault(row),
            "storages": [
                {**first, "name": "first", **self._common(row, first)},
                *self._second(row),
            ],
        }
        optional = {
            "schedule": SCHEDULE.get(row["schedule"]),
            "retention": RETENTION[row["retention"]],
            "lease": self._lease(row),
            "naming": "seed" if row["names"] == "seed" else None,
            "name_layout": {"prefix": "vault-"} if row["names"] == "layout" else None,
            "guard": {"max_shrink": row["guard"]} if row["guard"].endswith("%") else None,
            "log": self._log(row),
        }
        document |= {key: value for key, value in optional.items() if value}
        return _shaped(row, document)

    def _vault(self, row: Row) -> dict[str, Any]:
        leader = self.bao.leader().address
        address = "http://127.0.0.1:9" if row["address"] == "unreachable" else leader
        vault: dict[str, Any] = {"address": address}
        if row["address"] == "nodes":
            vault = {"nodes": ["http://127.0.0.1:9", leader]}
        if row.get("namespace", "none") != "none":
            vault["namespace"] = row["namespace"]
        if row["times"] == "short":
            vault |= {"timeout": "2s", "stall_timeout": "2s", "snapshot_timeout": "10s"}
        if (auth := self._auth(row)) is not None:
            vault["auth"] = auth
        return vault

    def _auth(self, row: Row) -> dict[str, Any] | None:
        login = {"role_id": self.approle.role_id, "secret_id": self.approle.secret_id}
        return {
            "approle": {"method": "approle", **login},
            "token": {"method": "token", "token": self.bao.root_token},
            "wrong": {"method": "approle", "role_id": "nobody", "secret_id": "nothing"},
            "userpass": {"method": "userpass", "username": "nobody", "password": "nothing"},
            "none": {"method": "none"},
            "cert": {"method": "cert"},
        }.get(row["auth"])

    def _common(self, row: Row, first: dict[str, Any]) -> dict[str, Any]:
        common: dict[str, Any] = {
            "prune": row["prune"] == "true",
            "required": row["required"] == "true",
        }
        if row["own_schedule"] != "none":
            common["schedule"] = SCHEDULE[row["own_schedule"]]
        if row["own_retention"] != "none":
            common["retention"] = {"last": 2} if row["own_retention"] == "last" else {}
        if row["names"] == "static":
            common["static_name"] = "static.snap"
        if row["bandwidth"] != "none":
            common["bandwidth"] = row["bandwidth"]
        if first["type"] == "local" and row["lock"] != "none":
            common |= {"require_mount": "/"} if row["lock"] == "mount" else {"mode": "0640"}
        return common

    def _second(self, row: Row) -> list[dict[str, Any]]:
        latest = {"type": "local", "path": str(self.folder / "latest"), "static_name": "x.snap"}
        nowhere = {"type": "webdav", "url": "http://127.0.0.1:9/x", "timeout": "1s"}
        return {"latest": [latest], "unreachable": [nowhere]}.get(row["second"], [])

    def _lease(self, row: Row) -> dict[str, Any] | None:
        return {
            "storage": {"type": "storage", "storage": "first", "duration": "2s"},
            "kubernetes": {"type": "kubernetes"},
        }.get(row["lease"])

    def _log(self, row: Row) -> dict[str, Any]:
        level = row["log"] if row["log"] in ("debug", "error") else "info"
        layout = row["log"] if level == "info" else "text"
        return {"format": layout, "level": level}


def _shaped(row: Row, document: dict[str, Any]) -> dict[str, Any]:
    if row["shape"] == "one":
        return document
    log = document.pop("log")
    if row["shape"] == "clusters":
        return {"log": log, "clusters": {"prod": document}}
    return {"log": log, **document, "clusters": {"prod": {"run_on": row["run_on"]}}}


@pytest.fixture(autouse=True)
def at_once() -> Iterator[None]:
    """What is down stays down: no second try."""
    with stamina.set_testing(True):
        yield


@pytest.fixture(autouse=True)
def nobodys_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # a safety snapshot that no storage can have is a file there
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


def tried(row: Row, scene: Scene, first: dict[str, Any]) -> str:
    """Run a row's command; return what is wrong with how it ended."""
    path = scene.folder / f"{secrets.token_hex(4)}.json"
    path.write_text(json.dumps(scene.document(row, first)))
    known = {"FILE": str(scene.folder / "once.snap"), "FOLDER": str(scene.folder)}
    arguments = [known.get(one, one) for one in COMMANDS[row["command"]]]
    if row["command"] == "save -":  # there is no stream below in this process
        arguments = ["save", "/dev/null/x"]
    if arguments[:2] != ["config", "schema"]:
        arguments += ["-c", str(path)]
        arguments += ["--cluster", "prod"] if row["shape"] != "one" else []
    ended = in_process(*arguments)
    bad = [word for word in ("Traceback", "unexpected", "Error(") if word in ended.said]
    if bad or ended.code not in CODES:
        return f"{bad} {ended.code} {row}\n{ended.said}"
    return ""


SLICE = {**FACTORS, "storage": ["local", "s3"], "lease": ["none", "storage"]}


def troubled() -> list[Row]:
    return [{**USUAL, **row} for row in pairwise(TROUBLE)]


def wrong(rows: list[Row], scene: Scene, firsts: dict[str, dict[str, Any]]) -> list[str]:
    """Return what was unexpected, after each storage got its first snapshot."""
    begin = [{**USUAL, "command": "save", "storage": kind} for kind in firsts]
    found = [tried(row, scene, firsts[row["storage"]]) for row in (*begin, *rows)]
    return [one for one in found if one]


def test_pairs_are_all_there() -> None:
    factors = {"a": ["1", "2", "3"], "b": ["x", "y"], "c": ["p", "q"]}
    met = set().union(*(pairs_of(row) for row in pairwise(factors)))
    assert len(met) == 3 * 2 + 3 * 2 + 2 * 2


def test_every_command_and_every_storage_there_is_are_among_the_factors() -> None:
    tried_here = {arguments[0] for arguments in COMMANDS.values()}
    assert {name.split()[0] for name in commands.COMMANDS} - {"demo"} == tried_here
    kinds = schema()["properties"]["storages"]["items"]["discriminator"]["mapping"]
    assert set(kinds) == set(STORAGES)


def test_a_slice_of_all_pairs(
    bao: OpenBaoCluster, approle: AppRole, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    firsts = {kind: _place(kind, request).settings("prod") for kind in SLICE["storage"]}
    rows = [*list(pairwise(SLICE))[::12], *troubled()[::12]]
    # Restoring would take away what other tests need; the soak has servers of its own.
    safe = [row for row in rows if row["command"] != "restore" and row["second"] != "unreachable"]
    assert wrong(safe, Scene(bao, approle, tmp_path), firsts) == []


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", STORAGES)
def test_all_pairs(
    start_bao: Callable[[], OpenBaoCluster],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    kind: str,
) -> None:
    bao = start_bao()
    scene = Scene(bao, prepare_agent(bao), tmp_path)
    rows = [row for row in pairwise(FACTORS) if row["storage"] == kind]
    assert len(rows) >= len(COMMANDS)
    rows += troubled() if kind == "local" else []
    assert wrong(rows, scene, {kind: _place(kind, request).settings("prod")}) == []
