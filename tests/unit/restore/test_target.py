"""Which tokens may not restore, by what the server tells of them."""

from __future__ import annotations

import json
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from raft_snapshot_agent.errors import Denied
from raft_snapshot_agent.restore.target import require_right
from raft_snapshot_agent.vault.answers import Answer
from raft_snapshot_agent.vault.client import Node

PATH = "sys/storage/raft/snapshot"


def asked(capabilities: Answer, mounts: int = 200, *, force: bool = False) -> list[str]:
    """Check a token at a node that answers so; return the paths it was asked for."""
    paths: list[str] = []

    def call(method: str, path: str, **more: Any) -> Answer:
        paths.append(path)
        assert more["token"] == "t"
        return capabilities if path == "sys/capabilities-self" else Answer.read(mounts, b"{}")

    node: Any = SimpleNamespace(address="https://bao:8200", call=call)
    node.try_token = partial(Node.try_token, node)
    cluster: Any = SimpleNamespace(session=SimpleNamespace(token=lambda _: "t"))
    leader: Any = SimpleNamespace(node=node)
    require_right(cluster, leader, force=force)
    return paths


def told(*capabilities: str, path: str = PATH) -> Answer:
    return Answer.read(200, json.dumps({"data": {path: capabilities}}).encode())


@pytest.mark.parametrize("has", [("root",), ("update",), ("read", "update")])
def test_a_token_that_may_update_may_restore(has: tuple[str, ...]) -> None:
    assert asked(told(*has)) == ["sys/capabilities-self"]


@pytest.mark.parametrize("has", [(), ("deny",), ("read",), ("create",)])
@pytest.mark.parametrize("force", [False, True])
def test_one_that_may_not_is_refused(has: tuple[str, ...], force: bool) -> None:
    path = f"{PATH}-force" if force else PATH
    with pytest.raises(Denied, match=f"needs update on {path} at https://bao:8200; nothing was"):
        asked(told(*has, path=path), force=force)


@pytest.mark.parametrize("answer", [b"", b"{}", b'{"data": 1}', b'{"data": {"%b": 1}}'])
def test_what_is_not_told_refuses_nothing(answer: bytes) -> None:
    for status in (200, 404, 500):
        assert asked(Answer.read(status, answer.replace(b"%b", PATH.encode())))


def test_only_a_token_that_may_do_nothing_at_all_is_unknown() -> None:
    refused = Answer.read(403, b'{"errors": ["permission denied"]}')

    assert asked(refused) == ["sys/capabilities-self", "sys/internal/ui/mounts"]
    with pytest.raises(Denied, match="does not know the token"):
        asked(refused, mounts=403)
