"""What an object store answered, in one line for the operator."""

from __future__ import annotations

import re
from html import unescape

from raft_snapshot_agent.errors import (
    SnapshotNotFound,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from raft_snapshot_agent.secret import redact

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]+)</Message>")
_CAUSE = re.compile(r'(?:message|error): "([^"\\]+)"')
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(\w+)")
_HOST = re.compile(r" (https?://[^/\s]+)")
_URL = re.compile(r"https?://\S+")
_LONGEST = 200

_REGION = "check region and endpoint"
_KEYS = "check access_key_id and secret_access_key, or the environment"
_ANSWERS: dict[str, tuple[type[StorageError], str, str]] = {
    "NoSuchBucket": (
        StorageError,
        "the bucket does not exist",
        "create it, or check bucket, region and endpoint",
    ),
    "NoSuchKey": (SnapshotNotFound, "there is none of that name", "try list"),
    "InvalidAccessKeyId": (StorageDenied, "the access key ID is unknown there", _KEYS),
    "SignatureDoesNotMatch": (
        StorageDenied,
        "the secret access key does not fit the access key ID",
        _KEYS,
    ),
    "ExpiredToken": (StorageDenied, "the session token has expired", "renew it"),
    "InvalidToken": (StorageDenied, "the session token is not valid", "check session_token"),
    "RequestTimeTooSkewed": (StorageDenied, "the clocks differ", "set this host's clock"),
    "PermanentRedirect": (StorageError, "the bucket lies in another region", _REGION),
    "AuthorizationHeaderMalformed": (StorageError, "the region is wrong", _REGION),
    "QuotaExceeded": (StorageFull, "the quota is used up", "raise it, or keep fewer snapshots"),
    "XMinioStorageFull": (StorageFull, "no space left there", "make room, or keep fewer snapshots"),
}
_LATER = "it may pass; look at the store"
_NO_CREDENTIALS = ("/latest/api/token", "/latest/meta-data", "Failed to read token file")
_BUSY = {"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown"}


def explain(doing: str, error: Exception, rights: str) -> StorageError:
    """Translate an exception of obstore's.

    `doing` tells what failed and where, such as `cannot list snapshots in s3://backups/`;
    `rights` what the credentials need, for the hint when they are refused.
    """
    text = str(error)
    if _CODE.search(text):
        return refusal(doing, int(_first(_STATUS, text) or 0), text, rights)
    if isinstance(error, FileNotFoundError):
        kind, why, hint = _ANSWERS["NoSuchKey"]
        return kind(f"{doing}: {why}", hint=hint)
    if any(mark in text for mark in _NO_CREDENTIALS):
        return StorageDenied(f"{doing}: there are no credentials", hint=_KEYS)
    if status := _first(_STATUS, text):
        return refusal(doing, int(status), text, rights)
    if "HTTP error" in text:
        return _disconnected(doing, text)
    hint = "move that object to another folder" if "invalid path" in text else _REGION
    return StorageError(f"{doing}: {_essence(text)}", hint=hint)


def refusal(doing: str, status: int, text: str, rights: str) -> StorageError:
    """Translate an answer that is no success; `text` came with it, an error document or not."""
    code = _first(_CODE, text)
    if code in _ANSWERS:
        kind, why, hint = _ANSWERS[code]
        return kind(f"{doing}: {why}", hint=hint)
    answer = " ".join(filter(None, (str(status or ""), code, _tidy(_first(_MESSAGE, text)))))
    if status in {401, 403}:
        return StorageDenied(f"{doing}: access denied ({answer})", hint=f"allow {rights}")
    if status == 507:
        return StorageFull(f"{doing}: no space left there ({answer})", hint="make room there")
    if status in {408, 429} or status >= 500 or code in _BUSY:
        return StorageUnavailable(f"{doing}: the store answered {answer}", hint=_LATER)
    return StorageError(f"{doing}: the store answered {answer}", hint=_REGION)


def _disconnected(doing: str, text: str) -> StorageError:
    host = _first(_HOST, text)
    there = f" to {host}" if host else ""
    if certificate := _first(_CERTIFICATE, text):
        why = f"the TLS certificate is not trusted ({certificate})"
        return StorageError(f"{doing}: {why}", hint="set ca_file to the CA's certificate")
    if "kind: Timeout" in text:
        why = f"no answer in time on the connection{there}"
        return StorageUnavailable(f"{doing}: {why}", hint="on a slow link raise timeout")
    if "kind: Connect" in text:
        why = f"no connection{there}: {_tidy(_first(_CAUSE, text)) or 'not reachable'}"
        return StorageUnavailable(f"{doing}: {why}", hint="check endpoint and network")
    return StorageUnavailable(f"{doing}: the connection{there} broke", hint=_LATER)


def _essence(text: str) -> str:
    paragraph = text.partition("\n\n")[0]
    return _tidy(paragraph.rpartition(" - ")[2].removeprefix("Generic S3 error: "))


def _tidy(text: str) -> str:
    plain = " ".join(_URL.sub("the store", unescape(text)).split())
    return redact(plain)[:_LONGEST]


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""
