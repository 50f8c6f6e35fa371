"""The token that `bao login` leaves behind: for what an operator types, never for the daemon."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cluster.command import Ending, call

from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster, prepare_agent

StartBao = Callable[..., OpenBaoCluster]


def made_token(bao: OpenBaoCluster) -> str:
    made = bao.api("POST", "auth/token/create", {"policies": ["snapshot"], "ttl": "1h"})
    return str(made["auth"]["client_token"])


@pytest.fixture
def home(bao: OpenBaoCluster, approle: AppRole, tmp_path: Path) -> Path:
    """Somebody's home, after `bao login`."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".vault-token").write_text(made_token(bao))
    return home


def save(bao: OpenBaoCluster, folder: Path, **environment: str | Path) -> Ending:
    env = {name: str(value) for name, value in environment.items()}
    return call(
        "save", "--force", folder / "a.snap", env={"VAULT_ADDR": bao.leader().address, **env}
    )


def test_save_takes_the_token_that_a_login_left(
    bao: OpenBaoCluster, home: Path, tmp_path: Path
) -> None:
    assert save(bao, tmp_path, HOME=home).code == 0
    assert (tmp_path / "a.snap").stat().st_size > 0
    # It is somebody else's: it must live on.
    assert save(bao, tmp_path, HOME=home).code == 0
    assert "no login is configured" in save(bao, tmp_path).error


@pytest.mark.parametrize("variable", ["BAO_TOKEN_PATH", "VAULT_TOKEN_PATH"])
def test_another_file_may_be_named(
    bao: OpenBaoCluster, home: Path, tmp_path: Path, variable: str
) -> None:
    elsewhere = (home / ".vault-token").rename(tmp_path / "token")
    named = {variable: str(elsewhere)}
    assert save(bao, tmp_path, HOME=home, **named).code == 0
    elsewhere.unlink()
    error = save(bao, tmp_path, HOME=home, **named).error
    assert f"cannot read the secret in {elsewhere}: No such file" in error


def test_a_token_in_the_environment_goes_before_the_file(
    bao: OpenBaoCluster, home: Path, tmp_path: Path
) -> None:
    token = made_token(bao)
    (home / ".vault-token").write_text("s.nobodysnobodysnobodysno")
    assert save(bao, tmp_path, HOME=home, VAULT_TOKEN=token).code == 0
    ended = save(bao, tmp_path, HOME=home)
    assert "permission denied" in ended.error
    assert "nobodys" not in ended.error


def test_the_daemon_never_takes_it(bao: OpenBaoCluster, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(
        f"vault: {{address: '{bao.leader().address}'}}\n"
        f"storages: [{{type: local, path: '{tmp_path}/kept'}}]\n"
    )
    env = {"HOME": str(home)}
    for command in (["run"], ["run", "--once"]):
        error = call(*command, "--config", file, env=env).error
        assert "vault.auth: no login is configured (set vault.auth" in error
    assert call("save", "--config", file, env=env).code == 0


def test_restore_takes_it_and_leaves_the_way_back_in_a_file(
    start_bao: StartBao, tmp_path: Path
) -> None:
    bao = start_bao()
    prepare_agent(bao)
    (tmp_path / ".vault-token").write_text(bao.root_token)
    env = {"VAULT_ADDR": bao.leader().address, "HOME": str(tmp_path)}
    assert save(bao, tmp_path, HOME=tmp_path).code == 0
    ended = call("restore", tmp_path / "a.snap", "--yes", env=env, cwd=tmp_path)
    assert ended.code == 0, ended.talk
    (way_back,) = tmp_path.glob("raft-snapshot-*.snap")  # in a file, for there is no storage
    assert f"To undo: raft-snapshot-agent restore {way_back}\n" in ended.talk
    assert call("verify", way_back).code == 0
    assert bao.root_token not in ended.talk
