"""The files of Argelbargel's agent are recognised, and said to have other keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from raft_snapshot_agent.config.load import load, load_all
from raft_snapshot_agent.errors import ConfigError

Refusal = Callable[..., str]

OLDER = """\
vault:
  url: http://127.0.0.1:8200
  auth: {token: hunter22}
snapshots: {frequency: 4h, retain: 10}
uploaders:
  local: {path: /snapshots}
"""
NEWER = """\
vault:
  nodes: {urls: ["http://127.0.0.1:8200"], autoDetectLeader: true}
  insecure: true
  auth: {approle: {role: r, secret: hunter22}}
Snapshots:
  namePrefix: vault-
  storages:
    aws: {bucket: b}
metrics: {prometheus: {port: 2112}}
"""


OLDER_PAIRS = (
    "vault.address for vault.url, schedule.every for snapshots.frequency,"
    " retention.last for snapshots.retain, storages (a list) for uploaders"
)
NEWER_PAIRS = (
    "vault.nodes for vault.nodes.urls, vault.tls.skip_verify for vault.insecure,"
    " name_layout.prefix for snapshots.nameprefix, storages (a list) for snapshots.storages"
)


@pytest.mark.parametrize(
    ("text", "place", "pairs"),
    [(OLDER, "4:1: snapshots", OLDER_PAIRS), (NEWER, "5:1: Snapshots", NEWER_PAIRS)],
)
def test_both_generations_are_recognised(
    refusal: Refusal, text: str, place: str, pairs: str
) -> None:
    assert refusal("snapshots.yaml", text) == (
        f"snapshots.yaml:{place}: this is a file of Argelbargel's vault-raft-snapshot-agent, which"
        f" has other keys (write {pairs}; docs/operating.md has all of them)"
    )


@pytest.mark.parametrize(
    "text", ["snapshots: {every: 1h}", "snapshots: {retain: 3}\nstorages: []", "snapshots: 3"]
)
def test_a_wrong_key_alone_makes_no_other_file(refusal: Refusal, text: str) -> None:
    assert "snapshots: unknown key" in refusal("c.yaml", text)


VARIABLES = {"VRSA_VAULT_URL": "x", "VRSA_VAULT_AUTH_TOKEN": "hunter22"}
NOTE = "VRSA_VAULT_AUTH_TOKEN, VRSA_VAULT_URL: the variables of Argelbargel's agent are not read"


@pytest.mark.parametrize("text", ["spool: /tmp", "clusters: {a: {}}", '{"addr": "http://v"}'])
def test_its_variables_are_said_to_be_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    notes = load_all(tmp_path / "c.yaml", VARIABLES).notes
    assert [one for one in notes if one.startswith(NOTE)] == list(notes)


def test_its_variables_are_no_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no configuration") as caught:
        load(None, VARIABLES)
    assert NOTE in caught.value.hint
    assert "hunter22" not in str(caught.value)
    assert load(None, {**VARIABLES, "VAULT_TOKEN": "t"}).notes[0].startswith(NOTE)
