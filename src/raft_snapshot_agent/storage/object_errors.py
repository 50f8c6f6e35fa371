"""What an object store answered, in one line for the operator."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape

from raft_snapshot_agent.errors import (
    SnapshotNotFound,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from raft_snapshot_agent.network.address import ProxyAddress, looked_up
from raft_snapshot_agent.network.failures import through_proxy
from raft_snapshot_agent.secret import redact
from raft_snapshot_agent.storage.aws_keys import sts
from raft_snapshot_agent.storage.connection import trouble_at_proxy


@dataclass(frozen=True, slots=True)
class Hints:
    """What to try at one kind of store."""

    rights: str
    """What the credentials have to allow."""
    login: str
    """What to do where there are no credentials."""
    address: str
    """What to check where the store is not what was expected."""


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
    "NoSuchBucket": (StorageError, "the bucket does not exist", ""),
    "ContainerNotFound": (StorageError, "the container does not exist", ""),
    "BlobNotFound": (SnapshotNotFound, "there is none of that name", "try list"),
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
_NO_CREDENTIALS = (
    "/latest/api/token",
    "/latest/meta-data",
    "Failed to read token file",
    "/computeMetadata/",
    "resource=https%3A%2F%2Fstorage.azure.com",
)
_UNUSABLE = (
    "credential error",
    "pem file",
    "RSA key",
    "Access Key",
    "SAS",
    "federated token file",
    "EKS token file",
    "az account",
)
# What the library asks for a role's keys: STS, or the agent of a container's platform.
_ROLE = re.compile(
    r"^Generic S3 error: Error performing "
    r"(?:POST REDACTED|GET \S+(?://169\.254\.170\.|/v[12]/credentials)\S*) in "
)
_ROLE_HINT = "check the role, whom it trusts, and the AWS_* variables that lead to it"
_UNKNOWN = {"AuthenticationFailed", "InvalidAuthenticationInfo"}
_REASON = re.compile(r'"error(?:_description)?":\s*"([^"\\]+)')
_JSON_MESSAGE = re.compile(r'"message":\s*"([^"\\]+)', re.IGNORECASE)
_STORE = re.compile(r"^Generic \w+ error: ")
_BUSY = {"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown"}


def explain(
    doing: str, error: Exception, hints: Hints, proxy: ProxyAddress | None = None
) -> StorageError:
    """Translate an exception of obstore's.

    `doing` tells what failed and where, such as `cannot list snapshots in s3://backups/`; `proxy`
    is the one of the configuration.
    """
    text = str(error)
    if "POST REDACTED" in text:  # of STS the library shows no address
        text = text.replace("REDACTED", sts())
    doing, trouble = through_proxy(doing, text, looked_up(proxy))
    return _explained(doing, error, hints) if trouble is None else trouble_at_proxy(doing, trouble)


def _explained(doing: str, error: Exception, hints: Hints) -> StorageError:
    text = str(error)
    if "credential provider" in text:
        return _not_logged_in(doing, text, hints)
    if _ROLE.search(text):
        return _without_role(f"{doing}: no keys for the role", text)
    if _CODE.search(text):
        return refusal(doing, int(_first(_STATUS, text) or 0), text, hints)
    if isinstance(error, FileNotFoundError):
        kind, why, hint = _ANSWERS["NoSuchKey"]
        return kind(f"{doing}: {why}", hint=hint)
    if any(mark in text for mark in _NO_CREDENTIALS):
        return StorageDenied(f"{doing}: there are no credentials", hint=hints.login)
    if any(mark in text for mark in _UNUSABLE):
        return StorageDenied(f"{doing}: {_essence(text)}", hint=hints.login)
    status = _first(_STATUS, text)
    if "token request" in text and status.startswith("4"):
        return _not_logged_in(doing, text, hints)
    if status:
        return refusal(doing, int(status), text, hints)
    if "HTTP error" in text:
        return _disconnected(doing, text)
    hint = "move that object to another folder" if "invalid path" in text else hints.address
    return StorageError(f"{doing}: {_essence(text)}", hint=hint)


def _not_logged_in(doing: str, text: str, hints: Hints) -> StorageError:
    if "TransportError" in text:  # of Google's library
        why = "no answer from where tokens are exchanged"
        return StorageUnavailable(f"{doing}: {why}", hint="check the network")
    reason = _tidy(max(_REASON.findall(text), key=len, default=""))
    answer = " ".join(filter(None, (_first(_STATUS, text), reason))) or _essence(text)
    return StorageDenied(f"{doing}: the login was refused ({answer})", hint=hints.login)


def _without_role(doing: str, text: str) -> StorageError:
    status = _first(_STATUS, text)
    said = _message(text) or _tidy(_first(_JSON_MESSAGE, text))
    answer = " ".join(filter(None, (status, _first(_CODE, text), said)))
    if status.startswith("4"):
        return StorageDenied(f"{doing}: refused ({answer})", hint=_ROLE_HINT)
    if "HTTP error" not in text:
        why = f"the answer was {answer}" if status else _essence(text)
        return StorageUnavailable(f"{doing}: {why}", hint=_ROLE_HINT)
    error = _disconnected(doing, text)
    if isinstance(error, StorageUnavailable):
        return StorageUnavailable(error.message, hint=_ROLE_HINT)
    return error


def refusal(doing: str, status: int, text: str, hints: Hints) -> StorageError:
    """Translate an answer that is no success; `text` came with it, an error document or not."""
    code = _first(_CODE, text)
    if code in _ANSWERS:
        kind, why, hint = _ANSWERS[code]
        return kind(f"{doing}: {why}", hint=hint or f"create it, or {hints.address}")
    answer = " ".join(filter(None, (str(status or ""), code, _message(text))))
    if status in {401, 403}:
        hint = hints.login if status == 401 or code in _UNKNOWN else f"allow {hints.rights}"
        return StorageDenied(f"{doing}: access denied ({answer})", hint=hint)
    if status == 507:
        return StorageFull(f"{doing}: no space left there ({answer})", hint="make room there")
    if status in {408, 429} or status >= 500 or code in _BUSY:
        return StorageUnavailable(f"{doing}: the store answered {answer}", hint=_LATER)
    return StorageError(f"{doing}: the store answered {answer}", hint=hints.address)


def _message(text: str) -> str:
    """What the store says, without the number of the request that Azure adds."""
    return _tidy(_first(_MESSAGE, text).partition("\nRequestId:")[0])


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
    return _tidy(_STORE.sub("", paragraph.rpartition(" - ")[2]))


def _tidy(text: str) -> str:
    plain = " ".join(_URL.sub("the store", unescape(text)).split())
    return redact(plain)[:_LONGEST]


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""
