"""The storages there are: each one file, and one line here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from raft_snapshot_agent.storage.azure.azure import AzureSettings
from raft_snapshot_agent.storage.gcs.gcs import GcsSettings
from raft_snapshot_agent.storage.local.local import LocalSettings
from raft_snapshot_agent.storage.s3.s3 import S3Settings
from raft_snapshot_agent.storage.sftp.sftp import SftpSettings
from raft_snapshot_agent.storage.swift.swift import SwiftSettings
from raft_snapshot_agent.storage.webdav.webdav import WebdavSettings

AnyStorage = Annotated[
    AzureSettings
    | GcsSettings
    | LocalSettings
    | S3Settings
    | SftpSettings
    | SwiftSettings
    | WebdavSettings,
    Field(discriminator="type"),
]
