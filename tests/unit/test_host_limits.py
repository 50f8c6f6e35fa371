"""A host that starts no further program: told as the limit it is, and never worked around."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.notify.notices import channel, notice

from raft_snapshot_agent.errors import AgentError, StorageUnavailable
from raft_snapshot_agent.servers.openbao import OpenBaoCluster
from raft_snapshot_agent.servers.private import isolation
from raft_snapshot_agent.storage.azure.identities import AzureCli


def notify(_: Path) -> object:
    return channel("exec", command=("/bin/true",)).send(notice())


def start_server(folder: Path) -> object:
    return OpenBaoCluster.start(folder)


def log_in(_: Path) -> object:
    return AzureCli(60.0).get(None, "cannot list")  # type: ignore[arg-type]


@pytest.mark.parametrize("start", [notify, start_server, isolation, log_in])
def test_a_limit_of_processes_is_told(
    start: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")  # as fork does

    monkeypatch.setattr(subprocess, "_fork_exec", refuse)
    with pytest.raises(AgentError) as told:
        start(tmp_path)
    assert "no further program can be started" in told.value.message
    assert told.value.hint is not None
    assert told.value.hint.startswith("raise the limit of processes")
    # What may be over in a minute is tried again.
    assert start is not log_in or isinstance(told.value, StorageUnavailable)
