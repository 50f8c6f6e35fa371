"""Whether a bucket keeps what is deleted, and whether a rule ends that, on two stores."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.contract.conftest import _place
from tests.contract.destinations import S3
from tests.http_proxy import status
from tests.lying import S3Faults

from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.doctor.results import CheckContext, CheckResult
from raft_snapshot_agent.doctor.versions import versions
from raft_snapshot_agent.vault.leader import Cluster

pytestmark = pytest.mark.anyio

PREFIX = "prod/"
LEFT_ALONE: list[dict[str, Any]] = [{"retention": None}, {"prune": False}, {"retention": {}}]


@pytest.fixture(params=["moto", "s3"])
def store(request: pytest.FixtureRequest) -> S3:
    destination = _place(request.param, request)
    assert isinstance(destination, S3)
    return destination


async def found(destination: S3, **more: Any) -> list[CheckResult]:
    settings = destination.settings(PREFIX, **{"retention": {"last": 3}, **more})
    config = Config.model_validate(
        {"vault": {"address": "http://127.0.0.1:1"}, "storages": [settings]}
    )
    cluster = Cluster(config.vault, "leader")
    return await versions(CheckContext(config, {}, (), cluster, datetime.now(UTC)))


async def said(destination: S3, **more: Any) -> str:
    (result,) = await found(destination, **more)
    return result.status.value


def keep_versions(destination: S3) -> None:
    how = {"Status": "Enabled"}
    destination.client.put_bucket_versioning(Bucket=destination.bucket, VersioningConfiguration=how)


def rule(destination: S3, **parts: Any) -> None:
    whole = {
        "ID": "old",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
        **parts,
    }
    told = {"Rules": [{key: value for key, value in whole.items() if value is not None}]}
    destination.client.put_bucket_lifecycle_configuration(
        Bucket=destination.bucket, LifecycleConfiguration=told
    )


async def test_a_bucket_without_versions_is_good(store: S3) -> None:
    assert await said(store) == "success"


async def test_versions_that_nothing_ends_are_warned_of(store: S3) -> None:
    keep_versions(store)
    (result,) = await found(store)
    assert result.status == "warning"
    assert "NoncurrentVersionExpiration" in result.advice


async def test_only_a_rule_that_ends_versions_here_is_one(
    request: pytest.FixtureRequest,
) -> None:
    moto = _place("moto", request)
    assert isinstance(moto, S3)
    keep_versions(moto)
    rule(moto)
    assert await said(moto) == "success"
    rule(moto, Filter={"Prefix": "prod/"})
    assert await said(moto) == "success"
    expiry = {"NoncurrentVersionExpiration": None, "Expiration": {"Days": 7}}
    tag = {"Key": "of", "Value": "others"}
    for parts in (
        {"Filter": {"Prefix": "test/"}},
        {"Status": "Disabled"},
        expiry,
        {"Filter": {"Tag": tag}},
    ):
        rule(moto, **parts)
        assert await said(moto) == "warning", parts


async def test_where_nothing_is_deleted_nothing_is_asked(store: S3) -> None:
    keep_versions(store)
    for more in LEFT_ALONE:
        assert await found(store, **more) == []
    assert await said(store, retention=None, static_name="one.snap") == "warning"


@pytest.mark.parametrize(
    ("code", "body", "how"),
    [
        (403, "<Error><Code>AccessDenied</Code></Error>", "skipped"),
        (501, "<Error><Code>NotImplemented</Code></Error>", "skipped"),
        (404, "", "skipped"),
        (403, "<Error><Code>InvalidAccessKeyId</Code></Error>", "failure"),
        (200, "<!DOCTYPE x><x/>", "failure"),
        (200, "not XML", "failure"),
    ],
)
async def test_what_may_not_be_asked_is_no_failure(
    request: pytest.FixtureRequest, code: int, body: str, how: str
) -> None:
    destination = _place("s3", request)
    assert isinstance(destination, S3)
    with S3Faults(destination.seaweed.endpoint) as faults:
        faults.behave(lambda request: "versioning" in request.target, status(code, body.encode()))
        assert await said(destination, endpoint=faults.address) == how
