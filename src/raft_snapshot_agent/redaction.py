"""Hide secrets in texts: those that were used, and what looks like one."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from threading import Lock
from urllib.parse import quote, quote_plus

HIDDEN = "[hidden]"
_HOST = re.compile(r"(?:[a-z0-9+.-]+://)?(?:\[[^\]]*\]|[^/:]*):", re.IGNORECASE)
"""A URL up to the colon before its port."""
_PORT = re.compile(r"//|\d{1,6}(?:[/?#]|$)|[0-9a-f.]*:[0-9a-f:.]*(?:/|$)", re.IGNORECASE)
"""What may follow this colon: the rest of a scheme, a port, the rest of an IPv6 address."""
_CREDENTIALS = re.compile(r"(?<=://)(?<!sftp://)[^/\s]+@|(?<=sftp://)[^/\s:]*:[^/\s]*@")
"""What is before the host of a URL, which may be a token alone; for SFTP a user is none."""
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
"""Credentials of a request that a server repeats in its answer."""
_IN_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
"""As `html.escape` writes them, which loads the names of 2,000 other characters."""
_WORD = re.compile(r"[A-Z]?[a-z]{5,11}|[A-Z]{6,12}")
"""Secrets that are perhaps a word, such as `snapshot`: hidden only where they are a whole word."""
_SHORTEST = 6
"""Minimum characters: shorter secrets occur inside words, and errors would be unreadable."""
_MOST = 500
"""Maximum number of secrets kept: rotation adds new ones as long as the process runs."""
_LONGEST = 64 << 10
_MOST_READ = 16 << 10
"""Characters of another program's text that are looked at: far more than any message shows."""
_LONG, _BEGUN = 1024, 64
"""Minimum characters of a secret that may appear cut off, and the length of its prefix."""
_MOST_LINES = 200


class _Known:
    """The secrets that were used, in every encoding in which a text may contain them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._secrets: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str) -> None:
        with self._lock:
            if self._secrets.pop(secret, self) is self:
                self._pattern = None
            self._secrets[secret] = None  # keep the newest at the end
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
                whole = [_expression(form) for form in longest_first]
                # A server may repeat only the first part of a long secret: hide all that follows
                # its prefix.
                begun = [rf"{re.escape(one[:_BEGUN])}\S*" for one in forms if len(one) > _LONG]
                self._pattern = re.compile("|".join(whole + begun) or r"(?!)")
            pattern = self._pattern
        return pattern.sub(HIDDEN, text)


_KNOWN = _Known()


def remember(secret: str) -> None:
    """Make `redact` hide a secret from now on. Call it before the secret is used.

    Secrets of fewer than six characters are not hidden: they may occur in any text.
    """
    if _SHORTEST <= len(secret) <= _LONGEST:
        _KNOWN.add(secret)


def redact(text: str) -> str:
    """Hide used secrets, and what looks like a token, a key ID or the password of a URL."""
    return _TOKENS.sub(HIDDEN, _CREDENTIALS.sub(f"{HIDDEN}@", _KNOWN.hide(text)))


def show_address(text: str) -> str:
    """Return an invalid address in a form that may be shown.

    Text in place of a port may be a password whose `@` was cut off, for example by a YAML
    comment.
    """
    _, at, rest = text.rpartition("@")
    shown = f"…@{rest}" if at else text
    host = _HOST.match(shown)
    if host is None or _PORT.match(shown, host.end()) or host.end() == len(shown):
        return shown
    return f"{host[0]}…"


def one_line(text: str, longest: int) -> str:
    """Return text of another program on one line of at most `longest` characters.

    Control characters and what looks like a credential are removed.
    """
    # The time to look for secrets grows with the square of some texts.
    begun = redact(text[:_MOST_READ])
    printable = "".join(one if one.isprintable() else " " for one in begun)
    shown = redact(" ".join(printable.split()))
    shown = _HEADER.sub(rf"\1 {HIDDEN}", _PARAMETER.sub(rf"\1={HIDDEN}", shown))
    return shown if len(shown) <= longest else f"{shown[: longest - 3].rstrip()}..."


def _expression(form: str) -> str:
    escaped = re.escape(form)
    return rf"(?<![\w-]){escaped}(?![\w-])" if _WORD.fullmatch(form) else escaped


def _forms(secret: str) -> Iterator[str]:
    """List the encodings of a secret and of each of its lines, which logs may show separately."""
    lines = [secret, *secret.splitlines()[:_MOST_LINES]]
    for line in {one for part in lines for one in (part, part.strip(), " ".join(part.split()))}:
        if len(line) >= _SHORTEST:
            yield from _list_encodings(line)
            if not line.isascii():  # as read by a server that decodes headers as Latin-1
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
    """List its base64 forms, also as a part of longer bytes such as `name:password`."""
    for before in range(3):
        encoded = b64encode(bytes(before) + raw).decode().rstrip("=")
        # The characters at both ends depend on the bytes before and after.
        middle = encoded[(0, 2, 3)[before] : len(raw + bytes(before)) // 3 * 4]
        if len(middle) >= _SHORTEST:
            yield middle
            yield middle.replace("+", "-").replace("/", "_")


def plain(text: str) -> str:
    """Replace control characters except line breaks."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else "?" for one in text)
