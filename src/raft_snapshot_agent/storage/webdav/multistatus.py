"""Parses a WebDAV server's listing (multistatus)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

from raft_snapshot_agent.storage.http.answers import http_date
from raft_snapshot_agent.storage.http.pages import size_of
from raft_snapshot_agent.storage.http.xml_parts import parts

ASKED = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<resourcetype/><getcontentlength/><getlastmodified/></prop></propfind>"
)
"""The body of a PROPFIND. Source: RFC 4918, section 9.1."""
_PROPERTY = "{DAV:}propstat/{DAV:}prop/{DAV:}"
_FOLDER = f"{_PROPERTY}resourcetype/{{DAV:}}collection"


@dataclass(frozen=True, slots=True)
class WebdavFile:
    """One file as the server lists it."""

    path: str
    """Decoded path from the server's root."""
    size: int
    touched: datetime | None


@dataclass(frozen=True, slots=True)
class WebdavList:
    """A folder, or one file, as the server lists it."""

    files: list[WebdavFile]
    folder: str
    """Decoded path of the folder itself, with a slash at the end; empty if it is not listed."""

    def find_below(self, folder: str) -> list[tuple[str, WebdavFile]]:
        """Return the files directly in a folder, with their names; none for an empty path."""
        if not folder:
            return []
        inside = [file for file in self.files if file.path.startswith(folder)]
        named = [(file.path.removeprefix(folder), file) for file in inside]
        return [(name, file) for name, file in named if name and "/" not in name]


def read_list(document: bytes, most: int) -> WebdavList:
    """Parse the answer to a PROPFIND.

    Arguments:
        document: The answer.
        most: Number of files after which one more is read, and no other.

    Raises:
        ValueError: The answer is not valid.
    """
    files: list[WebdavFile] = []
    folder = ""
    for answer in parts(document, {"response"}):
        path = _path(answer)
        if answer.tag != "{DAV:}response" or path is None:
            continue
        if answer.find(_FOLDER) is None:
            files.append(_file(path, answer))
            if len(files) > most:
                break
        # The others are in it, so their paths are longer.
        elif not folder or len(path) < len(folder):
            folder = path
    return WebdavList(files, f"{unquote(folder).rstrip('/')}/" if folder else "")


def _path(answer: ET.Element) -> str | None:
    """Return the path of a response element; `None` if its URL is not usable."""
    # An href may be a path or a whole URL.
    try:
        return urlsplit(answer.findtext("{DAV:}href", "").strip()).path
    except ValueError:
        return None


def _file(path: str, answer: ET.Element) -> WebdavFile:
    size = size_of(answer.findtext(f"{_PROPERTY}getcontentlength") or "0")
    touched = http_date(answer.findtext(f"{_PROPERTY}getlastmodified"))
    return WebdavFile(unquote(path), size, touched)
