"""Warnings of secrets that every user of this host can read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from raft_snapshot_agent.config.load import load_all

INLINE = "vault: {auth: {method: approle, role_id: r, secret_id: s}}\n"


@pytest.fixture
def open_way(tmp_path: Path) -> Path:
    """A folder that every user can enter."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == tmp_path.owner() and folder not in (Path("/"), Path("/tmp")):
            folder.chmod(0o755)
    return tmp_path


def warned(folder: Path, text: str, mode: int, environ: Mapping[str, str] | None = None) -> str:
    file = folder / "c.yaml"
    file.write_text(text)
    file.chmod(mode)
    found = load_all(file, environ or {}).clusters.values()
    return "\n".join(warning for one in found for warning in one.warnings)


def test_a_public_file_with_secrets_in_it(open_way: Path) -> None:
    assert warned(open_way, INLINE, 0o644) == (
        f"{open_way}/c.yaml: every user of this host can read it, and vault.auth.secret_id,"
        f" vault.auth.role_id in it (chmod o-r {open_way}/c.yaml, or use file:// or env://)"
    )


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o660])
def test_a_file_for_a_group_is_left_alone(open_way: Path, mode: int) -> None:
    assert warned(open_way, INLINE, mode) == ""


def test_a_public_file_without_secrets_is_left_alone(open_way: Path) -> None:
    text = "vault: {auth: {method: token, token: 'env://TOKEN'}}\n"
    assert warned(open_way, text, 0o644) == ""


def test_a_token_of_the_environment_is_not_in_the_file(open_way: Path) -> None:
    assert warned(open_way, "run_on: leader\n", 0o644, {"VAULT_TOKEN": "hvs.x"}) == ""


def test_a_secret_of_one_cluster_is_told_where_it_stands(open_way: Path) -> None:
    token = "{auth: {method: token, token: hunter2}}"
    own = f"clusters: {{a: {{vault: {token}}}, b: {{vault: {{address: 'https://b'}}}}}}\n"
    assert "and clusters.a.vault.auth.token in it" in warned(open_way, own, 0o644)
    common = f"vault: {token}\nclusters: {{a: {{vault: {{address: 'https://a'}}}}}}\n"
    assert "and vault.auth.token in it" in warned(open_way, common, 0o644)


def test_a_public_file_of_a_secret(open_way: Path) -> None:
    secret = open_way / "password"
    secret.write_text("hunter2-hunter2")
    secret.chmod(0o644)
    text = f"vault: {{auth: {{method: userpass, username: u, password: 'file://{secret}'}}}}\n"

    assert warned(open_way, text, 0o644) == (
        f"{secret}: every user of this host can read this secret (chmod o-r {secret})"
    )
    open_way.chmod(0o700)
    assert warned(open_way, text, 0o644) == ""


def test_secrets_in_a_mapping_are_looked_at(open_way: Path) -> None:
    secret = open_way / "password"
    secret.write_text("hunter2-hunter2")
    secret.chmod(0o644)
    drill = "drill: {unseal: {seal: /s, environment: {A: hunter2, B: 'file://%s'}}}\n"
    told = warned(open_way, drill % secret, 0o644)
    assert "and drill.unseal.environment.A in it" in told
    assert f"{secret}: every user of this host can read this secret" in told


def test_in_a_pod_nobody_else_reads(open_way: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert warned(open_way, INLINE, 0o644) == ""
