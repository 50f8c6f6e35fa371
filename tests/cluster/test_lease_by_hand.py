"""Commands an operator types need no lease, and nothing of what keeps it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.site import Ending, Site, in_process, oldest_first

from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

LEASES: dict[str, dict[str, Any]] = {
    "local": {"type": "storage", "storage": "local"},
    "s3": {"type": "storage", "storage": "s3"},
    "not reached": {"type": "storage", "storage": "far"},
    "kubernetes": {"type": "kubernetes"},
}
FAR = {
    "type": "s3",
    "name": "far",
    "bucket": "b",
    "endpoint": "http://127.0.0.1:9",
    "timeout": "1s",
    "access_key_id": "a",
    "secret_access_key": "s",
    "required": False,
}
Type = Callable[..., Ending]


@pytest.fixture(params=LEASES)
def keeper(request: pytest.FixtureRequest) -> str:
    keeper: str = request.param
    return keeper


@pytest.fixture
def site(
    tmp_path: Path,
    seaweed: SeaweedFS,
    bucket: str,
    approle: AppRole,
    bao: OpenBaoCluster,
    keeper: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with Site(tmp_path, seaweed, bucket, approle) as site:
        site.vault["address"] = bao.leader().address
        site.more["lease"] = LEASES[keeper]
        if keeper == "not reached":
            site.more["storages"] = [site.local, site.s3, FAR]
        yield site


@pytest.fixture
def types(site: Site) -> Type:
    """Type a command; whatever becomes of it, the lease is no matter."""

    def type_it(*words: str, code: int = 0) -> Ending:
        ending = in_process(*words, "-c", str(site.configuration()))
        assert ending.code == code, ending.said
        assert "unexpected" not in ending.said
        assert "Traceback" not in ending.said
        assert not re.search(r"\blease\b|[Kk]ubernetes", ending.said)
        return ending

    return type_it


def test_every_command_works_without_the_lease(
    site: Site, types: Type, tmp_path: Path, keeper: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightkube", None)
    file = str(tmp_path / "one.snap")
    types("save", file)
    with site.piped("save", "-") as (running, pipe):
        while pipe.read(1 << 16):
            pass
        assert running.ended().code == 0, running.said
    types("save", "--storage", "local")
    types("list", "--storage", "local")
    if keeper != "not reached":
        types("save")
        types("list")
    types("inspect", file)
    types("verify", file)
    types("prune", "--dry-run", "--storage", "local")
    name = oldest_first(site.files())[0]
    types("hold", name, "--storage", "local")
    types("release", name, "--storage", "local")
    if keeper != "not reached":
        types("fetch", name, "--output", str(tmp_path / "two.snap"))
    (tmp_path / "broken.snap").write_bytes(b"no snapshot")
    types("restore", str(tmp_path / "broken.snap"), "--yes", code=4)


def test_doctor_tells_of_the_lease_and_needs_none(site: Site, keeper: str) -> None:
    ending = in_process("doctor", "--format", "json", "-c", str(site.configuration()))
    assert "unexpected" not in ending.said
    table = json.loads(ending.said[ending.said.index("[") :])
    found = {row["check"]: row for row in table}
    assert found["configuration"]["status"] == "success"
    told = found["lease"]
    match keeper:
        case "kubernetes":
            assert (ending.code, told["status"]) == (0, "warning")
            assert "no access to Kubernetes" in told["message"]
        case "not reached":
            assert (ending.code, told["status"]) == (2, "failure")
            assert "cannot read the lease record s3://b/" in told["message"]
        case _:
            assert (ending.code, told["status"]) == (0, "success")
            assert told["message"].startswith("no agent holds the lease in ")
