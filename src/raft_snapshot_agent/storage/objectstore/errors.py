"""Converts refusals of object stores to one-line errors."""

from __future__ import annotations

from dataclasses import dataclass

from raft_snapshot_agent.error_text import Said, read_document
from raft_snapshot_agent.errors import (
    LoginRefused,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from raft_snapshot_agent.storage.error_codes import (
    LATER,
    NOT_THERE,
    Meaning,
    hint_in_words,
    meaning_of,
)


@dataclass(frozen=True, slots=True)
class Hints:
    """Hints for one type of store."""

    rights: str
    """Permissions that the credentials need."""
    login: str
    """What to do without valid credentials."""
    address: str
    """Which settings of the address to check."""
    options: str = "look at what this store supports"
    """Which options to leave out if the store does not support one."""


_READING = "cannot read"
_ANSWERED = "the store answered"
_RIGHTS_MISSING = (
    "allow {rights}; where that is allowed, likely a policy there asks for more, such as"
    " encryption or TLS"
)


def refusal(doing: str, status: int, text: str, hints: Hints) -> StorageError:
    """Return the error for a refusal; `text` is its body, an error document or other text."""
    return refusal_of(doing, status, read_document(text), hints)


def refusal_of(doing: str, status: int, said: Said, hints: Hints) -> StorageError:
    """Return the error for a refusal, with the store's status, code and text."""
    answer = said.with_status(status)
    meaning = meaning_of(said.code, said.text) or _by_status(status)
    if status == 404 and not said.code:  # then the requested object is missing
        meaning = NOT_THERE
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
    """Return the meaning of a status, if the code is unknown."""
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
