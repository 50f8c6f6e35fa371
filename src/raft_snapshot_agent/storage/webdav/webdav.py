"""A folder on a WebDAV server; a PUT may not be atomic, so files are uploaded and then moved."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlsplit

from raft_snapshot_agent.errors import (
    ConfigError,
    LoginRefused,
    SnapshotNotFound,
    StorageDenied,
    StorageError,
)
from raft_snapshot_agent.network.trust import TlsOptions
from raft_snapshot_agent.redaction import one_line
from raft_snapshot_agent.storage.base import Entry, Storage, UploadSource
from raft_snapshot_agent.storage.http.body import (
    Body,
    cleanup,
    if_small,
    in_stoppable_thread,
    whole_length,
)
from raft_snapshot_agent.storage.http.http import Http, refusal, told_by
from raft_snapshot_agent.storage.http.pages import LIST_BYTES
from raft_snapshot_agent.storage.leftovers import Leftovers, fresh_partial, target_of_fresh
from raft_snapshot_agent.storage.limits import too_many
from raft_snapshot_agent.storage.names import folder_in_the_way, not_found, require_plain_name
from raft_snapshot_agent.storage.webdav.move import replace
from raft_snapshot_agent.storage.webdav.options import WebdavOptions
from raft_snapshot_agent.threads import in_thread

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from raft_snapshot_agent.storage.webdav.multistatus import WebdavFile, WebdavList

T = TypeVar("T")

_CHUNK = _SMALL = 1 << 20
_SUCCESS = {200, 201, 204}
_GONE = {200, 202, 204, 404, 410}
_LENGTH_WANTED = {400, 411, 501}
_MADE = {201, 405}
"""Answers to MKCOL: it was created, or was there. Source: RFC 4918, section 9.3.1."""
_SPOKEN = re.compile(r"(?:^|,)\s*(?:basic|bearer)\b", re.IGNORECASE)
_RIGHTS = "check username, password or token; it needs to write, move, list, read and delete there"


class WebdavSettings(WebdavOptions):
    """Snapshots in a folder of a WebDAV server."""

    def open(self) -> Storage:
        return WebdavStorage(self)


class WebdavStorage:
    """Snapshots as files on a server; hidden until they are complete."""

    kind = "webdav"

    def __init__(self, settings: WebdavOptions) -> None:
        self._settings = settings
        self._folder = f"{settings.url}/{settings.prefix}"
        self._base = f"{settings.url}/{quote(settings.prefix)}"
        trust = TlsOptions(settings.ca_file, settings.skip_verify)
        self._http = Http(settings.timeout, trust, settings.proxy)

    def location(self, name: str) -> str:
        return self._folder + name

    async def put(self, name: str, source: UploadSource) -> int:
        return await in_stoppable_thread(partial(self._put, self._known(name), source))

    async def entries(self) -> list[Entry]:
        files = await self._blocking(self._files, "list snapshots")
        return [Entry(name, file.size) for name, file in files if target_of_fresh(name) is None]

    async def read(self, name: str) -> AsyncIterator[bytes]:
        answer = await self._blocking(self._get, self._known(name))
        try:
            while piece := await self._blocking(self._more, name, answer):
                yield piece
        finally:
            answer.close()

    async def delete(self, name: str) -> None:
        await self._blocking(self._delete, self._known(name))

    async def sweep(self, leftovers: Leftovers) -> int:
        return await self._blocking(self._sweep, leftovers)

    async def _blocking(self, work: Callable[..., T], *args: object) -> T:
        return await in_thread(partial(work, *args), abandon=True)

    def _put(self, name: str, source: UploadSource, stop: Event) -> int:
        doing = f"store {name}"
        self._make_folder(doing)
        hidden = fresh_partial(name)
        try:
            size = self._upload(doing, hidden, source, stop)
            move, is_file = partial(self._move, doing), partial(self._is_file, doing)
            replace(move, is_file, self._delete, partial(self._refused, doing), hidden, name)
            self._require_size(name, size)
        except BaseException:
            with cleanup():
                self._delete(hidden)
            raise
        return size

    def _upload(self, doing: str, hidden: str, source: UploadSource, stop: Event) -> int:
        """Send the source in chunks while it grows; as a whole to servers without chunks."""
        if (content := if_small(source, _SMALL)) is not None:
            return self._send_whole(doing, hidden, content, len(content))
        body = Body(source, stop)
        answer = self._ask(doing, "PUT", self._url(hidden), {}, body)
        if answer.status in _SUCCESS and self._find_size(hidden) in {None, body.size}:
            return body.size
        if answer.status not in _SUCCESS | _LENGTH_WANTED:
            raise self._refused(doing, answer)
        return self._send_whole(doing, hidden, Body(source, stop), whole_length(source))

    def _send_whole(self, doing: str, hidden: str, body: bytes | Body, length: int) -> int:
        answer = self._ask(doing, "PUT", self._url(hidden), {"content-length": str(length)}, body)
        if answer.status not in _SUCCESS:
            raise self._refused(doing, answer)
        self._require_size(hidden, length)
        return length

    def _move(self, doing: str, old: str, new: str, overwrite: str = "F") -> BaseHTTPResponse:
        # Behind a proxy that terminates TLS, some servers take their own https:// URL as foreign.
        for destination in (self._url(new), urlsplit(self._url(new)).path):
            headers = {"destination": destination, "overwrite": overwrite}
            answer = self._ask(doing, "MOVE", self._url(old), headers)
            if answer.status not in {400, 502}:
                break
        return answer

    def _require_size(self, name: str, sent: int) -> None:
        if (stored := self._find_size(name)) not in {None, sent}:
            why = f"{self._folder}{name} holds {stored} bytes of {sent} sent"
            hint = "check the server's log, and what answers in front of it"
            raise StorageError(why, hint=hint)

    def _find_size(self, name: str) -> int | None:
        """Return the stored size, 0 if it is missing; `None` if the server does not report it."""
        try:
            listed = self._list_url(f"check {name}", self._url(name), depth=0)
        except StorageDenied:
            return None
        except SnapshotNotFound:
            return 0
        return None if listed is None else sum(file.size for file in listed.files)

    def _is_file(self, doing: str, name: str) -> bool:
        """Return whether a file has the name; `False` if nothing has it.

        Raises:
            StorageError: A folder has it, or the server does not tell.
        """
        try:
            listed = self._list_url(doing, self._url(name), depth=0)
        except SnapshotNotFound:
            return False
        if listed is None:
            why = f"cannot {doing} in {self._folder}: the server does not tell what has this name"
            raise StorageError(why, hint="enable PROPFIND there: a folder would be deleted")
        if not listed.files:
            raise folder_in_the_way(f"cannot {doing} in {self._folder}")
        return True

    def _make_folder(self, doing: str) -> None:
        """Create the prefix if it is missing; if that fails, the upload reports why."""
        urls = self._settings.folder_urls
        if urls and not self._make(doing, urls[-1]):  # likely one above it is missing, too
            for url in urls:
                self._make(doing, url)

    def _make(self, doing: str, url: str) -> bool:
        answer = self._ask(doing, "MKCOL", url, {})
        if answer.status == 503:  # an upload could be told that the folder does not exist
            raise self._refused(doing, answer)
        return answer.status in _MADE

    def _files(self, doing: str) -> list[tuple[str, WebdavFile]]:
        """List the files directly in the folder; a missing folder is empty."""
        try:
            listed = self._list_url(doing, self._base, depth=1)
        except SnapshotNotFound:
            above = self._ask(doing, "PROPFIND", f"{self._settings.url}/", {"depth": "0"})
            if above.status != 207:
                raise self._refused(doing, above) from None
            return []
        if listed is None:
            why = f"cannot {doing} in {self._folder}: the server does not list folders"
            raise StorageError(why, hint="enable PROPFIND there, and check url")
        # A proxy may rewrite the path that is requested, but not those in the server's answer.
        return listed.find_below(self._settings.path) or listed.find_below(listed.folder)

    def _list_url(self, doing: str, url: str, *, depth: int) -> WebdavList | None:
        """List a URL; return `None` if the server cannot list.

        Raises:
            SnapshotNotFound: There is nothing at the URL.
        """
        from raft_snapshot_agent.storage.webdav.multistatus import ASKED, read_list

        headers = {"depth": str(depth), "content-type": "application/xml"}
        answer = self._ask(doing, "PROPFIND", url, headers, ASKED, most=LIST_BYTES)
        if answer.status in {405, 501}:
            return None
        if answer.status in {404, 410}:
            raise SnapshotNotFound(f"there is nothing at {url}")
        if answer.status != 207:
            raise self._refused(doing, answer)
        try:
            listed = read_list(answer.data, most := self._settings.max_objects)
        except ValueError as error:
            why = f"cannot {doing} in {self._folder}: the server's list is not valid: {error}"
            raise StorageError(why, hint="check that url is WebDAV's") from error
        if len(listed.files) > most:
            raise too_many(f"cannot {doing} in {self._folder}", most)
        return listed

    def _get(self, name: str) -> BaseHTTPResponse:
        answer = self._ask(f"read {name}", "GET", self._url(name), {}, streaming=True)
        if answer.status == 200:
            return answer
        answer.close()
        missing = answer.status in {404, 410}
        raise (not_found(name, self._folder) if missing else self._refused(f"read {name}", answer))

    def _more(self, name: str, answer: BaseHTTPResponse) -> bytes:
        return self._http.more(f"cannot read {name} in {self._folder}", self._base, answer, _CHUNK)

    def _delete(self, name: str) -> None:
        doing = f"delete {name}"
        if (answer := self._ask(doing, "DELETE", self._url(name), {})).status not in _GONE:
            raise self._refused(doing, answer)

    def _sweep(self, leftovers: Leftovers) -> int:
        now = datetime.now(UTC)
        dead = [
            hidden
            for hidden, file in self._files("sweep")
            if (name := target_of_fresh(hidden)) and leftovers.is_abandoned(name, file.touched, now)
        ]
        for hidden in dead:
            self._delete(hidden)
        return len(dead)

    def _ask(
        self,
        doing: str,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes | Iterable[bytes] | None = None,
        *,
        streaming: bool = False,
        most: int | None = None,
    ) -> BaseHTTPResponse:
        doing = f"cannot {doing} in {self._folder}"
        try:
            headers = headers | self._settings.authorization()
        except ConfigError as error:
            raise LoginRefused(f"{doing}: {error.message}", hint=error.hint) from error
        return self._http.ask(doing, method, url, headers, body, streaming=streaming, most=most)

    def _url(self, name: str) -> str:
        return self._base + quote(name)

    def _refused(self, doing: str, answer: BaseHTTPResponse) -> StorageError:
        doing = f"cannot {doing} in {self._folder}"
        if answer.status == 404:
            why = f"{doing}: the folder does not exist ({told_by(answer)})"
            return StorageError(why, hint="create it, or check url")
        otherwise = "likely the folder does not exist: create it, or check url"
        otherwise = otherwise if answer.status == 409 else "check url"
        return refusal(doing, answer, denied=_explain_denial(answer), otherwise=otherwise)

    def _known(self, name: str) -> str:
        return require_plain_name(name, self._folder)


def _explain_denial(answer: BaseHTTPResponse) -> str:
    challenges = re.sub(r'"[^"]*"', "", answer.headers.get("www-authenticate", "")).strip()
    if answer.status != 401 or not challenges or _SPOKEN.search(challenges):
        return _RIGHTS
    scheme = one_line(challenges.split(maxsplit=1)[0], 20)
    return f"the server asks for {scheme}, and the agent has only Basic and Bearer: allow one there"
