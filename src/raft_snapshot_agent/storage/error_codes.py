"""Maps error codes of object stores to errors and hints; unproven causes are called likely."""

from __future__ import annotations

import re
from dataclasses import dataclass

from raft_snapshot_agent.errors import (
    LoginRefused,
    SnapshotNotFound,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """The error, explanation and hint for an answer; the store's text is added."""

    kind: type[StorageError]
    why: str
    hint: str
    """May contain `{login}`, `{address}`, `{rights}` and `{options}`, filled per storage."""


LATER = "it may be temporary; check the store"
LIKELY_SIGNATURE = (
    "likely the secret does not fit the key ID; else a proxy that changes Host or path, another"
    " region than the store's, or this host's clock: {login}"
)
_NO_BUCKET = Meaning(StorageError, "the bucket does not exist", "create it, or {address}")
_NO_CONTAINER = Meaning(StorageError, "the container does not exist", "create it, or {address}")
NOT_THERE = Meaning(SnapshotNotFound, "there is none of that name", "try list")
_SIGNATURE = Meaning(LoginRefused, "the signature was refused", LIKELY_SIGNATURE)
_EXPIRED = Meaning(
    LoginRefused, "the credentials are refused as expired", "renew session_token or the role's keys"
)
_BAD_TOKEN = Meaning(
    LoginRefused, "the session token was refused", "likely it belongs to other keys: {login}"
)
_CLOCK = Meaning(LoginRefused, "the clocks differ", "set this host's clock, best by NTP")
_ACCOUNT = Meaning(LoginRefused, "the account is refused", "look at the account at the store")
_AUTHENTICATION = Meaning(
    LoginRefused,
    "the login was refused",
    "likely a wrong or expired key or SAS, another account's, or this host's clock: {login}",
)
_NO_KEY_LOGINS = Meaning(
    LoginRefused, "the login was refused", "account keys are not taken: set client_id"
)
_REGION = Meaning(StorageError, "the region or the endpoint is another's", "{address}")
_ARCHIVED = Meaning(StorageError, "it lies in an archive class", "have it restored there first")
_LOCKED = Meaning(StorageDenied, "a lock forbids it", "wait until the lock ends")
_FULL = Meaning(StorageFull, "the quota is used up", "raise it, or keep fewer snapshots")
_NO_SPACE = Meaning(StorageFull, "no space left there", "make room, or keep fewer snapshots")
_NEEDS_TLS = Meaning(StorageError, "the store wants TLS", "write the endpoint with https://")
_VIRTUAL = Meaning(
    StorageError, "the bucket is addressed in the wrong way", "set path_style: false"
)
_BUSY = Meaning(StorageUnavailable, "the store answered", LATER)
_OPTIONS = Meaning(StorageError, "the store does not know how to do this", "{options}")
_TIER = Meaning(StorageError, "the access tier was refused", "check access_tier")
_KMS = Meaning(StorageError, "the key of the encryption was refused", "check kms_key_id")

MEANINGS: dict[str, Meaning] = {
    "NoSuchBucket": _NO_BUCKET,
    "ContainerNotFound": _NO_CONTAINER,
    "ContainerBeingDeleted": _BUSY,
    "BlobNotFound": NOT_THERE,
    "NoSuchKey": NOT_THERE,
    "NoSuchVersion": NOT_THERE,
    "InvalidAccessKeyId": Meaning(
        LoginRefused,
        "the access key ID was refused",
        "likely it belongs to another store, or was deleted: {login}",
    ),
    "SignatureDoesNotMatch": _SIGNATURE,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidClientTokenId": _BAD_TOKEN,
    "UnrecognizedClientException": _BAD_TOKEN,
    "InvalidSecurity": _AUTHENTICATION,
    "InvalidToken": _BAD_TOKEN,
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "NotSignedUp": _ACCOUNT,
    "AccountProblem": _ACCOUNT,
    "AllAccessDisabled": _ACCOUNT,
    "AccountIsDisabled": _ACCOUNT,
    "AuthenticationFailed": _AUTHENTICATION,
    "InvalidAuthenticationInfo": _AUTHENTICATION,
    "NoAuthenticationInformation": _AUTHENTICATION,
    "KeyBasedAuthenticationNotPermitted": _NO_KEY_LOGINS,
    "PermanentRedirect": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "AuthorizationHeaderMalformed": Meaning(
        StorageError, "the request was signed otherwise than expected", "likely {address}"
    ),
    "InvalidObjectState": _ARCHIVED,
    "BlobArchived": _ARCHIVED,
    "BlobImmutableDueToPolicy": _LOCKED,
    "ObjectLocked": _LOCKED,
    "QuotaExceeded": _FULL,
    "XMinioAdminBucketQuotaExceeded": _FULL,
    "XMinioStorageFull": _NO_SPACE,
    "InsecureSSECustomerRequest": _NEEDS_TLS,
    "AccountRequiresHttps": _NEEDS_TLS,
    "SecondLevelDomainForbidden": _VIRTUAL,
    "NotImplemented": _OPTIONS,
    "UnsupportedHeader": _OPTIONS,
    "InvalidStorageClass": Meaning(
        StorageError, "the storage class was refused", "check storage_class"
    ),
    "InvalidTag": Meaning(StorageError, "a tag was refused", "check tags"),
    "InternalError": _BUSY,
    "InvalidBlockList": Meaning(
        StorageUnavailable, "the upload is gone", "likely another agent stored that name meanwhile"
    ),
    "InvalidBlobOrBlock": Meaning(
        StorageError,
        "blocks of another program lie under that name",
        "Azure drops them after a week; until then use another static_name or prefix",
    ),
    "Md5Mismatch": Meaning(StorageUnavailable, "it arrived changed", "check the network"),
    "OperationAborted": _BUSY,
    "OperationTimedOut": _BUSY,
    "RequestTimeout": _BUSY,
    "ServerBusy": _BUSY,
    "ServiceUnavailable": _BUSY,
    "SlowDown": _BUSY,
}

_REFUSALS = {"", "AccessDenied", "AuthorizationFailure", "Forbidden"}
_NO_LOGIN = re.compile(
    r"failed to authenticate|no such key:|not authenticated"
    r"|(?:invalid|unknown|wrong|expired) (?:signature|credentials?|access key|token|api key)",
    re.IGNORECASE,
)
"""Texts by which Azurite, Garage and others refuse a login under another code."""
_WANTS_CHECKSUM = re.compile(
    r"(?=.*\b(?:content-?md5|x-amz-(?:sdk-)?checksum|checksum))(?=.*\b(?:requir|missing|must))",
    re.IGNORECASE,
)
_IN_WORDS = (
    (re.compile(r"virtual.?host", re.IGNORECASE), _VIRTUAL.hint),
    (re.compile(r"path.?style", re.IGNORECASE), "set path_style to the other value"),
    (re.compile(r"http request to an https|https (?:port|server)", re.IGNORECASE), _NEEDS_TLS.hint),
    (re.compile(r"over a secure connection", re.IGNORECASE), _NEEDS_TLS.hint),
    (_WANTS_CHECKSUM, "set checksum: true; where it is set, the store wants another one"),
)


def meaning_of(code: str, text: str) -> Meaning | None:
    """Return the meaning of an answer; `None` if the code adds nothing to the text."""
    if code.startswith("KMS."):
        return _KMS
    if "Tier" in code:
        return _TIER
    if code in _REFUSALS and _NO_LOGIN.search(text):
        return _AUTHENTICATION
    return MEANINGS.get(code)


def hint_in_words(text: str) -> str:
    """Return which setting the store's text asks for; empty if none."""
    return next((hint for pattern, hint in _IN_WORDS if pattern.search(text)), "")


def hint_for_certificate(reason: str) -> str:
    """Return a hint for an untrusted certificate, by the TLS library's reason."""
    lowered = reason.lower()
    if "name" in lowered or "mismatch" in lowered:
        return "it is another host's: write the address with a name it is valid for"
    if "expired" in lowered or "not yet" in lowered or "notvalidyet" in lowered:
        return "renew it there, or set this host's clock"
    if "too weak" in lowered:
        return "replace it there by one with a stronger key and signature"
    return "likely set ca_file to the authority that signed it: the root or an intermediate"


def wants_checksum(text: str) -> bool:
    """Return whether the store's text demands a checksum with uploads."""
    return _WANTS_CHECKSUM.search(text) is not None
