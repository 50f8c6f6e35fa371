from __future__ import annotations

import pytest

from raft_snapshot_agent.errors import (
    LoginRefused,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from raft_snapshot_agent.storage.object_errors import Hints, explain

HINTS = Hints(rights="s3:PutObject", login="log in", address="check endpoint")
AMAZONS = """\
The operation lacked the necessary privileges to complete for path a: Error performing PUT \
https://backups.s3.eu-central-1.amazonaws.com/a?X-Amz-Signature=cafe in 8.2ms - Server returned \
non-2xx status code: {status}: <?xml version="1.0" encoding="UTF-8"?>
<Error><Code>{code}</Code><Message>{message}</Message><AWSAccessKeyId>AKIAIOSFODNN7EXAMPLE\
</AWSAccessKeyId><StringToSign>AWS4-HMAC-SHA256 20261123</StringToSign>\
<SignatureProvided>cafe</SignatureProvided></Error>

Debug source:
PermissionDenied {{ ... }}"""


def explained(status: str, code: str, message: str = "because") -> StorageError:
    text = AMAZONS.format(status=status, code=code, message=message)
    return explain("cannot store a in s3://backups/", Exception(text), HINTS)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("404 Not Found", "NoSuchBucket", StorageError),
        ("403 Forbidden", "InvalidAccessKeyId", LoginRefused),
        ("403 Forbidden", "SignatureDoesNotMatch", LoginRefused),
        ("403 Forbidden", "AccessDenied", StorageDenied),
        ("401 Unauthorized", "Whatever", LoginRefused),
        ("400 Bad Request", "ExpiredToken", LoginRefused),
        ("403 Forbidden", "RequestTimeTooSkewed", LoginRefused),
        ("400 Bad Request", "AuthorizationHeaderMalformed", StorageError),
        ("400 Bad Request", "EntityTooLarge", StorageError),
        ("400 Bad Request", "RequestTimeout", StorageUnavailable),
        ("429 Too Many Requests", "TooMany", StorageUnavailable),
        ("500 Internal Server Error", "InternalError", StorageUnavailable),
        ("503 Slow Down", "SlowDown", StorageUnavailable),
        ("507 Insufficient Storage", "XMinioStorageFull", StorageFull),
        ("507 Insufficient Storage", "Whatever", StorageFull),
        ("403 Forbidden", "QuotaExceeded", StorageFull),
    ],
)
def test_each_answer_is_an_error_of_its_kind(
    status: str, code: str, kind: type[StorageError]
) -> None:
    error = explained(status, code)
    assert type(error) is kind
    assert error.message.startswith("cannot store a in s3://backups/: ")
    assert error.hint
    for secret in ("AKIA", "cafe", "HMAC", "Debug", "https://", "<", "\n"):
        assert secret not in str(error)


def test_the_rights_that_are_missing_are_named() -> None:
    assert explained("403 Forbidden", "AccessDenied").hint == "allow s3:PutObject"


def test_what_the_store_says_is_shortened_and_cleaned() -> None:
    error = explained("400 Bad Request", "Odd", f"see https://x/?a=b &amp; {'long ' * 99}")
    assert "400 Odd see the store & long long" in error.message
    assert len(error.message) < 300


def test_an_answer_without_a_document_is_told_by_its_status() -> None:
    text = "Error performing HEAD http://x/y in 1ms - Server returned non-2xx status code: 502 Bad"
    error = explain("cannot read", Exception(text), HINTS)
    assert isinstance(error, StorageUnavailable)
    assert error.message == "cannot read: the store answered 502"


@pytest.mark.parametrize(
    ("inner", "kind", "why"),
    [
        (
            'kind: Connect, ConnectError("tcp connect error", Os { message: "Connection refused" })',
            StorageUnavailable,
            "no connection to https://minio:9000: Connection refused",
        ),
        (
            'kind: Connect, "dns error", Custom { error: "failed to lookup address" }',
            StorageUnavailable,
            "no connection to https://minio:9000: failed to lookup address",
        ),
        ("kind: Connect", StorageUnavailable, "no connection to https://minio:9000: not reachable"),
        ("kind: Timeout", StorageUnavailable, "no answer in time"),
        ("kind: Request", StorageUnavailable, "the connection to https://minio:9000 broke"),
        (
            "kind: Connect, error: InvalidCertificate(\n    UnknownIssuer,\n)",
            StorageError,
            "the TLS certificate is not trusted (UnknownIssuer)",
        ),
    ],
)
def test_a_connection_that_fails_is_told(inner: str, kind: type[StorageError], why: str) -> None:
    text = (
        "Generic S3 error: Error performing PUT https://minio:9000/backups/a in 2ms, after 4 "
        f"retries - HTTP error: error sending request\n\nDebug source:\n{inner}"
    )
    error = explain("cannot store", Exception(text), HINTS)
    assert type(error) is kind
    assert why in error.message


def test_what_is_unknown_is_told_in_one_line() -> None:
    text = (
        "Generic S3 error: Something odd at https://x/?sig=1\n\nDebug source:\nGeneric { secret }"
    )
    error = explain("cannot store", Exception(text), HINTS)
    assert type(error) is StorageError
    assert error.message == "cannot store: Something odd at the store"
