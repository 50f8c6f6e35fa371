from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.storage import AnyStorage
from raft_snapshot_agent.storage.local import atomic_write

SETTINGS: TypeAdapter[Any] = TypeAdapter(AnyStorage)
KEYS = {"access_key_id": "mine", "secret_access_key": "it's hidden"}


def s3(**more: Any) -> Any:
    return SETTINGS.validate_python({"type": "s3", "bucket": "backups", **more})


def local(path: Path | str = "/var/backups/vault", **more: Any) -> Any:
    return SETTINGS.validate_python({"type": "local", "path": str(path), **more})


def complaint(settings: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        SETTINGS.validate_python(settings)
    return " ".join(error["msg"] for error in caught.value.errors())


@pytest.mark.parametrize(
    ("prefix", "folder"),
    [
        ("", ""),
        ("/", ""),
        ("vault", "vault/"),
        ("/vault/", "vault/"),
        ("//a///b//", "a/b/"),
        ("Sicherung für Vault", "Sicherung für Vault/"),
    ],
)
def test_a_prefix_is_a_folder(prefix: str, folder: str) -> None:
    assert s3(prefix=prefix).prefix == folder
    assert local(prefix=prefix).prefix == folder


@pytest.mark.parametrize("prefix", ["..", "a/../b", "./a", "a\nb", "a\x00", "tab\t", "a\\b"])
def test_a_prefix_that_leads_elsewhere_is_refused(prefix: str) -> None:
    assert "must not contain" in complaint({"type": "s3", "bucket": "b12", "prefix": prefix})


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", ".hidden", "..", "a\nb"])
def test_a_static_name_is_a_plain_file_name(name: str) -> None:
    assert "must" in complaint({"type": "local", "path": "/x", "static_name": name})


def test_both_kinds_may_have_a_static_name_and_a_retention() -> None:
    for settings in (
        local(static_name="latest.snap", retention={"last": 3}),
        s3(static_name="latest.snap", retention={"last": 3}),
    ):
        assert settings.static_name == "latest.snap"
        assert settings.retention.last == 3


def test_an_unknown_type_names_those_there_are() -> None:
    message = complaint({"type": "ftp"})
    assert "'local'" in message
    assert "'s3'" in message


def test_an_unknown_key_is_refused() -> None:
    assert "Extra inputs" in complaint({"type": "local", "path": "/x", "pth": "/y"})


def test_a_relative_path_is_refused() -> None:
    assert "absolute path" in complaint({"type": "local", "path": "backups"})


@pytest.mark.parametrize("bucket", ["", "s3://backups", "backups/vault", "bäckups", "-x"])
def test_a_bucket_is_a_bare_name(bucket: str) -> None:
    assert "bare name" in complaint({"type": "s3", "bucket": bucket})


@pytest.mark.parametrize("endpoint", ["minio:9000", "minio", "ftp://minio", "https://", "//minio"])
def test_an_endpoint_needs_its_scheme(endpoint: str) -> None:
    message = complaint({"type": "s3", "bucket": "b12", "endpoint": endpoint})
    assert "https://minio.example.org:9000" in message


@pytest.mark.parametrize("endpoint", ["https://me:secret@minio", "https://minio/bucket?x=1"])
def test_an_endpoint_is_a_host_and_nothing_else(endpoint: str) -> None:
    message = complaint({"type": "s3", "bucket": "b12", "endpoint": endpoint})
    assert "host and port only" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:9000", "http://localhost:9000", "http://[::1]:9000"]
)
def test_an_endpoint_on_loopback_may_go_without_tls(endpoint: str) -> None:
    assert s3(endpoint=endpoint).endpoint == endpoint


def test_an_endpoint_elsewhere_needs_tls_or_a_word() -> None:
    message = complaint({"type": "s3", "bucket": "b12", "endpoint": "http://minio:9000"})
    assert "allow_http: true" in message
    assert s3(endpoint="http://minio:9000", allow_http=True).endpoint == "http://minio:9000"


def test_plain_http_can_be_refused_on_loopback_too() -> None:
    settings = {
        "type": "s3",
        "bucket": "b12",
        "endpoint": "http://127.0.0.1:1",
        "allow_http": False,
    }
    assert "not encrypted" in complaint(settings)


@pytest.mark.parametrize(
    "half",
    [
        {"access_key_id": "mine"},
        {"secret_access_key": "mine"},
        {"session_token": "mine"},
        {"kms_key_id": "key"},
        {"kms_key_id": "key", "server_side_encryption": "AES256"},
    ],
)
def test_what_belongs_together_is_given_together(half: dict[str, str]) -> None:
    message = complaint({"type": "s3", "bucket": "b12", **half})
    assert "together" in message or "needs" in message


def test_settings_show_no_secret() -> None:
    settings = s3(**KEYS, session_token="also hidden")
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert "hidden " not in text.replace("[hidden]", "")
        assert "it's" not in text
        assert "also" not in text


def test_opening_touches_nothing(tmp_path: Path) -> None:
    local(tmp_path / "missing").open()
    s3(**KEYS).open()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    settings = local(tmp_path / "backups", prefix="prod/vault")
    settings.prepare()
    assert (tmp_path / "backups/prod/vault").is_dir()
    for folder in ("backups", "backups/prod", "backups/prod/vault"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "backups/prod/vault").iterdir()) == []


def test_check_makes_no_folder(tmp_path: Path) -> None:
    local(tmp_path / "a/b").check()
    assert list(tmp_path.iterdir()) == []


def test_check_does_not_need_files_without_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY)  # as a kernel that does not know it
    local(tmp_path / "a/b").check()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="Not a directory"):
        local(tmp_path / "file").check()
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_the_folder_is_made_durably(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(atomic_write, "sync_folder", synced.append)
    local(tmp_path / "a/b").prepare()
    assert synced == [tmp_path, tmp_path / "a"]


def test_an_existing_folder_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    local(tmp_path).check()
    local(tmp_path).prepare()
    assert tmp_path.stat().st_mode & 0o777 == 0o750


def test_check_tells_why_the_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as caught:
        local(tmp_path / "file" / "backups").check()
    assert str(tmp_path / "file" / "backups") in caught.value.message
    assert caught.value.hint


def test_check_tells_why_the_folder_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    with pytest.raises(ConfigError) as caught:
        local("/proc").check()
    assert "/proc" in caught.value.message
    assert f"uid {os.geteuid()}" in caught.value.hint


def test_check_asks_nothing_of_a_bucket() -> None:
    s3(endpoint="http://127.0.0.1:1").check()
