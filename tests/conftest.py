"""Real servers for every test, and an environment that is nobody's own."""

from __future__ import annotations

import gc
import os
import secrets
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from tests import leaks
from tests.azurite import Azurite
from tests.fake_gcs import FakeGcs
from tests.kube import Kube
from tests.stores.fixtures import (
    container,
    openssh_server,
    sftp_server,
    swift_server,
    webdav,
    webdav_server,
)

from raft_snapshot_agent import redaction
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster, prepare_agent
from raft_snapshot_agent.servers.seaweedfs import S3Identity, SeaweedFS

__all__ = ["container", "openssh_server", "sftp_server", "swift_server", "webdav", "webdav_server"]

_OUTSIDE = (
    "AWS_",
    "AZURE_",
    "BAO_",
    "CF_INSTANCE_",
    "CREDENTIALS_DIRECTORY",
    "GCE_METADATA_",
    "GOOGLE_",
    "IDENTITY_",
    "MSI_",
    "NOTIFY_SOCKET",
    "OS_",
    "OTEL_",
    "RAFT_SNAPSHOT_AGENT_",
    "SECRET_ACCESS_KEY",
    "ST_",
    "SERVICE_ACCOUNT",
    "STORAGE_EMULATOR_HOST",
    "VAULT_",
)

leaks.install()

# Nothing of what is collected is garbage: thousands of tests need not be looked through for it,
# neither now nor while they run.
gc.disable()

# How long an example takes says how busy the machine is, and nothing of the code.
hypothesis.settings.register_profile("quick", deadline=None, max_examples=30)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=200)
hypothesis.settings.load_profile("quick")

StartBao = Callable[..., OpenBaoCluster]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that are allowed the most time, so that none runs alone in the end."""
    items.sort(key=_seconds_allowed, reverse=True)
    gc.freeze()
    gc.enable()


def _seconds_allowed(item: pytest.Item) -> float:
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark else 0.0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test after which a secret can be read anywhere."""
    report = yield
    for _, text in report.sections:
        leaks.WATCH.read(text)
    shown = leaks.WATCH.leaks() if report.when == "teardown" else []
    if shown and report.passed:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} shows a secret in:\n" + "\n".join(shown)
    return report


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_outside_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the shell's own addresses, tokens and keys out of the tests."""
    for name in list(os.environ):
        if name.startswith(_OUTSIDE):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_known_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test hide what is a secret in another one, and plain text in this."""
    monkeypatch.setattr(redaction, "_KNOWN", redaction._Known())


@pytest.fixture(scope="session")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBaoCluster]:
    """A single node that all tests of this process share: leave it unsealed and running."""
    with OpenBaoCluster.start(tmp_path_factory.mktemp("bao")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def approle(bao: OpenBaoCluster) -> AppRole:
    """What an agent logs in to `bao` with; its tokens may read snapshots and nothing else."""
    return prepare_agent(bao)


@pytest.fixture
def start_bao(tmp_path: Path) -> Iterator[StartBao]:
    """Start clusters of the test's own, with the parameters of `OpenBaoCluster.start`."""
    with ExitStack() as running:

        def start(**parameters: Any) -> OpenBaoCluster:
            folder = tmp_path / f"bao-{secrets.token_hex(3)}"
            return running.enter_context(OpenBaoCluster.start(folder, **parameters))

        yield start


@pytest.fixture
def bao3(start_bao: StartBao) -> StartBao:
    """Start three-node clusters of the test's own, to be broken at will."""
    return lambda **parameters: start_bao(nodes=3, **parameters)


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """An S3 store that all tests of this process share; its second identity may only write."""
    uploader = S3Identity.fresh("uploader", "Write")
    with SeaweedFS.start(tmp_path_factory.mktemp("seaweed"), (uploader,)) as store:
        yield store


@pytest.fixture
def bucket(seaweed: SeaweedFS) -> str:
    """The name of an empty bucket at `seaweed`."""
    name = f"test-{secrets.token_hex(6)}"
    seaweed.create_bucket(name)
    return name


@pytest.fixture
def kube(tmp_path: Path) -> Iterator[Kube]:
    """The API server of a Kubernetes cluster of the test's own."""
    folder = tmp_path / "kubernetes"
    folder.mkdir()
    with Kube(folder) as server:
        yield server


@pytest.fixture(scope="session")
def fake_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGcs]:
    """A Google Cloud Storage that all tests of this process share."""
    with FakeGcs(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """An Azure Blob Storage that all tests of this process share."""
    with Azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server
