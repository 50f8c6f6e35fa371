"""A mistyped reference is refused where it stands, and not taken as the secret."""

from __future__ import annotations

import json

import pytest
from tests.unit.config.conftest import LoadText, Refusal

from raft_snapshot_agent.secret import Secret


@pytest.mark.parametrize(
    "text",
    [
        "vault: {auth: {method: token, token: 'file:/t'}}",
        "web: {listen: '127.0.0.1:1', token: 'file:/t'}",
        "signing: {key: 'file:/t'}",
        "signing: {key: 'file:///a', old_keys: ['file:/t']}",
        "vault: {auth: {method: ldap, username: 'file:/t', password: p}}",
    ],
)
def test_every_key_refuses_it(refusal: Refusal, text: str) -> None:
    assert ": a mistyped reference: did you mean 'file:///t'?" in refusal("c.yaml", text)


def test_the_originals_file_refuses_it(refusal: Refusal) -> None:
    text = json.dumps({"addr": "https://h:8200", "role_id": "r", "secret_id": "file:/t"})
    said = refusal("snapshot.json", text)
    assert "secret_id: a mistyped reference: did you mean 'file:///t'?" in said


def test_the_environment_refuses_it(refusal: Refusal) -> None:
    said = refusal("c.yaml", "run_on: leader", {"VAULT_TOKEN": "<token>"})
    assert "this is a placeholder" in said


def test_such_a_secret_is_given_with_a_variable(
    load_text: LoadText, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD", "$SECRET")
    loaded = load_text("c.yaml", "signing: {key: 'env://ODD'}")
    assert loaded.config.signing is not None
    assert loaded.config.signing.key == Secret("env://ODD")
    assert loaded.config.signing.key.resolve() == "$SECRET"
