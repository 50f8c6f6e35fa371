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
        (SWIFT, {"auth_url": f"{HERE}/v3"}, {"auth_url": "http://localhost:81/v3/"}),
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
        (SWIFT, {"auth_url": "https://h/v3"}),
        (SWIFT, {"project_name": "other"}),
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
