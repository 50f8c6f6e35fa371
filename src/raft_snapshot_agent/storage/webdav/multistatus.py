"""Parses a WebDAV server's listing (multistatus)."""

from __future__ import annotations

from collections.abc import Iterator
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


def parsed(document: bytes) -> Iterator[WebdavFile]:
    """Yield the files, without folders, in the answer to a PROPFIND.

    Raises:
        ValueError: The answer is not valid.
    """
    for answer in parts(document, {"response"}):
        path = _path(answer)
        if answer.tag == "{DAV:}response" and answer.find(_FOLDER) is None and path is not None:
            yield _file(path, answer)


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
