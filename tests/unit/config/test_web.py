"""What is wrong with `web` is one line, and stands where it is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from raft_snapshot_agent.config.check import check_web
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("web: {listen: 127.0.0.1}", "1:7: web.listen: must be an address and a port"),
        ("web: {listen: ':8299'}", "must be an address and a port"),
        ("web: {listen: '127.0.0.1:70000'}", "must have a port of at most 65535"),
        ("web: {listen: 'https://a:1'}", "must be an address and a port"),
        ("web: {allow_snapshot: true}", "set web.token, too"),
        ("web: {hosts: ['a:1']}", "must be a host name without port"),
        ("web: {tls: {cert: a.pem, key: /b}}", "must be an absolute path"),
        ("web: {tls: {cert: /a}}", "key"),
        ("web: {lisen: x}", "did you mean 'listen'?"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    load_text: Callable[..., Loaded], text: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text("c.yaml", text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_can_be_known_without_listening_is_checked(
    load_text: Callable[..., Loaded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"web: {{token: short-token, tls: {{cert: {tmp_path}/c, key: {tmp_path}/k}}}}"
    loaded = load_text("c.yaml", text)
    assert loaded.config.web is not None
    with pytest.raises(ConfigError) as caught:
        check_web(loaded.config.web, loaded.position)
    assert "web.token: the token must have at least 16 characters" in str(caught.value)
    assert "web.tls: cannot read" in str(caught.value)
    assert "short-token" not in str(caught.value)

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ConfigError, match=r"raft-snapshot-agent\[web\]"):
        check_web(loaded.config.web, loaded.position)
