"""The original agent's storages become ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.storage.azure.azure import AzureSettings
from raft_snapshot_agent.storage.gcs.gcs import GcsSettings
from raft_snapshot_agent.storage.s3.s3 import S3Settings

Refusal = Callable[..., str]

S3 = {"s3_bucket": "b"}


def s3(loaded: Loaded) -> S3Settings:
    (storage,) = loaded.config.storages
    assert isinstance(storage, S3Settings)
    return storage


@pytest.mark.parametrize(
    ("said", "environ", "expected"),
    [
        ({}, {}, (None, None, None)),
        ({}, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, (None, None, None)),
        (
            {},
            {"AWS_ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"},
            ("env://AWS_ACCESS_KEY_ID", "env://SECRET_ACCESS_KEY", "env://AWS_SESSION_TOKEN"),
        ),
        (
            {"access_key_id": "x"},
            {"AWS_SECRET_ACCESS_KEY": "b", "SECRET_ACCESS_KEY": "c", "AWS_SESSION_TOKEN": "d"},
            ("[hidden]", "env://AWS_SECRET_ACCESS_KEY", None),
        ),
        ({}, {"SECRET_ACCESS_KEY": "b"}, (None, None, None)),
        (
            {},
            {"AWS_ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "AWS_SECRET_ACCESS_KEY": ""},
            ("env://AWS_ACCESS_KEY_ID", "env://SECRET_ACCESS_KEY", None),
        ),
        (
            {"access_key_id": "x"},
            {"SECRET_ACCESS_KEY": "c", "AWS_SECRET_ACCESS_KEY": ""},
            ("[hidden]", "env://SECRET_ACCESS_KEY", None),
        ),
        ({"access_key_id": "x"}, {"SECRET_ACCESS_KEY": "c"}, ("[hidden]", "env://SECRET_ACCESS_KEY", None)),
        ({"access_key_id": "x", "secret_access_key": "y"}, {"SECRET_ACCESS_KEY": "c"}, ("[hidden]", "[hidden]", None)),
    ],
)  # fmt: skip
def test_credentials_come_from_the_file_then_from_the_environment(
    seed: Callable[..., Loaded],
    said: dict[str, str],
    environ: dict[str, str],
    expected: tuple[str | None, ...],
) -> None:
    storage = s3(seed(environ, aws_storage={**S3, **said}))
    found = (storage.access_key_id, storage.secret_access_key, storage.session_token)
    assert tuple(secret and secret.reference for secret in found) == expected


@pytest.mark.parametrize(
    ("endpoint", "expected", "allow_http"),
    [
        ("minio:9000", "https://minio:9000", None),
        ("https://minio:9000", "https://minio:9000", None),
        ("http://minio:9000", "http://minio:9000", True),
    ],
)
def test_an_endpoint_needs_no_scheme(
    seed: Callable[..., Loaded], endpoint: str, expected: str, *, allow_http: bool | None
) -> None:
    storage = s3(seed(aws_storage={**S3, "s3_endpoint": endpoint}))
    assert (storage.endpoint, storage.allow_http) == (expected, allow_http)
    assert storage.path_style is False


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_region_may_come_from_the_environment(seed: Callable[..., Loaded], name: str) -> None:
    assert s3(seed({name: "eu-west-1"}, aws_storage=S3)).region is None
    assert s3(seed({name: ""}, aws_storage=S3)).region == "us-east-1"
    assert s3(seed({name: "eu-west-1"}, aws_storage={**S3, "s3_region": "x"})).region == "x"


def test_storages_without_their_deciding_key_are_ignored_and_noted(
    seed: Callable[..., Loaded],
) -> None:
    loaded = seed(aws_storage={"s3_region": "x"}, azure_storage={"account_name": "n"})
    assert loaded.config.storages == ()
    aws, azure = loaded.notes
    assert "aws_storage has no s3_bucket and is ignored" in aws
    assert "azure_storage has no container_name and is ignored" in azure


def test_google_storage_is_a_bucket_of_its_own(seed: Callable[..., Loaded]) -> None:
    (storage,) = seed(google_storage={"bucket": "backups"}).config.storages
    assert isinstance(storage, GcsSettings)
    assert (storage.bucket, storage.prefix) == ("backups", "")


@pytest.mark.parametrize("key", [{}, {"account_key": "a2V5"}])
def test_azure_storage_is_a_container(seed: Callable[..., Loaded], key: dict[str, str]) -> None:
    said = {"account_name": "mine", "container_name": "backups", **key}
    (storage,) = seed(azure_storage=said).config.storages
    assert isinstance(storage, AzureSettings)
    assert (storage.container, storage.account_name) == ("backups", "mine")
    assert (storage.account_key and storage.account_key.resolve()) == key.get("account_key")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"google_storage": {"bucket": "gs://b"}}, "google_storage.bucket: must be the bare name"),
        (
            {"azure_storage": {"container_name": "B"}},
            "azure_storage.container_name: must be the bare name",
        ),
        (
            {"azure_storage": {"container_name": "backups", "account_name": "a.b"}},
            "azure_storage.account_name: must be the bare name",
        ),
    ],
)
def test_a_wrong_name_is_told_by_the_originals_key(
    refuse_seed: Refusal, keys: dict[str, Any], expected: str
) -> None:
    assert expected in refuse_seed(**keys)


@pytest.mark.parametrize(
    ("prefix", "noted"),
    [("vault/prod", False), ("vault/prod/", True), ("/vault/prod", True), ("vault//prod", True)],
)
def test_snapshots_below_an_empty_folder_are_told_of(
    seed: Callable[..., Loaded], prefix: str, *, noted: bool
) -> None:
    """The original writes `PREFIX/NAME`, however the prefix ends; we write no empty folders."""
    loaded = seed(aws_storage={**S3, "s3_key_prefix": prefix})
    assert s3(loaded).prefix == "vault/prod/"
    said = f"the original's snapshots at {prefix}/ are not listed: move them to vault/prod/"
    assert any(said in note for note in loaded.notes) == noted
