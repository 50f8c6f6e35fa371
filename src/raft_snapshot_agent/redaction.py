"""What must not be shown: secrets that were used, and what looks like one."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from threading import Lock
from urllib.parse import quote, quote_plus

HIDDEN = "[hidden]"
_HOST = re.compile(r"(?:[a-z0-9+.-]+://)?(?:\[[^\]]*\]|[^/:]*):", re.IGNORECASE)
"""An address up to the colon before its port."""
_PORT = re.compile(r"//|\d{1,6}(?:[/?#]|$)|[0-9a-f.]*:[0-9a-f:.]*(?:/|$)", re.IGNORECASE)
"""What may follow such a colon: the rest of a scheme, a port, the rest of an IPv6 address."""
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")
_TOKENS = re.compile(
    r"(?<![A-Za-z0-9])"
    r"(?:hv[sbr]\.[\w-]{20,}|b\.[\w-]{20,}|[sr]\.[A-Za-z0-9]{20,}(?:\.\w+)?"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|A(?:KIA|SIA)[A-Z0-9]{12,}"
    r"|AUTH_tk[0-9a-f]{16,}|gAAAA[\w=-]{20,})"
)
_PARAMETER = re.compile(
    r"(?i)\b((?:x-amz-)?(?:sig|signature|security-token)|password|passwd|client_secret)"
    r"=[^\s&;,'\"<>]+"
)
_HEADER = re.compile(r"\b((?i:bearer|basic)) (?=\S*(?:\d|=|[a-z][A-Z]))\S{8,}")
"""Credentials as servers repeat them from a request."""
_IN_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
"""As `html.escape` writes them, which loads the names of 2,000 other characters."""
_SHORTEST = 6
"""Characters: shorter ones are parts of words, and hiding those would make nonsense of errors."""
_MOST = 500
"""Secrets that are remembered: rotation adds new ones for as long as the process lives."""
_LONGEST = 64 << 10
_LONG, _BEGUN = 1024, 64
"""Characters of a secret that messages may hold a part of, and of its beginning that tells it."""
_MOST_LINES = 200


class _Known:
    """The secrets that were used, in the forms in which they can turn up in a text."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._secrets: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str) -> None:
        with self._lock:
            if self._secrets.pop(secret, self) is self:
                self._pattern = None
            self._secrets[secret] = None  # the newest last
            if len(self._secrets) > _MOST:
                del self._secrets[next(iter(self._secrets))]

    def hide(self, text: str) -> str:
        with self._lock:
            if not self._secrets:
                return text
            if self._pattern is None:
                forms = {form for secret in self._secrets for form in _forms(secret)}
                longest_first = sorted(forms, key=len, reverse=True)
                re.purge()  # it would keep hundreds of those before, each with all the secrets
                whole = [re.escape(form) for form in longest_first]
                # Whoever repeats a long one may cut it off: what follows its beginning goes, too.
                begun = [rf"{re.escape(one[:_BEGUN])}\S*" for one in forms if len(one) > _LONG]
                self._pattern = re.compile("|".join(whole + begun) or r"(?!)")
            pattern = self._pattern
        return pattern.sub(HIDDEN, text)


_KNOWN = _Known()


def remember(secret: str) -> None:
    """Hide a secret from now on wherever `redact` is asked: it is about to be used.

    Those of fewer than six characters cannot be told from other text and are left alone.
    """
    if _SHORTEST <= len(secret) <= _LONGEST:
        _KNOWN.add(secret)


def redact(text: str) -> str:
    """Hide secrets that were used, and what looks like a token, a key ID or a URL's password."""
    return _TOKENS.sub(HIDDEN, _CREDENTIALS.sub(f"{HIDDEN}@", _KNOWN.hide(text)))


def show_address(text: str) -> str:
    """Return an address that cannot be used as it may be shown.

    Where no port is, a password may stand whose `@` was cut off: by a YAML comment, say.
    """
    _, at, rest = text.rpartition("@")
    shown = f"…@{rest}" if at else text
    host = _HOST.match(shown)
    if host is None or _PORT.match(shown, host.end()) or host.end() == len(shown):
        return shown
    return f"{host[0]}…"


def one_line(text: str, longest: int) -> str:
    """Return another program's text on one line of at most `longest` characters.

    Control characters and what looks like a credential are taken out.
    """
    printable = "".join(one if one.isprintable() else " " for one in redact(text))
    shown = redact(" ".join(printable.split()))
    shown = _HEADER.sub(rf"\1 {HIDDEN}", _PARAMETER.sub(rf"\1={HIDDEN}", shown))
    return shown if len(shown) <= longest else f"{shown[: longest - 3].rstrip()}..."


def _forms(secret: str) -> Iterator[str]:
    """List how a secret is written in texts, and each of its lines, which stand alone in logs."""
    lines = [secret, *secret.splitlines()[:_MOST_LINES]]
    for line in {one for part in lines for one in (part, part.strip(), " ".join(part.split()))}:
        if len(line) >= _SHORTEST:
            yield from _list_encodings(line)
            if not line.isascii():  # as a server takes it that reads headers as Latin-1
                misread = line.encode("utf-8", "surrogateescape").decode("latin-1")
                yield from (misread, " ".join(misread.split()), json.dumps(misread)[1:-1])


def _list_encodings(text: str) -> Iterator[str]:
    raw = text.encode("utf-8", "surrogateescape")
    yield text
    yield repr(text)[1:-1]
    yield repr(raw)[2:-1]
    yield from (json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))
    for safe in ("", "/"):
        yield quote(raw, safe=safe)
        yield quote(raw, safe=safe).replace("%", "%25")
    yield quote_plus(raw)
    yield text.translate(_IN_HTML)
    yield text.encode("unicode_escape", "surrogateescape").decode()
    yield from _in_base64(raw)


def _in_base64(raw: bytes) -> Iterator[str]:
    """Write it as it looks inside of longer bytes, too, such as a name and a password."""
    for before in range(3):
        encoded = b64encode(bytes(before) + raw).decode().rstrip("=")
        # What is at the ends depends on the neighbours.
        middle = encoded[(0, 2, 3)[before] : len(raw + bytes(before)) // 3 * 4]
        if len(middle) >= _SHORTEST:
            yield middle
            yield middle.replace("+", "-").replace("/", "_")
