"""Snapshots that are uploaded in parts: all of them, or nothing stays."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from tests.faults.site import Site
from tests.lying import LyingProxy, Request, S3Faults

from raft_snapshot_agent.config.load import load
from raft_snapshot_agent.core.state.report import Outcome
from raft_snapshot_agent.service import assembly


@pytest.fixture(autouse=True)
def behind(big_site: Site, big_server: LyingProxy, s3: S3Faults) -> None:
    big_site.s3["endpoint"] = s3.address


def is_part(request: Request) -> bool:
    return request.method == "PUT" and "partNumber" in request.query


def is_second_part(request: Request) -> bool:
    return is_part(request) and request.query["partNumber"] == ["2"]


def test_part_is_sent_again(big_site: Site, s3: S3Faults) -> None:
    s3.fail(is_second_part, 500, times=2)
    big_site.succeeds()
    assert len([request for request in s3.requests if is_second_part(request)]) == 3


def test_no_part_passes(big_site: Site, big_server: LyingProxy, s3: S3Faults) -> None:
    s3.fail(is_second_part, 500)
    big_site.fails_partly("s3", "the store answered 500")
    s3.heal()
    big_site.succeeds()
    assert len(big_server.snapshot_requests) == 2


def test_part_is_never_answered(big_site: Site, s3: S3Faults) -> None:
    s3.hang(is_part)
    with patch.dict(big_site.s3, timeout="1s"):
        big_site.fails_partly("s3", "no answer in time")
    s3.heal()
    big_site.succeeds()


def test_upload_is_never_completed(big_site: Site, s3: S3Faults) -> None:
    s3.fail(lambda request: request.method == "POST" and "uploadId" in request.query, 503)
    big_site.fails_partly("s3", "the store answered 503")
    s3.heal()
    big_site.succeeds()


@pytest.mark.soak
async def test_what_the_bucket_could_not_be_told_to_drop_is_dropped_by_the_next_run(
    big_site: Site, s3: S3Faults
) -> None:
    with patch.dict(big_site.s3, timeout="3s"):
        config = load(big_site.configuration(), {}).config
    agent = assembly.agent(config, assembly.destinations(config))
    s3.hang(lambda request: is_second_part(request) or request.method == "DELETE")
    assert (await agent.run_once()).outcome is Outcome.PARTIAL
    assert len(big_site.leftovers()) > 0
    s3.heal()
    assert (await agent.run_once()).outcome is Outcome.OK
    assert big_site.leftovers() == []
    assert [len(names) for names in big_site.names()] == [2, 1]
