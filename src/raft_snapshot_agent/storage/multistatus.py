"""What a WebDAV server answers when it is asked what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

ASKED = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<resourcetype/><getcontentlength/><getlastmodified/></prop></propfind>"
)
"""The body of a PROPFIND. Source: RFC 4918, section 9.1."""
_PROPERTY = "{DAV:}propstat/{DAV:}prop/{DAV:}"


@dataclass(frozen=True, slots=True)
class File:
    """One file as the server lists it."""

    path: str
    """Decoded, from the server's root."""
    size: int
    touched: datetime | None


def parsed(document: bytes) -> Iterator[File]:
    """Find the files, and no folders, in the answer to a PROPFIND.

    Raises:
        ValueError: It is no such answer.
    """
    if b"<!DOCTYPE" in document:
        raise ValueError("it declares a document type")
    try:
        tree = ET.fromstring(document)  # noqa: S314 - without a document type there are no entities
    except ET.ParseError as error:
        raise ValueError(str(error)) from error
    for answer in tree.iterfind("{DAV:}response"):
        if answer.find(f"{_PROPERTY}resourcetype/{{DAV:}}collection") is None:
            yield _file(answer)


def _file(answer: ET.Element) -> File:
    # An href may be a path or a whole URL.
    path = urlsplit(answer.findtext("{DAV:}href", "").strip()).path
    size = int(answer.findtext(f"{_PROPERTY}getcontentlength") or 0)
    return File(unquote(path), size, _moment(answer.findtext(f"{_PROPERTY}getlastmodified")))


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
