"""What a check says of servers without TLS, before anybody is contacted."""

from __future__ import annotations

import os

from tests.unit.config.conftest import LoadText

from raft_snapshot_agent.config.check import check
from raft_snapshot_agent.errors import AgentError


def told(load_text: LoadText, name: str, text: str) -> str:
    loaded = load_text(name, text)
    try:
        check(loaded.config, os.environ, loaded.position)
    except AgentError as error:
        return "\n".join(error.lines)
    return "\n".join(loaded.warnings)


WAYS = "auth: {method: token, token: hvs.x}"


def test_the_check_refuses_it(load_text: LoadText) -> None:
    text = f"vault:\n  {WAYS}\n  nodes: ['https://a:8200', 'http://b:8200']\n"
    assert "vault.nodes[1]: http://b:8200 is not encrypted" in told(load_text, "c.yaml", text)


def test_the_check_warns_of_what_is_allowed(load_text: LoadText) -> None:
    text = f"vault: {{{WAYS}, address: 'http://b:8200', allow_http: true}}\n"
    assert "vault.address: http://b:8200 is not encrypted" in told(load_text, "c.yaml", text)


def test_the_originals_file_runs_and_is_warned_of(load_text: LoadText) -> None:
    text = '{"addr": "http://b:8200", "role_id": "r", "secret_id": "s"}'
    loaded = load_text("snapshot.json", text)
    check(loaded.config, os.environ, loaded.position)
    assert any("addr: http://b:8200 is not encrypted" in line for line in loaded.warnings)


def test_a_server_on_this_host_is_no_matter(load_text: LoadText) -> None:
    text = f"vault: {{{WAYS}, address: 'http://127.0.0.1:8200'}}\n"
    assert told(load_text, "c.yaml", text) == ""
