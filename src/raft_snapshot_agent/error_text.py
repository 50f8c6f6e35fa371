"""What a server says in an error document: XML, JSON, HTML or text, as code and text.

Servers, stores, proxies and login pages answer in all of these, whatever was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any

from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.redaction import one_line

LONGEST = 200
"""Characters of a server's text in a message."""
_READ = 16 << 10
"""Characters of a document that are parsed."""
_URL = re.compile(r"https?://[^\s'\"<>]+")
_QUOTED_SIGNATURE = re.compile(r"'[A-Za-z0-9+/=]{20,}'")
_CODE = re.compile(r"<(?:\w+:)?(?:Code|exception)>([^<]{1,100})<")
_MESSAGE = re.compile(r"<(?:\w+:)?[Mm]essage[^>]{0,80}>([^<]+)<")
_DETAIL = re.compile(r"<AuthenticationErrorDetail>([^<]+)<")
_REGION = re.compile(r"<Region>([\w-]{1,64})<")
_ENDPOINT = re.compile(r"<Endpoint>([\w.-]{1,253})<")
_UNSEEN = re.compile(r"<(script|style)\b.*?</\1>|<!--.*?-->", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{0,500}>")
_TEXT_KEYS = ("message", "error_description", "detail", "description", "reason", "title")


@dataclass(frozen=True, slots=True)
class Said:
    """The reason that a server gave for an error."""

    code: str = ""
    text: str = ""
    region: str = ""
    """The region that the server expects, if it names one."""
    endpoint: str = ""
    """The endpoint that the server expects, if it names one."""

    def with_status(self, status: int) -> str:
        """Return status, code and text for use in a message; never empty."""
        text = self.text.removeprefix(f"{status} ")  # error pages of proxies begin with the status
        return " ".join(filter(None, (str(status or ""), self.code, text))) or "no reason given"


def read_document(document: str) -> Said:
    """Find code and text in an error document: on one line, short and without secrets."""
    document = document[:_READ].strip().removeprefix("\ufeff").strip()
    if document.startswith(("{", "[")):
        return _from_json(document)
    if _CODE.search(document) or _MESSAGE.search(document):
        return _from_xml(document)
    return Said(text=shorten(_TAG.sub(" ", _UNSEEN.sub(" ", document))))


def shorten(text: str) -> str:
    """Return a server's text on one short line, without the query of URLs, which may be signed."""
    return one_line(_URL.sub("the store", unescape(text)), LONGEST)


def _from_xml(document: str) -> Said:
    # Azure appends the request ID and the time on further lines.
    text = _first(_MESSAGE, document).partition("\nRequestId:")[0]
    # The rest is the text that was signed.
    detail = _first(_DETAIL, document).partition(" Server used")[0]
    return Said(
        code=one_line(_first(_CODE, document), 100),
        text=shorten(f"{text} {_QUOTED_SIGNATURE.sub('[hidden]', detail)}"),
        region=_first(_REGION, document),
        endpoint=_first(_ENDPOINT, document),
    )


def _from_json(document: str) -> Said:
    try:
        parsed = read_json(document)
    except ValueError:
        return Said(text=shorten(document))
    found = parsed[0] if isinstance(parsed, list) and parsed else parsed
    if not isinstance(found, dict):
        return Said(text=shorten(document))
    return _from_object({key.lower(): value for key, value in found.items()})


def _from_object(found: Mapping[str, Any]) -> Said:
    inner = found.get("error")
    if isinstance(inner, dict):
        return _from_object({key.lower(): value for key, value in inner.items()})
    texts = (found.get(key) for key in _TEXT_KEYS)
    code = found.get("code") or inner
    return Said(
        code=one_line(str(code), 100) if isinstance(code, str) else "",
        text=shorten(next((text for text in texts if isinstance(text, str) and text), "")),
    )


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""
