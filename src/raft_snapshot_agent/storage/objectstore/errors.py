"""What an object store answered, in one line for the operator."""

from __future__ import annotations

import re
from dataclasses import dataclass

from raft_snapshot_agent.error_text import Said, read_document, shorten
from raft_snapshot_agent.errors import (
    LoginRefused,
    SnapshotNotFound,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from raft_snapshot_agent.network.address import ProxyAddress, looked_up
from raft_snapshot_agent.network.failures import through_proxy
from raft_snapshot_agent.storage.error_codes import (
    LATER,
    NOT_THERE,
    Meaning,
    hint_for_certificate,
    hint_in_words,
    meaning_of,
)
from raft_snapshot_agent.storage.objectstore.connection import trouble_at_proxy


@dataclass(frozen=True, slots=True)
class Hints:
    """What to try at one kind of store."""

    rights: str
    """What the credentials have to allow."""
    login: str
    """What to do where there are no credentials."""
    address: str
    """What to check where the store is not what was expected."""
    options: str = "look at what this store supports"
    """What to leave out where the store does not know an option."""


_STATUS = re.compile(r"status code: (\d{3})")
_BODY = re.compile(r"status code: \d{3}[^:\n]*: (.*?)(?:\n\nDebug source:|\Z)", re.DOTALL)
_CAUSE = re.compile(r'(?:message|error): "([^"\\]+)"')
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(\w+)")
_TLS = re.compile(
    r"error: (?:InvalidMessage|AlertReceived|PeerIncompatible|PeerMisbehaved)\(\s*(\w+)"
)
_HOST = re.compile(r" (https?://[^/\s]+)")
_NO_CREDENTIALS = (
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
    "az account",
)
_REASON = re.compile(r'"error(?:_description)?":\s*"([^"\\]+)')
_STORE = re.compile(r"^Generic \w+ error: ")
_READING = "cannot read"
_ANSWERED = "the store answered"
_RIGHTS_MISSING = (
    "allow {rights}; where that is allowed, likely a policy there asks for more, such as"
    " encryption or TLS"
)


def explain(
    doing: str, error: Exception, hints: Hints, proxy: ProxyAddress | None = None
) -> StorageError:
    """Translate an exception of obstore's.

    `doing` tells what failed and where, such as `cannot list snapshots in s3://backups/`; `proxy`
    is the one of the configuration.
    """
    text = str(error)
    doing, trouble = through_proxy(doing, text, looked_up(proxy))
    return _explained(doing, error, hints) if trouble is None else trouble_at_proxy(doing, trouble)


def _explained(doing: str, error: Exception, hints: Hints) -> StorageError:
    text = str(error)
    if "credential provider" in text:
        return _not_logged_in(doing, text, hints)
    said = read_document(_first(_BODY, text))
    status = int(_first(_STATUS, text) or 0)
    if "token request" in text and status // 100 == 4:
        return _not_logged_in(doing, text, hints)
    if said.code:
        return _refused(doing, status, said, hints)
    if any(mark in text for mark in _NO_CREDENTIALS):
        return _without_credentials(doing, text, hints)
    if any(mark in text for mark in _UNUSABLE):
        return LoginRefused(f"{doing}: {_essence(text)}", hint=hints.login)
    if isinstance(error, FileNotFoundError) and doing.startswith(_READING):
        why = f"{doing}: {NOT_THERE.why} ({said.with_status(status)})"
        return SnapshotNotFound(why, hint=NOT_THERE.hint)
    if status:
        return _refused(doing, status, said, hints)
    if "HTTP error" in text:
        return _disconnected(doing, text)
    return _unknown(doing, text, hints)


def refusal(doing: str, status: int, text: str, hints: Hints) -> StorageError:
    """Translate an answer that is no success; `text` came with it, an error document or not."""
    return _refused(doing, status, read_document(text), hints)


def _refused(doing: str, status: int, said: Said, hints: Hints) -> StorageError:
    """Translate a refusal; the store's status, code and text always stand in the message."""
    answer = said.with_status(status)
    meaning = meaning_of(said.code, said.text) or _by_status(status)
    if meaning is NOT_THERE and not doing.startswith(_READING):
        meaning = _by_status(status)
    if hint := hint_in_words(said.text):
        meaning = Meaning(meaning.kind, meaning.why, hint)
    if (said.region or said.endpoint) and not issubclass(meaning.kind, StorageDenied):
        wanted = f"region: {said.region}" if said.region else f"the endpoint for {said.endpoint}"
        meaning = Meaning(meaning.kind, meaning.why, f"likely set {wanted}")
    told = f"{answer}" if meaning.why == _ANSWERED else f"({answer})"
    hint = meaning.hint.format(
        login=hints.login, address=hints.address, rights=hints.rights, options=hints.options
    )
    return meaning.kind(f"{doing}: {meaning.why} {told}", hint=hint)


def _by_status(status: int) -> Meaning:
    """Tell what an answer means whose code says no more."""
    if status == 401:
        return Meaning(LoginRefused, "access denied", "{login}")
    if status == 403:
        return Meaning(StorageDenied, "access denied", _RIGHTS_MISSING)
    if status == 404:
        return Meaning(
            StorageError, _ANSWERED, "likely the bucket or container is missing: {address}"
        )
    if status == 507:
        return Meaning(StorageFull, "no space left there", "make room there")
    if status in {501, 505}:
        return Meaning(StorageError, _ANSWERED, "{options}")
    if status in {408, 429} or status >= 500:
        return Meaning(StorageUnavailable, _ANSWERED, LATER)
    if status // 100 == 3:
        return Meaning(StorageError, _ANSWERED, "likely the bucket has another address: {address}")
    return Meaning(StorageError, _ANSWERED, "{address}")


def _unknown(doing: str, text: str, hints: Hints) -> StorageError:
    hint = hints.address
    if "invalid path" in text:
        hint = "move that object to another folder"
    return StorageError(f"{doing}: {_essence(text)}", hint=hint)


def _without_credentials(doing: str, text: str, hints: Hints) -> StorageError:
    """Say that none were found: where the last of the ways to some was refused or led nowhere."""
    why = _essence(text)
    return LoginRefused(f"{doing}: there are no credentials ({why})", hint=hints.login)


def _not_logged_in(doing: str, text: str, hints: Hints) -> StorageError:
    if "TransportError" in text:  # of Google's library
        why = f"no answer from where tokens are exchanged ({_essence(text)})"
        return StorageUnavailable(f"{doing}: {why}", hint="check the network")
    answer = _answer(text) or shorten(max(_REASON.findall(text), key=len, default=""))
    answer = answer or _essence(text)
    return LoginRefused(f"{doing}: the login was refused ({answer})", hint=hints.login)


def _answer(text: str) -> str:
    """Return status, code and text of an answer; empty where there was none."""
    status = int(_first(_STATUS, text) or 0)
    return read_document(_first(_BODY, text)).with_status(status) if status else ""


def _disconnected(doing: str, text: str) -> StorageError:
    host = _first(_HOST, text)
    there = f" to {host}" if host else ""
    if certificate := _first(_CERTIFICATE, text):
        why = f"the TLS certificate is not trusted ({certificate})"
        return StorageError(f"{doing}: {why}", hint=hint_for_certificate(certificate))
    cause = shorten(_first(_CAUSE, text))
    if "kind: Timeout" in text:
        why = f"no answer in time on the connection{there}"
        return StorageUnavailable(f"{doing}: {why}", hint="on a slow link raise timeout")
    if alert := _first(_TLS, text):
        why = f"no TLS with {host or 'the store'}: {alert}"
        return StorageUnavailable(f"{doing}: {why}", hint="check the endpoint's port and https")
    if "kind: Connect" in text:
        why = f"no connection{there}" + (f": {cause}" if cause else "")
        return StorageUnavailable(f"{doing}: {why}", hint="check endpoint and network")
    why = f"the connection{there} broke" + (f": {cause}" if cause else "")
    return StorageUnavailable(f"{doing}: {why}", hint=LATER)


def _essence(text: str) -> str:
    """Return the library's own reason without its addresses; never empty."""
    paragraph = text.partition("\n\n")[0]
    essence = paragraph.rpartition(" - ")[2]
    return shorten(_STORE.sub("", essence)) or "the library gives no reason"


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""
