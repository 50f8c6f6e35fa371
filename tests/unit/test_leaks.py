"""The watch over the whole suite sees what it is there to see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.leaks import WATCH

from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.secret import Plain, Secret
from raft_snapshot_agent.vault.answers import Answer


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    before = set(WATCH.secrets)
    yield
    WATCH.leaks()
    WATCH.secrets.clear()
    WATCH.secrets.update(before)


def test_a_resolved_secret_in_an_error_is_seen(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-a-file-somewhere\n")
    for secret in (Secret("a-plain-secret-text"), Secret(f"file://{tmp_path}/secret")):
        AgentError(f"login with {secret.resolve()} failed")
        assert len(WATCH.leaks()) == 1


def test_a_secret_in_a_hint_is_seen() -> None:
    AgentError("failed", hint=f"not {Secret('a-plain-secret-text').resolve()}")
    assert len(WATCH.leaks()) == 1


def test_what_a_server_hands_out_is_secret() -> None:
    Answer.read(200, b'{"auth": {"client_token": "hvs.a-token-from-it"}}')
    Answer.read(200, b'{"data": {"keys_base64": ["key-share-number-one"]}}')
    for secret in ("hvs.a-token-from-it", "key-share-number-one"):
        WATCH.read(f"debug: {secret}")
        assert len(WATCH.leaks()) == 1


def test_what_is_no_secret_may_be_shown() -> None:
    AgentError(f"the role {Plain('a-role-of-this-name').resolve()} is unknown")
    AgentError(f"see {Secret('env://SOME_VARIABLE_NAME')}")
    assert WATCH.leaks() == []
