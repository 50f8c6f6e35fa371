from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from raft_snapshot_agent.config import load as loading
from raft_snapshot_agent.config.files import read
from raft_snapshot_agent.config.load import load
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.storage.local.local import LocalSettings
from raft_snapshot_agent.vault.auth.token import TokenAuth

LoadText = Callable[..., Loaded]

YAML = "vault: {address: 'https://yaml:8200'}\n"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, ...]:
    """The usual places, in a folder of the test's own and still empty."""
    monkeypatch.chdir(tmp_path)
    found = (Path("raft-snapshot-agent.yaml"), tmp_path / "config.yaml", tmp_path / "snapshot.json")
    monkeypatch.setattr(loading, "PLACES", found)
    return found


def refused(path: Path | None, environ: dict[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    assert "\n" not in str(caught.value)
    return caught.value


def test_the_usual_places_are_the_documented_ones() -> None:
    assert [str(place) for place in loading.PLACES] == [
        "raft-snapshot-agent.yaml",
        "/etc/raft-snapshot-agent/config.yaml",
        "/etc/vault.d/snapshot.json",
    ]


def test_the_path_given_comes_before_the_variable_before_the_places(
    tmp_path: Path, places: tuple[Path, ...]
) -> None:
    for name in ("given.yaml", "variable.yaml", "raft-snapshot-agent.yaml"):
        (tmp_path / name).write_text(YAML)
    environ = {"RAFT_SNAPSHOT_AGENT_CONFIG": str(tmp_path / "variable.yaml")}
    assert load(tmp_path / "given.yaml", environ).path == tmp_path / "given.yaml"
    assert load(None, environ).path == tmp_path / "variable.yaml"
    assert load(None, {"RAFT_SNAPSHOT_AGENT_CONFIG": ""}).path == places[0]


def test_the_first_place_that_has_a_file_is_used(places: tuple[Path, ...]) -> None:
    places[2].write_text('{"addr": "http://seed:8200"}')
    assert load(None, {}).dialect == "seed"
    places[1].write_text(YAML)
    assert load(None, {}).path == places[1]
    places[0].write_text(YAML)
    assert load(None, {}).path == places[0]


def test_a_broken_file_in_a_usual_place_is_not_passed_over(places: tuple[Path, ...]) -> None:
    places[0].write_text("")
    places[1].write_text(YAML)
    assert "raft-snapshot-agent.yaml: the file is empty" in str(refused(None))


def test_without_any_file_the_places_are_named(places: tuple[Path, ...]) -> None:
    error = refused(None, {"HOME": "/root"})
    assert all(str(place) in error.message for place in places)
    assert "--config" in error.hint


@pytest.mark.parametrize("name", ["VAULT_ADDR", "BAO_ADDR"])
def test_an_address_in_the_environment_is_enough(places: tuple[Path, ...], name: str) -> None:
    loaded = load(None, {name: "https://env:8200"})
    assert loaded.path is None
    assert loaded.config.vault.addresses == ("https://env:8200",)
    assert loaded.config.storages == ()
    assert loaded.position(("vault", "auth")) == "vault.auth"


@pytest.mark.parametrize("name", ["VAULT_TOKEN", "BAO_TOKEN"])
def test_a_token_in_the_environment_is_enough(places: tuple[Path, ...], name: str) -> None:
    auth = load(None, {name: "hvs.x"}).config.vault.auth
    assert isinstance(auth, TokenAuth)
    assert auth.login() == "hvs.x"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    error = refused(tmp_path / "no.yaml")
    assert (
        error.message
        == f"cannot read the configuration {tmp_path}/no.yaml: No such file or directory"
    )
    assert error.hint


def test_the_variable_may_not_name_a_missing_file(tmp_path: Path) -> None:
    environ = {"RAFT_SNAPSHOT_AGENT_CONFIG": str(tmp_path / "no.yaml"), "VAULT_ADDR": "http://x"}
    assert "no.yaml: No such file" in refused(None, environ).message


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    assert refused(tmp_path).message.endswith(f"{tmp_path}: Is a directory")


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:  # root may read everything but a file that refuses to be read
        path = Path("/proc/self/mem")
    else:
        path = tmp_path / "closed.yaml"
        path.touch(mode=0)
    assert refused(path).message.startswith(f"cannot read the configuration {path}: ")


def test_a_folder_closed_to_this_user_counts_as_empty(
    places: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(_path: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(Path, "exists", closed)
    assert load(None, {"VAULT_ADDR": "https://env"}).path is None


def test_a_file_that_is_larger_than_any_configuration_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    with file.open("wb") as huge:
        huge.truncate(4 << 30)  # without a byte on the disk
    with pytest.raises(ConfigError, match="larger than 16 MiB"):
        read(file)


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"spool: /\xff\n")
    error = refused(path)
    assert error.message.endswith("c.yaml: byte 9 is not UTF-8")
    assert "\xff" not in str(error)


def test_a_byte_order_mark_is_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + YAML.encode())
    assert load(path, {}).config.vault.address == "https://yaml:8200"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yaml", "vault: {address: 'https://h'}\nspool: /s\nstorages: [{type: local, path: /x}]\n"),
        ("c.yml", "vault:\n  address: https://h\nspool: /s\nstorages:\n- type: local\n  path: /x\n"),
        ("c.JSON", '{"vault": {"address": "https://h"}, "spool": "/s", "storages": [{"type": "local", "path": "/x"}]}'),
        ("c.toml", 'spool = "/s"\n[vault]\naddress = "https://h"\n[[storages]]\ntype = "local"\npath = "/x"\n'),
    ],
)  # fmt: skip
def test_all_formats_say_the_same(load_text: LoadText, name: str, text: str) -> None:
    loaded = load_text(name, text)
    assert loaded.dialect == "agent"
    assert loaded.notes == ()
    assert loaded.config.vault.address == "https://h"
    assert loaded.config.spool == Path("/s")
    (storage,) = loaded.config.storages
    assert isinstance(storage, LocalSettings)
    assert storage.path == Path("/x")


def test_the_file_wins_over_the_environment_and_says_so(load_text: LoadText) -> None:
    environ = {
        "VAULT_ADDR": "https://elsewhere:8200",
        "VAULT_TOKEN": "hvs.x",
        "VAULT_NAMESPACE": "n",
    }
    text = "vault: {address: 'https://h:8200', auth: {method: token, token: t}}\n"
    loaded = load_text("c.yaml", text, environ)
    assert loaded.config.vault.addresses == ("https://h:8200",)
    assert loaded.config.vault.auth == TokenAuth.model_validate({"method": "token", "token": "t"})
    assert loaded.config.vault.namespace == "n"
    (note, _) = loaded.notes
    assert note.startswith("VAULT_ADDR is https://elsewhere:8200, but the address in ")


_BAO, _VAULT = "https://b:8200", "https://v:8200"


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"BAO_ADDR": _BAO, "VAULT_ADDR": _VAULT}, "BAO_ADDR comes first"),
        ({"BAO_AGENT_ADDR": _BAO, "VAULT_ADDR": _VAULT}, "BAO_AGENT_ADDR comes first"),
        (
            {"BAO_ADDR": "", "VAULT_ADDR": _VAULT},
            "BAO_ADDR is set and empty, so https://127.0.0.1:8200 is used",
        ),
        ({"BAO_ADDR": _BAO, "VAULT_ADDR": _BAO}, ""),
        ({"VAULT_ADDR": f" {_VAULT}/ "}, ""),
        ({"VAULT_ADDR": _VAULT.replace("https", "HTTPS")}, ""),
    ],
)
def test_a_variable_that_another_overrules_is_told(
    load_text: LoadText,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    environ: dict[str, str],
    why: str,
) -> None:
    notes = (f"VAULT_ADDR is {_VAULT}, but {why}",) if why else ()
    assert load_text("c.yaml", "run_on: anywhere\n", environ).notes == notes
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "PLACES", ())
    assert load(None, environ).notes == notes


def test_of_a_pair_one_half_may_be_in_the_environment(load_text: LoadText) -> None:
    text = "vault: {tls: {client_cert: /c.pem}}\n"
    tls = load_text("c.yaml", text, {"VAULT_CLIENT_KEY": "/k.pem"}).config.vault.tls
    assert (tls.client_cert, tls.client_key) == (Path("/c.pem"), Path("/k.pem"))


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"VAULT_CLIENT_CERT": "/c.pem"}, "VAULT_CLIENT_CERT is set without VAULT_CLIENT_KEY"),
        ({"BAO_CLIENT_KEY": "/k.pem"}, "BAO_CLIENT_KEY is set without VAULT_CLIENT_CERT"),
    ],
)
def test_half_a_pair_in_the_environment_is_named(
    load_text: LoadText, environ: dict[str, str], why: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text("c.yaml", "run_on: anywhere\n", environ)
    assert caught.value.message.endswith(f"c.yaml:1:1: vault.tls: {why}")


def test_of_several_clusters_the_one_is_named_that_has_half_a_pair(load_text: LoadText) -> None:
    text = "clusters:\n  a: {vault: {tls: {client_cert: /c.pem}}}\n  b: {run_on: anywhere}\n"
    with pytest.raises(ConfigError) as caught:
        load_text("c.yaml", text, {"VAULT_CLIENT_KEY": "/k.pem"})
    assert "clusters.b.vault.tls: VAULT_CLIENT_KEY is set without" in caught.value.message
    assert "write VAULT_CLIENT_KEY into the file" in caught.value.hint


def test_the_environment_fills_what_the_file_leaves_out(load_text: LoadText) -> None:
    environ = {"VAULT_ADDR": "https://v", "BAO_ADDR": "https://b/", "BAO_SKIP_VERIFY": "true"}
    loaded = load_text("c.yaml", "run_on: anywhere\n", environ)
    assert loaded.config.vault.addresses == ("https://b",)
    assert loaded.config.vault.tls.skip_verify
    assert loaded.config.run_on == "anywhere"


def test_a_password_in_an_overruled_address_is_hidden(load_text: LoadText) -> None:
    (note,) = load_text("c.yaml", YAML, {"VAULT_ADDR": "https://u:hunter22@x"}).notes
    assert "hunter22" not in note


def test_an_environment_that_cannot_be_used_is_refused(load_text: LoadText) -> None:
    with pytest.raises(ConfigError, match="the environment"):
        load_text("c.yaml", "run_on: leader\n", {"VAULT_ADDR": "localhost:8200"})


def test_a_configuration_shows_no_secret(load_text: LoadText) -> None:
    text = "vault: {auth: {method: token, token: hunter22}}\n"
    assert "hunter22" not in repr(load_text("c.yaml", text))


def test_a_namespace_is_noted_as_tokens_made_there_take_no_snapshots(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(YAML)
    (note,) = load(file, {"VAULT_NAMESPACE": "team"}).notes
    assert note.startswith("vault.namespace is team: a token made in a namespace cannot take")
    bare = {"VAULT_ADDR": "https://h:8200", "VAULT_NAMESPACE": "root"}
    assert load(file, bare | {"VAULT_ADDR": "https://yaml:8200"}).notes == ()
