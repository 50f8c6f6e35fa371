"""What a server says that lies is one line for the operator, and no business of anybody else."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncssh
import pytest
from tests.adversary.sftp import LIES, SLOW, SftpStore
from tests.contract.destinations import SETTINGS
from tests.contract.sources import NAME

from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.base import BytesSource, Storage
from raft_snapshot_agent.storage.limits import ListTooLong
from raft_snapshot_agent.storage.sftp.ssh import Files


async def read_all(storage: Storage) -> bytes:
    return b"".join([piece async for piece in storage.read(NAME)])


async def failure_of(asked: Awaitable[object]) -> StorageError | None:
    try:
        await asked
    except StorageError as error:
        return error
    return None


@pytest.mark.parametrize("name", [name for name in LIES if name not in SLOW])
async def test_a_lie_is_a_storage_error_or_nothing(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    content = bytes(range(256)) * 2000
    with SftpStore(name) as store:
        store.plant({NAME: content})
        lies: Any = LIES[name].rules(store, "")
        store.rules = [*lies]
        limits = {"timeout": "1s" if "drips" in name or "floods" in name else "30s"}
        settings: dict[str, Any] = {**store.settings(), **limits, "max_objects": 1000}
        storage: Storage = SETTINGS.validate_python(settings).open()
        verbs: list[Callable[[], Awaitable[object]]] = [
            storage.entries,
            lambda: read_all(storage),
            lambda: storage.put(f"{NAME}.json", BytesSource(content)),
            lambda: storage.delete("other"),
        ]
        for verb in verbs:
            if (error := await failure_of(verb())) is not None:
                assert str(error).isprintable()
                assert len(str(error)) < 1000
        await asyncio.sleep(0)
    gc.collect()
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR] == []


class _Folder:
    """Lists so many files at once, and then goes on for ever."""

    def __init__(self, files: int) -> None:
        self._files = files

    async def scandir(self, _path: str) -> AsyncIterator[Any]:
        for number in range(self._files):
            attributes = asyncssh.SFTPAttrs(type=asyncssh.FILEXFER_TYPE_REGULAR, size=1)
            yield asyncssh.SFTPName(f"{number}.snap", attrs=attributes)
        await asyncio.sleep(3600)


@pytest.mark.parametrize(("files", "kind"), [(3, ListTooLong), (0, TimeoutError)])
async def test_a_list_that_goes_on_for_longer_than_is_waited_for_is_not_tried_again(
    files: int, kind: type[Exception]
) -> None:
    folder: Any = _Folder(files)

    with pytest.raises(kind):
        await Files(folder, 0.1, 1000).listed("/backups/", "")
