"""One place, however its address is written."""

from __future__ import annotations

import pytest
from tests.contract.destinations import SETTINGS

from raft_snapshot_agent.config.identity import StoragePlace, locate

S3 = {"type": "s3", "bucket": "b", "prefix": "p"}
GCS = {"type": "gcs", "bucket": "b"}
AZURE = {"type": "azure", "container": "abc", "account_name": "acc"}
SFTP = {"type": "sftp", "username": "u", "password": "p", "host": "h", "path": "/srv/a"}
DAV = {"type": "webdav", "url": "https://h/dav/a"}
SWIFT = {"type": "swift", "container": "c"}
HERE = "http://127.0.0.1:81"
AMAZON = {"type": "s3", "bucket": "b", "region": "eu-central-1"}
AZURITE = (
    "DefaultEndpointsProtocol=http;AccountName=acc;AccountKey=a2V5;"
    "BlobEndpoint=http://127.0.0.1:81/acc;"
)
KEYSTONE = {**SWIFT, "auth_url": "https://h/v3", "username": "u", "project_name": "p"}
OWN = {**SWIFT, "auth_url": "https://h/auth/v1.0", "username": "a:u"}


def place(settings: dict[str, str], **more: str) -> StoragePlace:
    return locate(SETTINGS.validate_python({**settings, **more}))


@pytest.mark.parametrize(
    ("settings", "one", "other"),
    [
        (S3, {"endpoint": HERE}, {"endpoint": "http://localhost:81"}),
        (S3, {"endpoint": HERE}, {"endpoint": "http://[::1]:81/"}),
        (S3, {"endpoint": "https://H.example"}, {"endpoint": "HTTPS://h.example.:443/"}),
        (S3, {"prefix": "p/q"}, {"prefix": "/p//q/"}),
        (GCS, {"endpoint": HERE}, {"endpoint": "http://localhost:81"}),
        (AZURE, {"endpoint": f"{HERE}/acc"}, {"endpoint": "http://localhost:81/%61cc/"}),
        (KEYSTONE, {"auth_url": f"{HERE}/v3"}, {"auth_url": "http://localhost:81/v3/"}),
        (SFTP, {"host": "localhost"}, {"host": "127.0.0.1"}),
        (SFTP, {"host": "::1"}, {"host": "127.0.0.1", "username": "other"}),
        (SFTP, {"prefix": "b"}, {"path": "/srv/x/../a/./b"}),
        (DAV, {}, {"url": "https://h:443/dav", "prefix": "a"}),
        (DAV, {}, {"url": "https://H/dav/%61/"}),
        (DAV, {"prefix": "Sicherung f\u00fcr"}, {"url": "https://h/dav/a/Sicherung%20f%C3%BCr"}),
        (DAV, {"url": f"{HERE}/a"}, {"url": "http://localhost:81/a"}),
    ],
)
def test_one_place_has_several_names(
    settings: dict[str, str], one: dict[str, str], other: dict[str, str]
) -> None:
    assert place(settings, **one) == place(settings, **other)


@pytest.mark.parametrize(
    ("settings", "other"),
    [
        (S3, {"bucket": "c"}),
        (S3, {"prefix": "P"}),
        (S3, {"endpoint": HERE}),
        (AZURE, {"account_name": "other"}),
        (KEYSTONE, {"auth_url": "https://h2/v3"}),
        (KEYSTONE, {"project_name": "other"}),
        (KEYSTONE, {"project_domain_name": "other"}),
        (OWN, {"username": "b:u"}),
        (SWIFT, {"storage_url": "https://h/v1/a"}),
        (SFTP, {"port": "23"}),
        (SFTP, {"path": "srv/a"}),
        (SFTP, {"host": "h2"}),
        (DAV, {"url": "https://h/dav/a%2520"}),
        (DAV, {"url": "https://h:444/dav/a"}),
        (DAV, {"url": "https://h/dav/A"}),
    ],
)
def test_other_places_are_others(settings: dict[str, str], other: dict[str, str]) -> None:
    assert place(settings) != place(settings, **other)


@pytest.mark.parametrize(
    ("settings", "other"),
    [
        (AMAZON, {"endpoint": "https://s3.eu-central-1.amazonaws.com"}),
        (AMAZON, {"endpoint": "https://s3.amazonaws.com"}),
        (AMAZON, {"endpoint": "https://S3-eu-central-1.amazonaws.com:443"}),
        (AMAZON, {"endpoint": "https://s3.dualstack.eu-central-1.amazonaws.com"}),
        (AMAZON, {"endpoint": "https://bucket.vpce-1a2b.s3.eu-central-1.vpce.amazonaws.com"}),
        (AMAZON, {"region": "us-east-1"}),
        (AMAZON | {"region": "cn-north-1"}, {"region": "cn-northwest-1"}),
        (AMAZON | {"region": "us-gov-east-1"}, {"region": "us-gov-west-1"}),
        (GCS, {"endpoint": "https://storage.googleapis.com"}),
        (GCS, {"endpoint": "https://storage.europe-west3.rep.googleapis.com"}),
        (AZURE, {"endpoint": "https://acc.blob.core.windows.net/"}),
        (AZURE | {"endpoint": f"{HERE}/acc"}, {"connection_string": AZURITE}),
        (KEYSTONE, {"auth_url": "https://h"}),
        (KEYSTONE, {"username": "v", "project_domain_name": "Default"}),
        (OWN, {"username": "a:v"}),
        (KEYSTONE | {"storage_url": "https://h/v1/a"}, {"project_name": "q"}),
    ],
)
def test_what_is_left_out_is_the_same_as_what_is_written(
    settings: dict[str, str], other: dict[str, str]
) -> None:
    assert place(settings) == place(settings, **other)


@pytest.mark.parametrize(
    ("settings", "other"),
    [
        (AMAZON, {"region": "cn-north-1"}),
        (AMAZON, {"region": "us-gov-west-1"}),
        (
            AMAZON | {"endpoint": "https://ec2-192-0-2-1.compute-1.amazonaws.com:9000"},
            {"endpoint": "https://ec2-192-0-2-2.compute-1.amazonaws.com:9000"},
        ),
        (GCS, {"endpoint": "https://storage.example.org"}),
        (AZURE, {"endpoint": "https://acc.blob.core.chinacloudapi.cn"}),
    ],
)
def test_clouds_apart_have_places_apart(settings: dict[str, str], other: dict[str, str]) -> None:
    assert place(settings) != place(settings, **other)


@pytest.mark.parametrize(
    ("name", "value", "settings", "written"),
    [
        ("AWS_ENDPOINT_URL", HERE, S3, {"endpoint": HERE}),
        ("AWS_REGION", "cn-north-1", S3, {"region": "cn-north-1"}),
        ("STORAGE_EMULATOR_HOST", "127.0.0.1:81", GCS, {"endpoint": HERE}),
        ("AZURE_STORAGE_ENDPOINT", f"{HERE}/acc", AZURE, {"endpoint": f"{HERE}/acc"}),
        ("AZURE_STORAGE_CONNECTION_STRING", AZURITE, AZURE, {"endpoint": f"{HERE}/acc"}),
        ("OS_STORAGE_URL", f"{HERE}/v1/a", SWIFT, {"storage_url": f"{HERE}/v1/a"}),
    ],
)
def test_the_environment_tells_the_rest(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    settings: dict[str, str],
    written: dict[str, str],
) -> None:
    monkeypatch.setenv(name, value)
    there = place(settings)
    monkeypatch.delenv(name)
    assert there == place(settings, **written)
    if settings != SWIFT:  # which has no address by itself
        assert there != place(settings)


def test_what_cannot_be_found_out_is_compared_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "no URL")
    assert place(S3) == place(S3, prefix="/p/")
    assert place(S3) != place(S3, endpoint=HERE)
    assert place(S3) != place(S3, bucket="c")
