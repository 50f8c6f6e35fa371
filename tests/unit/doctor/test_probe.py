"""What the trial of a storage advises."""

from __future__ import annotations

import pytest
from tests.stores.memory import MemoryStorage

from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.doctor.probe import Trial
from raft_snapshot_agent.storage.base import Entry


class _Unlisted(MemoryStorage):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    async def entries(self) -> list[Entry]:
        return []


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("webdav", "check url"),
        ("sftp", "check path"),
        ("local", "check path"),
        ("swift", "check container"),
        ("s3", "check that endpoint holds no bucket"),
    ],
)
async def test_an_object_that_is_not_listed_is_explained_by_the_type_of_the_storage(
    kind: str, advice: str
) -> None:
    trial = Trial(Destination("a", _Unlisted(kind)))
    await trial.run()
    assert trial.done == ["write", "read back", "delete"]
    assert trial.failed["list"].hint.startswith(advice)
