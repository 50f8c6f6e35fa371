"""Converts refusals of Google's services to one-line errors.

Source: "HTTP status and error codes for JSON" of Cloud Storage's documentation, and RFC 6749,
section 5.2, for where tokens come from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, Any

from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.errors import (
    LoginRefused,
    SnapshotNotFound,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from raft_snapshot_agent.redaction import one_line

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

LOGIN_HINT = (
    "set service_account_file or GOOGLE_APPLICATION_CREDENTIALS, or give the instance a service "
    "account"
)
_ROLE = "the role Storage Object User on the bucket"
_RIGHTS = (
    "likely a right is missing: allow storage.objects.create and storage.objects.delete, and to "
    f"list, read and prune storage.objects.list and storage.objects.get: {_ROLE}"
)
_REFUSED_HINT = (
    "likely the credentials are of another project, revoked or expired, or this host's clock is "
    "wrong; check service_account_file or GOOGLE_APPLICATION_CREDENTIALS"
)
_LATER = "it may be temporary; check the store"
_LONGEST = 300
_READ = 16 << 10
"""Characters of a page in which tags are looked for."""
_TAG = re.compile(r"<[^>]*>")
_URL = re.compile(r"https?://\S+")
_PERMISSION = re.compile(r"\b(?:storage|cloudkms|serviceusage)\.[A-Za-z]+\.[A-Za-z]+\b")
_CHECKSUM = re.compile(r"md5|crc32c|checksum|hash", re.IGNORECASE)
_TOO_FAST = {"rateLimitExceeded", "userRateLimitExceeded", "backendError", "internalError"}
_QUOTA = (StorageFull, "a quota is used up", "raise the quota, or keep fewer snapshots")
_REASONS: dict[str, tuple[type[StorageError], str, str]] = {
    "quotaExceeded": _QUOTA,
    "dailyLimitExceeded": _QUOTA,
    "accountDisabled": (StorageDenied, "access denied", "enable billing for the bucket's project"),
    "retentionPolicyNotMet": (
        StorageDenied,
        "the bucket keeps it",
        "its retention policy must end first; until then nothing can be deleted or replaced",
    ),
    "objectUnderActiveHold": (StorageDenied, "the bucket keeps it", "release the object's hold"),
}


@dataclass(frozen=True, slots=True)
class GcsAnswer:
    """Content of a refusal."""

    status: int
    reason: str
    """Google's reason code, such as `forbidden`; may be empty."""
    message: str
    """Google's message, or the text of the answer; may be empty."""
    phrase: str = ""
    """HTTP's reason phrase, with the proxy that may have sent it."""

    @classmethod
    def of(cls, answer: BaseHTTPResponse) -> GcsAnswer:
        """Parse a refusal: Google's JSON, or the text of a proxy."""
        return cls.read(answer.status, answer.data, tidy(answer.reason or ""))

    @classmethod
    def read(cls, status: int, body: bytes, phrase: str = "") -> GcsAnswer:
        text = body.decode(errors="replace")
        try:
            document = read_json(text)
        except ValueError:
            return cls(status, "", tidy(_TAG.sub(" ", text[:_READ])), phrase)
        return cls(status, *_read_error(document), phrase)

    def __str__(self) -> str:
        code = f"{self.status} {self.reason or self.phrase}".strip()
        return f"{code}: {self.message}" if self.message else code


def refusal(doing: str, answer: GcsAnswer, *, of_object: bool = False) -> StorageError:
    """Return the error for a refusal of Cloud Storage.

    Arguments:
        doing: Start of the error message.
        answer: The answer.
        of_object: Whether the request was for an object, which may be missing.
    """
    status, reason, said = answer.status, answer.reason, answer.message
    if status == 401:
        return LoginRefused(f"{doing}: the login was refused ({answer})", hint=_REFUSED_HINT)
    if reason in _TOO_FAST or status in {408, 429} or status >= 500:
        return StorageUnavailable(f"{doing}: the store answered {answer}", hint=_LATER)
    if reason in _REASONS:
        kind, why, hint = _REASONS[reason]
        return kind(f"{doing}: {why} ({answer})", hint=hint)
    if status == 403:
        return StorageDenied(f"{doing}: access denied ({answer})", hint=_rights(said))
    if status == 400 and _CHECKSUM.search(said):
        why = f"{doing}: the bytes arrived changed ({answer})"
        return StorageUnavailable(why, hint="check the network")
    if status == 404 and of_object and "bucket does not exist" not in said:
        return SnapshotNotFound(f"{doing}: there is none of that name ({answer})", hint="try list")
    if status == 404 and reason:
        hint = "create it, or check bucket and endpoint"
        return StorageError(f"{doing}: the bucket does not exist ({answer})", hint=hint)
    return StorageError(f"{doing}: the store answered {answer}", hint="check bucket and endpoint")


def login_refusal(doing: str, source: str, answer: GcsAnswer) -> StorageError:
    """Return the error for a refusal of a token service."""
    if answer.status in {408, 429} or answer.status >= 500:
        return StorageUnavailable(f"{doing}: {source} answered {answer}", hint=_LATER)
    why = f"{doing}: the login was refused by {source} ({answer})"
    return LoginRefused(why, hint=_REFUSED_HINT)


def tidy(text: str) -> str:
    """Return an external text as one short line, without addresses and secrets."""
    return one_line(_URL.sub("[address]", unescape(text)), _LONGEST)


def _rights(said: str) -> str:
    named = _PERMISSION.search(said)
    return f"allow {named[0]}; {_ROLE} has what is needed" if named else _RIGHTS


def _read_error(document: Any) -> tuple[str, str]:
    """Return reason and message from the three formats of Google's services."""
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, str):
        return tidy(error), tidy(str(document.get("error_description", "")))
    if not isinstance(error, dict):
        return "", ""
    details = error.get("errors")
    first = details[0] if isinstance(details, list) and details else {}
    reason = first.get("reason") if isinstance(first, dict) else None
    return tidy(str(reason or error.get("status") or "")), tidy(str(error.get("message", "")))
