"""One storage failing, hanging or refusing never costs the other its snapshot."""

from __future__ import annotations

from unittest.mock import patch

import anyio
import pytest
from tests.faults.site import Site, alone
from tests.lying import CuttingTcpProxy, Request, S3Faults, status

from raft_snapshot_agent.backup import agent as agents
from raft_snapshot_agent.backup import lookup, taken
from raft_snapshot_agent.config.load import load
from raft_snapshot_agent.observe.logs import configure
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.service import assembly
from raft_snapshot_agent.storage.wrappers import listing

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture
def behind(site: Site, s3: S3Faults) -> S3Faults:
    """The S3 store of the site, able to fail."""
    site.s3["endpoint"] = s3.address
    return s3


def any_request(_: Request) -> bool:
    return True


def _host(address: str) -> str:
    return address.removeprefix("http://")


def test_bucket_refuses_connections(site: Site) -> None:
    endpoint = site.s3["endpoint"]
    with CuttingTcpProxy("127.0.0.1", 1) as closed:
        closed.refuse()
        site.s3["endpoint"] = closed.address
        site.fails_partly("s3", f"no connection to {_host(closed.address)}")
    site.s3["endpoint"] = endpoint
    site.succeeds()


def test_bucket_hangs(site: Site, behind: S3Faults) -> None:
    behind.hang(any_request)
    with patch.dict(site.s3, timeout="1s"):
        site.fails_partly("s3", f"no answer in time from {_host(behind.address)}")
    behind.heal()
    site.succeeds()


def test_folder_does_not_wait_for_a_bucket_that_hangs(site: Site, behind: S3Faults) -> None:
    behind.hang(lambda request: request.method == "PUT")
    site.s3["timeout"] = "30s"
    with site.command("run", "--once") as running:
        until(  # by name: a hidden file may be renamed while it is read
            lambda: len([*site.folder.glob("raft-*")]) == 2,
            "the snapshot and its manifest are there",
            within=90,
        )
        assert running.process.poll() is None
        assert len(site.stored()[0]) == 1


@pytest.mark.parametrize("verb", ["PUT", "HEAD"])
@pytest.mark.parametrize("code", [500, 503])
def test_bucket_stumbles(site: Site, behind: S3Faults, verb: str, code: int) -> None:
    behind.fail(lambda request: request.method == verb, code, times=3)
    site.succeeds()


@pytest.mark.parametrize("code", [500, 503])
def test_bucket_answers_nothing_but_errors(site: Site, behind: S3Faults, code: int) -> None:
    behind.fail(any_request, code)
    site.fails_partly("s3", f"the store answered {code}")
    behind.heal()
    site.succeeds()


def test_bucket_does_not_exist(site: Site) -> None:
    site.s3["bucket"] = "no-such-bucket"
    site.fails_partly("s3", "the bucket does not exist")
    site.s3["bucket"] = site.bucket
    site.succeeds()


def test_keys_are_wrong(site: Site) -> None:
    right, site.s3["secret_access_key"] = site.s3["secret_access_key"], "not-the-secret-key"
    site.fails_partly("s3", "SignatureDoesNotMatch")
    site.s3["secret_access_key"] = right
    site.succeeds()


def test_key_is_unknown(site: Site) -> None:
    site.s3["access_key_id"] = "NOBODYSKEY"
    site.fails_partly("s3", "InvalidAccessKeyId")


def test_file_with_the_key_is_missing(site: Site) -> None:
    right, path = site.s3["secret_access_key"], site.root / "missing"
    site.s3["secret_access_key"] = f"file://{path}"
    site.fails_partly("s3", f"{path}")
    path.write_text(right)
    site.succeeds()


def test_manifest_is_refused(site: Site, behind: S3Faults) -> None:
    """The snapshot is stored all the same, as one that nobody vouches for."""
    behind.fail(lambda request: request.method == "PUT" and ".json" in request.path, 403)
    ending = site.run_once()
    assert ending.code == 0
    assert ending.of_level("warning") == [ending.only_error]
    assert "is stored without a manifest: " in ending.only_error
    assert "access denied (403 AccessDenied a test wants this)" in ending.only_error
    assert [len(names) for names in site.names()] == [1, 1]
    assert site.leftovers() == []


def test_both_fail(site: Site, behind: S3Faults) -> None:
    behind.fail(any_request, 500)
    site.folder.rmdir()
    site.folder.write_text("a file where the folder should be")
    ending = site.run_once()
    assert ending.code == 2
    assert len(ending.of_level("error")) == 2
    assert ending.of_level("warning") == []
    site.folder.unlink()
    site.folder.mkdir()
    behind.heal()
    site.succeeds()


def test_bucket_that_hangs_while_it_is_swept_gets_its_snapshot_all_the_same(
    site: Site, behind: S3Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "_SWEEP_WITHIN", 3.0)  # the folder is to be swept in it
    site.s3["timeout"] = "50m"
    behind.hang(lambda request: "uploads" in request.query)
    ending = site.run_once()
    assert ending.code == 0
    assert "s3: leftovers could not be removed: no answer within 3 s" in ending.only_error
    assert [len(names) for names in site.names()] == [1, 1]


async def test_daemon_does_not_wait_for_ever_for_what_a_bucket_holds(
    site: Site, behind: S3Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taken, "_LIST_WITHIN", 0.5)
    monkeypatch.setattr(lookup, "_LOOK_WITHIN", 0.5)
    monkeypatch.setattr(listing, "_WITHIN", 0.5)
    site.s3["timeout"] = "50m"
    behind.hang(lambda request: "list-type" in request.query)
    config = load(site.configuration(), {}).config
    agent = assembly.agent(config, assembly.destinations(config))
    daemon = alone(agent, config, configure("text", "error"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(daemon.run)
        with anyio.fail_after(60):
            while len(site.keys()) < 2:  # noqa: ASYNC110 - a bucket tells nobody
                await anyio.sleep(0.05)
        tasks.cancel_scope.cancel()
    assert [len(names) for names in site.names()] == [1, 1]


def test_bucket_whose_list_does_not_show_what_it_took(site: Site, behind: S3Faults) -> None:
    empty = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    behind.behave(lambda request: "list-type" in request.query, status(200, empty))
    ending = site.run_once()
    assert ending.code == 0, ending.said
    assert "list does not show it" in ending.only_error
    assert "likely endpoint, bucket or path" in ending.only_error
