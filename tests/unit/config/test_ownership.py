"""Whose word a configuration is, and what that user may make the agent read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.config.conftest import LoadText

from raft_snapshot_agent.config import load as loading
from raft_snapshot_agent.config.load import load
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.vault.auth.jwt import JwtAuth

NEIGHBOUR = 54321
YAML = "vault: {address: 'https://yaml:8200'}\n"
FILE = "raft-snapshot-agent.yaml"

# An ordinary user cannot make a file of another's; what modes decide is tried without it.
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory; nothing lies in the other usual places."""
    folder = tmp_path / "here"
    folder.mkdir(mode=0o755)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(loading, "PLACES", (Path(FILE), tmp_path / "config.yaml"))
    return folder


def planted(folder: Path, text: str = YAML, *, mode: int = 0o644, owner: int = -1) -> Path:
    file = folder / FILE
    file.write_text(text)
    file.chmod(mode)
    os.chown(file, owner, owner)
    return file


def refused(path: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    return str(caught.value)


def jwt(secret: Path) -> str:
    auth = f"{{method: jwt, role: agent, jwt: 'file://{secret}'}}"
    return f"vault: {{address: 'https://v:8200', auth: {auth}}}\n"


def login(file: Path) -> str:
    auth = load(file, {}).config.vault.auth
    assert isinstance(auth, JwtAuth)
    return auth.jwt.resolve()


def test_ones_own_file_in_the_working_directory_is_used(here: Path) -> None:
    planted(here)
    assert load(None, {}).path == Path(FILE)


@as_root
def test_a_neighbours_file_in_the_working_directory_is_refused(here: Path) -> None:
    planted(here, owner=NEIGHBOUR)
    assert refused() == (
        f"{here}/{FILE} lies in the working directory and belongs to another user"
        f" (user ID {NEIGHBOUR}), so it is not used (name it with --config if it is meant)"
    )


@as_root
def test_a_neighbours_link_to_a_file_of_ours_is_refused(here: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours.yaml"
    ours.write_text(YAML)
    (here / FILE).symlink_to(ours)
    os.chown(here / FILE, NEIGHBOUR, NEIGHBOUR, follow_symlinks=False)
    assert "belongs to another user" in refused()


def test_ones_own_link_is_followed(here: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours.yaml"
    ours.write_text(YAML)
    (here / FILE).symlink_to(ours)
    assert load(None, {}).config.vault.address == "https://yaml:8200"


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_there_that_others_may_write_to_is_refused(here: Path, mode: int) -> None:
    planted(here, mode=mode)
    assert "can be written by other users" in refused()
    assert f"chmod go-w {here}/{FILE}" in refused()


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_folder_in_which_others_may_swap_it_is_refused(here: Path, mode: int) -> None:
    planted(here)
    here.chmod(mode)
    assert f"others may swap files in {here}" in refused()


def test_in_a_folder_such_as_tmp_others_can_swap_nothing(here: Path) -> None:
    planted(here)
    here.chmod(0o1777)
    assert load(None, {}).path == Path(FILE)


@as_root
def test_a_folder_of_a_neighbours_is_refused(here: Path) -> None:
    planted(here)
    os.chown(here, NEIGHBOUR, NEIGHBOUR)
    assert f"others may swap files in {here}" in refused()


def test_a_pipe_there_holds_nobody_up(here: Path) -> None:
    os.mkfifo(here / FILE)
    assert "is not a regular file" in refused()


def test_it_is_used_once_it_is_named(here: Path) -> None:
    file = planted(here, mode=0o666)
    loaded = load(file, {})
    assert loaded.config.vault.address == "https://yaml:8200"
    assert [f"{file}: every user of this host can change it (chmod o-w {file})"] == list(
        loaded.warnings
    )


# What a configuration of somebody else's refers to.


@as_root
@pytest.mark.parametrize(
    ("mode", "owner", "group", "readable"),
    [
        (0o600, 0, 0, False),
        (0o640, 0, 0, False),
        (0o640, 0, NEIGHBOUR, False),  # of a user without a name no groups are known
        (0o644, 0, 0, True),
        (0o400, NEIGHBOUR, 0, True),
        (0o044, NEIGHBOUR, 0, False),
    ],
)
def test_it_refers_only_to_files_that_its_owner_could_read(
    here: Path, tmp_path: Path, mode: int, owner: int, group: int, readable: bool
) -> None:
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder != Path("/tmp"):
            folder.chmod(0o755)
    secret = tmp_path / "secret"
    secret.write_text("eyJwhatever")
    secret.chmod(mode)
    os.chown(secret, owner, group)
    file = planted(here, jwt(secret), owner=NEIGHBOUR)

    if readable:
        assert login(file) == "eyJwhatever"
        return
    with pytest.raises(ConfigError) as caught:
        login(file)
    assert str(caught.value) == (
        f"cannot read the secret in {secret}: the configuration belongs to user ID {NEIGHBOUR},"
        " who may not read it (let root or the agent's user own the configuration)"
    )


@as_root
def test_a_closed_folder_on_the_way_counts(here: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "secret").write_text("eyJwhatever")
    (closed / "secret").chmod(0o644)
    (tmp_path / "link").symlink_to(closed / "secret")
    for reference in (closed / "secret", tmp_path / "link"):
        file = planted(here, jwt(reference), owner=NEIGHBOUR)
        with pytest.raises(ConfigError, match="who may not read it"):
            login(file)


@as_root
def test_what_every_user_can_write_refers_to_what_every_user_can_read(
    here: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("eyJwhatever")
    secret.chmod(0o600)
    with pytest.raises(ConfigError, match="who may not read it"):
        login(planted(here, jwt(secret), mode=0o666))


def test_ones_own_configuration_refers_to_ones_own_files(here: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("eyJwhatever")
    secret.chmod(0o600)
    assert login(planted(here, jwt(secret))) == "eyJwhatever"


@as_root
def test_the_owner_counts_in_every_dialect_and_for_every_storage(
    here: Path, tmp_path: Path, load_text: LoadText
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sekret-of-root")
    secret.chmod(0o600)
    file = here / "snapshot.json"
    file.write_text(
        f'{{"addr": "https://v:8200", "role_id": "r", "secret_id": "file://{secret}",'
        f' "aws_storage": {{"s3_bucket": "b", "secret_access_key": "file://{secret}",'
        f' "access_key_id": "id"}}}}'
    )
    os.chown(file, NEIGHBOUR, NEIGHBOUR)
    config = load(file, {}).config
    for found in (config.vault.auth, *config.storages):
        values = [getattr(found, key, None) for key in ("secret_id", "secret_access_key")]
        for value in filter(None, values):
            with pytest.raises(ConfigError, match="who may not read it"):
                value.resolve()


@pytest.mark.parametrize("reference", ["file://secret", "file://./secret", "file://"])
def test_a_reference_does_not_depend_on_the_working_directory(here: Path, reference: str) -> None:
    (here / "secret").write_text("planted here")
    file = planted(here, f"vault: {{auth: {{method: token, token: '{reference}'}}}}\n")
    assert "must be an absolute path, such as file:///etc/raft-snapshot-agent/token" in refused(
        file
    )
