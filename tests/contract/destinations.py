"""The places a storage is tried on, and a look behind its back."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config
from pydantic import TypeAdapter
from tests.azurite import Azurite
from tests.fake_gcs import FakeGcs
from tests.stores.fixtures import Account, Served, Sshd
from tests.stores.memory import MemoryStorage
from tests.stores.running import LOOPBACK, PASSWORD, SWIFT_USER, USERNAME

from raft_snapshot_agent.servers.seaweedfs import SeaweedFS
from raft_snapshot_agent.storage import AnyStorage
from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.storage.http.parts import PART

SETTINGS: TypeAdapter[Any] = TypeAdapter(AnyStorage)
_SOME = 6 << 20


class Place(Protocol):
    """Somewhere to open storages in, with a back door."""

    spools: Path
    part: int
    """Bytes of a part of an upload; some that stand for one where an upload has no parts."""

    def open(self, prefix: str = "") -> Storage: ...

    def settings(self, prefix: str = "") -> dict[str, Any]:
        """Settings of a storage here, for another process."""

    def plant(self, keys: Iterable[str]) -> None:
        """Put three bytes under each key, whatever the storage thinks of it."""

    def keys(self) -> list[str]:
        """Everything that is visible here."""

    def pending(self) -> list[str]:
        """Everything that was begun here and is not visible."""


class Memory:
    part = _SOME

    def __init__(self, spools: Path) -> None:
        self.spools = spools
        self._storages: dict[str, MemoryStorage] = {}

    def open(self, prefix: str = "") -> MemoryStorage:
        return self._storages.setdefault(prefix, MemoryStorage())

    def settings(self, prefix: str = "") -> dict[str, Any]:
        raise AssertionError("memory is not shared with other processes")

    def plant(self, keys: Iterable[str]) -> None:
        for key in keys:
            folder, slash, name = key.rpartition("/")
            self.open(folder + slash)._objects[name] = b"abc"

    def keys(self) -> list[str]:
        return [prefix + name for prefix, one in self._storages.items() for name in one._objects]

    def pending(self) -> list[str]:
        return []


class Local:
    part = _SOME

    def __init__(self, root: Path, spools: Path) -> None:
        self.root, self.spools = root, spools

    def settings(self, prefix: str = "", **more: Any) -> dict[str, Any]:
        return {"type": "local", "path": str(self.root), "prefix": prefix, **more}

    def open(self, prefix: str = "", **more: Any) -> Storage:
        settings = SETTINGS.validate_python(self.settings(prefix, **more))
        settings.check()
        settings.prepare()
        storage: Storage = settings.open()
        return storage

    def plant(self, keys: Iterable[str]) -> None:
        for key in keys:
            path = self.root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"abc")

    def keys(self) -> list[str]:
        return [key for key in self._files() if not key.endswith(".partial")]

    def pending(self) -> list[str]:
        return [key for key in self._files() if key.endswith(".partial")]

    def _files(self) -> Iterator[str]:
        return (str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file())


class Sftp(Local):
    """A folder of this host, reached through an SSH server."""

    def __init__(self, root: Path, spools: Path, server: Sshd) -> None:
        root.mkdir()
        super().__init__(root, spools)
        self.server = server

    def settings(self, prefix: str = "", **more: Any) -> dict[str, Any]:
        return {
            "type": "sftp",
            "host": LOOPBACK,
            "port": self.server.port,
            "username": self.server.username,
            "private_key_file": str(self.server.key),
            "host_key": self.server.fingerprint,
            "path": str(self.root),
            "prefix": prefix,
            "timeout": "20s",
            **more,
        }


class Swift:
    """A container of a real Swift, with segments small enough for tests."""

    part = PART

    def __init__(self, account: Account, container: str, spools: Path) -> None:
        self.account, self.container, self.spools = account, container, spools

    def settings(self, prefix: str = "", **more: Any) -> dict[str, Any]:
        return {
            "type": "swift",
            "container": self.container,
            "auth_url": self.account.auth_url,
            "username": SWIFT_USER,
            "password": PASSWORD,
            "prefix": prefix,
            "segment_size": "8MiB",
            "timeout": "20s",
            **more,
        }

    def open(self, prefix: str = "", **more: Any) -> Storage:
        storage: Storage = SETTINGS.validate_python(self.settings(prefix, **more)).open()
        return storage

    def plant(self, keys: Iterable[str]) -> None:
        def put(key: str) -> None:
            self.account.ask("PUT", f"{self.container}/{key}", b"abc")

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(put, keys))

    def keys(self) -> list[str]:
        return [key for key in self.objects() if ".segments/" not in key]

    def pending(self) -> list[str]:
        """The uploads that have segments, and no object yet."""
        whole = {f"{folder}.segments/{name}" for folder, name in map(_split, self.keys())}
        uploads = {key.rpartition("/")[0] for key in self.objects() if ".segments/" in key}
        return [upload for upload in uploads if upload.rpartition("/")[0] not in whole]

    def objects(self) -> list[str]:
        text = self.account.ask("GET", self.container, query="?format=json")
        return [entry["name"] for entry in json.loads(text)]


def _split(key: str) -> tuple[str, str]:
    folder, slash, name = key.rpartition("/")
    return folder + slash, name


class Webdav(Local):
    """A folder behind a WebDAV server."""

    def __init__(self, served: Served, spools: Path) -> None:
        super().__init__(served.root, spools)
        self.served = served

    def settings(self, prefix: str = "", **more: Any) -> dict[str, Any]:
        return {
            "type": "webdav",
            "url": f"http://{LOOPBACK}:{self.served.port}{self.served.path}",
            "prefix": prefix,
            "username": USERNAME,
            "password": PASSWORD,
            "timeout": "20s",
            **more,
        }


class S3:
    part = PART

    def __init__(self, seaweed: SeaweedFS, bucket: str, spools: Path) -> None:
        self.seaweed, self.bucket, self.spools = seaweed, bucket, spools

    def settings(self, prefix: str = "", **more: Any) -> dict[str, Any]:
        return {
            "type": "s3",
            "bucket": self.bucket,
            "prefix": prefix,
            "endpoint": self.seaweed.endpoint,
            "region": self.seaweed.region,
            "access_key_id": self.seaweed.access_key_id,
            "secret_access_key": self.seaweed.secret_access_key,
            "timeout": "20s",
            **more,
        }

    def open(self, prefix: str = "", **more: Any) -> Storage:
        storage: Storage = SETTINGS.validate_python(self.settings(prefix, **more)).open()
        return storage

    @functools.cached_property
    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.seaweed.endpoint,
            region_name=self.seaweed.region,
            aws_access_key_id=self.seaweed.access_key_id,
            aws_secret_access_key=self.seaweed.secret_access_key,
            config=Config(max_pool_connections=8),
        )

    def plant(self, keys: Iterable[str]) -> None:
        def put(key: str) -> None:
            self.client.put_object(Bucket=self.bucket, Key=key, Body=b"abc")

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(put, keys))

    def keys(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def pending(self) -> list[str]:
        answer = self.client.list_multipart_uploads(Bucket=self.bucket)
        return [upload["Key"] for upload in answer.get("Uploads", ())]


class Gcs:
    """Uploads that nobody completes are Google's own to drop, and nobody can list them."""

    part = PART

    def __init__(self, server: FakeGcs, bucket: str, spools: Path) -> None:
        self.server, self.bucket, self.spools = server, bucket, spools

    def settings(self, prefix: str = "", **more: Any) -> dict[str, Any]:
        return {
            "type": "gcs",
            "bucket": self.bucket,
            "prefix": prefix,
            "endpoint": self.server.endpoint,
            "service_account_file": str(self.server.credentials),
            "timeout": "20s",
            **more,
        }

    def open(self, prefix: str = "", **more: Any) -> Storage:
        storage: Storage = SETTINGS.validate_python(self.settings(prefix, **more)).open()
        return storage

    def plant(self, keys: Iterable[str]) -> None:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda key: self.server.put(self.bucket, key, b"abc"), keys))

    def keys(self) -> list[str]:
        return self.server.keys(self.bucket)

    def pending(self) -> list[str]:
        return []


class Azure:
    """Blocks that nobody commits are Azure's own to drop, and no part of a container."""

    part = PART

    def __init__(self, server: Azurite, container: str, spools: Path) -> None:
        self.server, self.container, self.spools = server, container, spools

    def settings(self, prefix: str = "", **more: Any) -> dict[str, Any]:
        return {
            "type": "azure",
            "container": self.container,
            "prefix": prefix,
            "endpoint": self.server.endpoint,
            "account_name": self.server.account,
            "account_key": self.server.key,
            "timeout": "20s",
            **more,
        }

    def open(self, prefix: str = "", **more: Any) -> Storage:
        storage: Storage = SETTINGS.validate_python(self.settings(prefix, **more)).open()
        return storage

    def plant(self, keys: Iterable[str]) -> None:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda key: self.server.put(self.container, key, b"abc"), keys))

    def keys(self) -> list[str]:
        return self.server.keys(self.container)

    def pending(self) -> list[str]:
        return []
