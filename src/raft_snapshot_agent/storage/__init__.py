"""The storage types: each is a package, registered here with one line."""

from __future__ import annotations

from typing import Annotated

from raft_snapshot_agent.registry import Registry
from raft_snapshot_agent.storage.settings import StorageSettings

STORAGES = Registry(
    "type",
    __name__,
    {
        "azure": "azure.azure:AzureSettings",
        "gcs": "gcs.gcs:GcsSettings",
        "local": "local.local:LocalSettings",
        "s3": "s3.s3:S3Settings",
        "sftp": "sftp.sftp:SftpSettings",
        "swift": "swift.swift:SwiftSettings",
        "webdav": "webdav.webdav:WebdavSettings",
    },
)
"""Settings class by `type`; each is imported when it is configured."""
AnyStorage = Annotated[StorageSettings, STORAGES]
