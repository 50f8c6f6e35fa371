"""A container of OpenStack Swift, or of another store that speaks its protocol.

A snapshot is a static large object: its segments are uploaded while it grows, out of sight below
`.segments/`, and the manifest that makes an object of them comes last.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeVar
from urllib.parse import unquote

from pydantic import AfterValidator, ByteSize, model_validator

from raft_snapshot_agent.network.address import ProxyUrl
from raft_snapshot_agent.network.clear_text import refuse_plain_http
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.storage.base import Entry, Storage, UploadSource
from raft_snapshot_agent.storage.http.body import in_stoppable_thread
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.names import require_plain_name
from raft_snapshot_agent.storage.objectstore.connection import server_url
from raft_snapshot_agent.storage.settings import StorageSettings
from raft_snapshot_agent.threads import in_thread

if TYPE_CHECKING:
    from raft_snapshot_agent.storage.swift.container import Container

T = TypeVar("T")

_LARGEST_SEGMENT = 5 << 30
"""Source: Swift's `max_file_size`, 5 GiB and two bytes unless an operator changes it."""


def _container(name: str) -> str:
    if not name or "/" in name or not name.isprintable():
        raise ValueError("must be the bare name of a container; folders in it belong into prefix")
    return name


def _segment(size: int) -> int:
    if not 1 << 20 <= size <= _LARGEST_SEGMENT:
        raise ValueError("must be between 1MiB and 5GiB")
    return size


class SwiftSettings(StorageSettings):
    """Snapshots in a container of OpenStack Swift.

    What is missing here comes from the OS_* environment variables that OpenStack's RC files set.
    """

    type: Literal["swift"]
    container: Annotated[str, AfterValidator(_container)]
    auth_url: Annotated[str, AfterValidator(server_url)] | None = None
    """Keystone's address (version 3); or one that ends in `/auth/v1.0`, for Swift's own login."""
    username: str | None = None
    """For Swift's own login `account:user`."""
    password: Secret | None = None
    user_domain_name: str | None = None
    """`Default` when missing."""
    project_name: str | None = None
    project_domain_name: str | None = None
    """`Default` when missing."""
    application_credential_id: str | None = None
    application_credential_secret: Secret | None = None
    """Instead of user and project."""
    region_name: str | None = None
    """Which of the catalog's stores, if there are several."""
    storage_url: Annotated[str, AfterValidator(server_url)] | None = None
    """The account's address; with `auth_token` nobody needs to log in."""
    auth_token: Secret | None = None
    ca_file: Path | None = None
    """Certificates to trust beside the system's, in PEM."""
    proxy: ProxyUrl | None = None
    """URL of an HTTP proxy; by default the environment's HTTPS_PROXY and NO_PROXY count."""
    allow_http: bool | None = None
    """Whether addresses may go without TLS; true for those on loopback."""
    segment_size: Annotated[ByteSize, AfterValidator(_segment)] = ByteSize(1 << 30)
    """How much of a snapshot goes into one segment; a container takes 1,000 of them."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.application_credential_id is None) != (self.application_credential_secret is None):
            raise ValueError(
                "application_credential_id and application_credential_secret must be given together"
            )
        if self.application_credential_id is not None and self.username is not None:
            raise ValueError("give either an application credential or username and password")
        if self.auth_token is not None and self.storage_url is None:
            raise ValueError("auth_token needs storage_url")
        if self.storage_url is not None:
            account, _, last = self.storage_url.rpartition("/")
            if unquote(last) == self.container:
                raise ValueError(
                    f"storage_url holds the container, which is added to it anyway: write {account}"
                )
        for url in (self.auth_url, self.storage_url):
            if url is not None:
                refuse_plain_http(url, self.allow_http)
        return self

    def open(self) -> Storage:
        return SwiftStorage(self)

    def check(self) -> None:
        """Make sure that there is something to log in with."""
        from raft_snapshot_agent.storage.swift.login import check_login

        check_login(self)


class SwiftStorage:
    """Snapshots as objects; they appear when they are whole."""

    kind = "swift"

    def __init__(self, settings: SwiftSettings) -> None:
        self._settings = settings

    @cached_property
    def _container(self) -> Container:
        from raft_snapshot_agent.storage.swift.container import Container

        return Container(self._settings)

    def location(self, name: str) -> str:
        return self._container.shown(self._settings.prefix + name)

    async def put(self, name: str, source: UploadSource) -> int:
        from raft_snapshot_agent.storage.swift.upload import SwiftUpload

        upload = SwiftUpload(self._container, self._key(name), int(self._settings.segment_size))
        return await in_stoppable_thread(partial(upload.run, source))

    async def entries(self) -> list[Entry]:
        prefix = self._settings.prefix
        objects = await self._blocking(self._container.listed, prefix, "/")
        return [Entry(one.key.removeprefix(prefix), one.size) for one in objects]

    async def read(self, name: str) -> AsyncIterator[bytes]:
        key = self._key(name)
        answer = await self._blocking(self._container.opened, key)
        try:
            while piece := await self._blocking(self._container.more, key, answer):
                yield piece
        finally:
            answer.close()

    async def delete(self, name: str) -> None:
        await self._blocking(self._container.delete_with_segments, self._key(name))

    async def sweep(self, leftovers: Leftovers) -> int:
        from raft_snapshot_agent.storage.swift.upload import sweep

        return await self._blocking(sweep, self._container, self._settings.prefix, leftovers)

    async def _blocking(self, work: Callable[..., T], *args: object) -> T:
        return await in_thread(partial(work, *args), abandon=True)

    def _key(self, name: str) -> str:
        where = self._container.shown(self._settings.prefix)
        return self._settings.prefix + require_plain_name(name, where)
