"""A Lease of Kubernetes, beyond what every register does."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lightkube import KubeConfig
from tests.kube import NAMESPACE, TOKEN, Kube
from tests.raw_server import OK, Pieces, RawServer, body, endless

from raft_snapshot_agent.core.leases.lease import LeaseStore
from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.errors import (
    ConfigError,
    LoginRefused,
    StorageDenied,
    StorageUnavailable,
)
from raft_snapshot_agent.lease.in_kubernetes import KubernetesLease
from raft_snapshot_agent.lease.settings import USUAL_NAME

pytestmark = pytest.mark.anyio

FIRST = Record("host-1", 3, 0, 2.5, "2026-11-25T12:00:00Z", {"s3": "2026-11-25T12:00:00+00:00"})


Open = Callable[..., LeaseStore]


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    made: list[LeaseStore] = []

    def open_one(**more: Any) -> LeaseStore:
        made.append(KubernetesLease(type="kubernetes", **more).lease_store(()))
        return made[-1]

    yield open_one
    for lease_store in made:
        await lease_store.close()


@pytest.fixture
def outside(kube: Kube, monkeypatch: pytest.MonkeyPatch) -> Kube:
    monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig()))
    return kube


@pytest.fixture
def pod(kube: Kube, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a pod finds: its service account and the API server's address."""
    account = kube.service_account()
    found = partial(KubeConfig.from_env, service_account=account)
    monkeypatch.setattr(KubeConfig, "from_env", found)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(kube.port))
    return account


async def test_kubectl_shows_who_holds_it(opened: Open, outside: Kube) -> None:
    await opened().write(FIRST, None)
    spec = outside.leases[USUAL_NAME]["spec"]
    assert spec["holderIdentity"] == "host-1"
    assert spec["leaseDurationSeconds"] == 3
    assert spec["leaseTransitions"] == 3
    assert spec["acquireTime"].startswith("2026-11-25T12:00:00.")
    assert outside.leases[USUAL_NAME]["metadata"]["namespace"] == NAMESPACE


async def test_one_that_was_given_back_has_no_holder(opened: Open, outside: Kube) -> None:
    lease_store = opened()
    version = await lease_store.write(FIRST, None)
    await lease_store.write(FIRST.released(), version)
    assert not outside.leases[USUAL_NAME]["spec"].get("holderIdentity")


async def test_what_others_wrote_to_it_stays(opened: Open, outside: Kube) -> None:
    lease_store = opened()
    await lease_store.write(FIRST, None)
    about = outside.leases[USUAL_NAME]["metadata"]
    about["labels"] = {"app": "backup"}
    about["annotations"]["team"] = "a"
    about["ownerReferences"] = [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]
    found = await lease_store.read()
    assert found is not None
    await lease_store.write(found.record.renewed({}), found.version)
    about = outside.leases[USUAL_NAME]["metadata"]
    assert (about["labels"], about["annotations"]["team"]) == ({"app": "backup"}, "a")
    assert about["ownerReferences"][0]["name"] == "p"


async def test_one_that_somebody_else_made_is_not_taken_at_once(
    opened: Open, outside: Kube
) -> None:
    lease_store = opened()
    await lease_store.write(FIRST, None)
    del outside.leases[USUAL_NAME]["metadata"]["annotations"]
    found = await lease_store.read()
    assert found is not None
    assert (found.record.free, found.record.seconds) == (False, 60)


async def test_in_a_pod_the_token_may_be_another_each_time(
    opened: Open, kube: Kube, pod: Path
) -> None:
    lease_store = opened()
    version = await lease_store.write(FIRST, None)
    kube.tokens = {"another"}
    (pod / "token").write_text("another")
    assert await lease_store.write(FIRST.renewed({}), version)


async def test_a_name_and_a_namespace_can_be_given(opened: Open, outside: Kube) -> None:
    with pytest.raises(
        StorageDenied, match=r"write the lease record kubernetes:other/a\.b: .*forbid"
    ):
        await opened(namespace="other", name="a.b").write(FIRST, None)
    await opened(namespace=NAMESPACE, name="a.b").write(FIRST, None)
    assert list(outside.leases) == ["a.b"]


@pytest.mark.parametrize(("verb", "doing"), [("get", "read"), ("create", "write")])
async def test_a_right_that_is_missing_is_told(
    opened: Open, outside: Kube, verb: str, doing: str
) -> None:
    outside.forbidden = {verb}
    with pytest.raises(StorageDenied, match=f"cannot {doing} the lease record ") as caught:
        await (opened().read() if doing == "read" else opened().write(FIRST, None))
    assert "get, create and update leases of coordination.k8s.io" in caught.value.hint
    assert TOKEN not in str(caught.value)


async def test_a_token_that_is_refused_is_told(opened: Open, outside: Kube) -> None:
    outside.tokens = set()
    with pytest.raises(LoginRefused, match=r"the token is refused \(401 Unauthorized\)"):
        await opened().read()


async def test_whatever_stands_in_the_record_it_can_be_taken_over(
    opened: Open, outside: Kube
) -> None:
    lease_store = opened()
    await lease_store.write(FIRST, None)
    annotations = outside.leases[USUAL_NAME]["metadata"]["annotations"]
    (key,) = annotations
    for found in (
        {"taken_at": "0001-01-01T00:00:00+14:00"},
        {"taken_at": "9999-12-31T23:59:59-14:00"},
        {"term": 2**31 - 1},
        {"term": 2**70},
        {"seconds": 1e300},
        {"seconds": float("nan")},
        {"holder": "x" * 10**5},
    ):
        annotations[key] = json.dumps(json.loads(FIRST.to_json()) | found)
        seen = await lease_store.read()
        assert seen is not None
        record = replace(seen.record, holder="me", term=seen.record.term + 1)
        assert await lease_store.write(record, seen.version)
        annotations = outside.leases[USUAL_NAME]["metadata"]["annotations"]


async def test_a_server_that_is_not_there_is_told_and_found_again(
    opened: Open, kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kube.kubeconfig()
    document = json.loads(path.read_text())
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    path.write_text(json.dumps(document))
    monkeypatch.setenv("KUBECONFIG", str(path))
    lease_store = opened()
    with pytest.raises(StorageUnavailable, match="cannot read the lease record kubernetes:"):
        await lease_store.read()
    kube.kubeconfig()
    assert await lease_store.read() is None


@pytest.mark.parametrize(
    "text", [None, "{}", "nothing: [", "[]", '{"current-context": "x", "clusters": []}']
)
def test_a_host_that_knows_no_kubernetes_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    path = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(path))
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match="no access to Kubernetes") as caught:
        KubernetesLease(type="kubernetes").check()
    assert "\n" not in str(caught.value)
    assert "KUBECONFIG" in caught.value.hint


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (endless(OK + b"\r\n", b" " * 65536), "longer than 4194304 bytes"),
        (body(gzip.compress(b"{}"), b"Content-Encoding: gzip"), "was not requested"),
    ],
)
async def test_an_answer_that_is_too_much_is_a_failure(
    lie: Pieces, why: str, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(lie) as server:
        config = {
            "clusters": [{"name": "c", "cluster": {"server": server.address}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "n"}}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
            "current-context": "x",
        }
        (tmp_path / "config").write_text(json.dumps(config))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        with pytest.raises(StorageUnavailable, match=why):
            await opened().read()
        assert server.sent < 32 << 20
