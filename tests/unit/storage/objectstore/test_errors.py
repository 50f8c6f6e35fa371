from __future__ import annotations

import pytest
from tests.holes import HOLES

from raft_snapshot_agent.errors import (
    LoginRefused,
    SnapshotNotFound,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from raft_snapshot_agent.storage.objectstore.errors import Hints, refusal

HINTS = Hints(rights="s3:PutObject", login="log in", address="check endpoint")
AMAZONS = """\
<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>{code}</Code><Message>{message}</Message><AWSAccessKeyId>AKIAIOSFODNN7EXAMPLE\
</AWSAccessKeyId><StringToSign>AWS4-HMAC-SHA256 20261123</StringToSign>\
<SignatureProvided>cafe</SignatureProvided></Error>"""


def explained(status: str, code: str, message: str = "because") -> StorageError:
    text = AMAZONS.format(code=code, message=message)
    return refusal("cannot store a in s3://backups/", int(status[:3]), text, HINTS)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("404 Not Found", "NoSuchBucket", StorageError),
        ("403 Forbidden", "InvalidAccessKeyId", LoginRefused),
        ("403 Forbidden", "SignatureDoesNotMatch", LoginRefused),
        ("403 Forbidden", "AccessDenied", StorageDenied),
        ("401 Unauthorized", "Whatever", LoginRefused),
        ("400 Bad Request", "ExpiredToken", LoginRefused),
        ("400 Bad Request", "InvalidToken", LoginRefused),
        ("403 Forbidden", "RequestTimeTooSkewed", LoginRefused),
        ("403 Forbidden", "AuthenticationFailed", LoginRefused),
        ("403 Forbidden", "KeyBasedAuthenticationNotPermitted", LoginRefused),
        ("403 Forbidden", "AuthorizationPermissionMismatch", StorageDenied),
        ("400 Bad Request", "KMS.DisabledException", StorageError),
        ("501 Not Implemented", "NotImplemented", StorageError),
        ("409 Conflict", "OperationAborted", StorageUnavailable),
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
    assert f"{status[:3]} {code} because" in error.message
    for secret in ("AKIA", "cafe", "HMAC", "Debug", "https://", "<", "\n"):
        assert secret not in str(error)


def test_the_rights_that_are_missing_are_named() -> None:
    hint = explained("403 Forbidden", "AccessDenied").hint
    assert hint.startswith("allow s3:PutObject; ")
    assert "likely" in hint


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "InvalidAccessKeyId", "InvalidToken"])
def test_a_cause_that_nobody_established_is_called_likely(code: str) -> None:
    assert "likely" in explained("403 Forbidden", code, "We calculated another one.").hint


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("Content-MD5 OR x-amz-checksum- header is required", "set checksum: true"),
        ("Missing required header for this request: Content-MD5", "set checksum: true"),
        ("Please use virtual hosted style to access.", "set path_style: false"),
        ("Client sent an HTTP request to an HTTPS server.", "https://"),
    ],
)
def test_what_the_store_asks_for_is_named_with_its_key(message: str, hint: str) -> None:
    assert hint in explained("400 Bad Request", "InvalidRequest", message).hint


def test_the_region_that_the_store_names_is_told() -> None:
    said = "wrong</Message><Region>eu-west-1</Region><Message>"
    hint = explained("400 Bad Request", "AuthorizationHeaderMalformed", said).hint
    assert hint == "likely set region: eu-west-1"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('{"error": {"code": 404, "message": "The resource could not be found."}}', "found."),
        ('[{"Code": "Odd", "Message": "in a list"}]', "Odd in a list"),
        ('{"message": ["no", "text"]}', "answered 400"),
        ("{broken", "{broken"),
        ("<html><title>400 Nope</title><script>x()</script></html>", "answered 400 Nope"),
        ("\ufeff<s:exception>Sabre</s:exception><s:message>why</s:message>", "Sabre why"),
        ("plain\x1b[31m words\x00\r\n of\u202e any length", "plain [31m words of any length"),
        ("Authorization: Bearer abcdef0123456789 sig=c2ln&x", "Bearer [hidden] sig=[hidden]&x"),
        ("x" * 100_000, "xxx..."),
    ],
)
def test_an_answer_in_any_form_is_one_clean_line(body: str, told: str) -> None:
    error = refusal("cannot list in s3://b/", 400, body, HINTS)
    assert told in error.message
    assert str(error).isprintable()
    assert len(error.message) < 300


MAC = (
    "The MAC signature found in the HTTP request 'c2VjcmV0LXNpZ25hdHVyZS1vZi1vdXJz' is not the same"
    " as any computed signature"
)


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        (
            "Signature not valid in the specified time frame: Start [Mon] - Expiry [Tue]",
            "time frame: Start [Mon] - Expiry [Tue])",
        ),
        (
            f"{MAC}. Server used following string to sign: 'PUT x-ms'",
            "request [hidden] is not the same as any computed signature.)",
        ),
    ],
)
def test_what_azure_says_of_a_login_is_told_without_the_signature(detail: str, told: str) -> None:
    document = (
        "<Error><Code>AuthenticationFailed</Code><Message>Server failed.\nRequestId:1\nTime:2"
        f"</Message><AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail></Error>"
    )
    error = refusal("cannot list in az://c/", 403, document, HINTS)
    assert type(error) is LoginRefused
    assert error.message.endswith(told)
    assert "RequestId" not in error.message
    assert "likely" in error.hint


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AccessDenied", "Forbidden: No such key: GK0123"),
        ("AccessDenied", "Forbidden: Invalid signature"),
        ("AuthorizationFailure", "Server failed to authenticate the request."),
    ],
)
def test_a_refused_login_is_one_by_whatever_code_it_is_told(code: str, message: str) -> None:
    assert type(explained("403 Forbidden", code, message)) is LoginRefused


ODD = (
    "",
    " ",
    "\n\n",
    "<Code></Code><Message></Message>",
    "<Error><Code> </Code><Message> </Message></Error>",
    "{}",
    "[]",
)


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 412, 501, 503, 507])
@pytest.mark.parametrize("doing", ["cannot read a in s3://b/", "cannot store a in s3://b/"])
def test_no_message_has_a_hole(text: str, status: int, doing: str) -> None:
    error = refusal(doing, status, text, HINTS)
    assert error.hint
    assert not HOLES.search(str(error)), str(error)


@pytest.mark.parametrize(
    ("doing", "kind"), [("cannot read", SnapshotNotFound), ("cannot list", StorageError)]
)
def test_an_object_is_missing_only_where_one_was_to_be_read(
    doing: str, kind: type[StorageError]
) -> None:
    assert type(refusal(doing, 404, "", HINTS)) is kind


def test_what_the_store_says_is_shortened_and_cleaned() -> None:
    error = explained("400 Bad Request", "Odd", f"see https://x/?a=b &amp; {'long ' * 99}")
    assert "400 Odd see the store & long long" in error.message
    assert len(error.message) < 300


def test_an_answer_without_a_document_is_told_by_its_status() -> None:
    error = refusal("cannot read", 502, "", HINTS)
    assert isinstance(error, StorageUnavailable)
    assert error.message == "cannot read: the store answered 502"
