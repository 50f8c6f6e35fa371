from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.contract.destinations import S3
from tests.http_proxy import HttpProxy, Request, hang, status

from raft_snapshot_agent.errors import StorageError, StorageUnavailable
from raft_snapshot_agent.network.trust import TlsOptions
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS
from raft_snapshot_agent.storage.http.http import Http
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.objectstore.aws_profile import AwsCredentials
from raft_snapshot_agent.storage.objectstore.errors import Hints
from raft_snapshot_agent.storage.s3 import multipart
from raft_snapshot_agent.storage.s3.bucket import S3Bucket
from raft_snapshot_agent.storage.s3.multipart import MultipartUpload, Uploads
from raft_snapshot_agent.storage.s3.signing import sign
from raft_snapshot_agent.storage.s3.store import S3Client, S3Store

NAME = "raft-snapshot-20261123T153000Z-i4711-dead01.snap"
OF_ANOTHER_RUN = "raft-snapshot-20261123T153000Z-i4711-0d1e2f.snap"
OF_THE_ORIGINAL = "raft_snapshot-1795447800000000000.snap"
NOW = datetime(2026, 11, 23, 16, tzinfo=UTC)
AMAZON = "https://examplebucket.s3.amazonaws.com"
EXAMPLE = AwsCredentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        (
            f"{AMAZON}/?lifecycle=",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            f"{AMAZON}/?max-keys=2&prefix=J",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_signatures_are_those_amazon_publishes(url: str, signature: str) -> None:
    """Source: "Authenticating Requests: Using the Authorization Header" of the S3 API."""
    headers = sign("GET", url, "us-east-1", EXAMPLE, datetime(2013, 5, 24, tzinfo=UTC))
    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;x-amz-content-sha256;x-amz-date, "
        f"Signature={signature}"
    )


@pytest.mark.parametrize("token", [None, "a/session+token=="])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_signatures_are_those_of_amazons_own_library(method: str, token: str | None) -> None:
    key, upload_id = quote("Sicherung für ~Vault/a+b.snap"), quote("x~/+==", safe="")
    url = f"{AMAZON}/{key}?uploadId={upload_id}"
    keys = AwsCredentials("mine", "secret", token)
    request = AWSRequest(method=method, url=url)
    S3SigV4Auth(Credentials("mine", "secret", token), "s3", "eu-west-1").add_auth(request)
    moment = datetime.strptime(request.context["timestamp"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = sign(method, url, "eu-west-1", keys, moment)
    assert ours["authorization"] == request.headers["Authorization"]


@pytest.fixture
def uploads(s3: S3) -> Uploads:
    return uploads_at(s3.seaweed, s3.bucket)


def uploads_at(seaweed: SeaweedFS, bucket: str, keys: AwsCredentials | None = None) -> Uploads:
    owner = AwsCredentials(seaweed.access_key_id, seaweed.secret_access_key)
    timeout = timedelta(seconds=20)
    place = S3Bucket(seaweed.endpoint, f"/{bucket}", seaweed.region, None, timeout)
    return Uploads(client(place, keys or owner))


def client(bucket: S3Bucket, keys: AwsCredentials) -> S3Client:
    http = Http(bucket.timeout, TlsOptions(bucket.ca_file, bucket.skip_verify), bucket.proxy)
    store = S3Store(bucket, lambda _: keys, Hints("rights", "login", "address"))
    return S3Client(store, http)


def begin(s3: S3, *keys: str) -> None:
    for key in keys:
        s3.client.create_multipart_upload(Bucket=s3.bucket, Key=key)


def swept(uploads: Uploads, prefix: str = "vault/", **more: Any) -> int:
    now = datetime.now(UTC) + more.get("later", timedelta(0))
    dead = more.get("dead", frozenset({"dead01"}))
    leftovers = Leftovers(dead, static_name=more.get("static_name"))
    return multipart.sweep(uploads, prefix, leftovers, now)


def test_uploads_are_listed_as_the_store_knows_them(s3: S3, uploads: Uploads) -> None:
    begin(s3, f"vault/{NAME}", f"vault-prod/{NAME}")
    (upload,) = uploads.pending("vault/")
    assert upload.key == f"vault/{NAME}"
    assert abs(datetime.now(UTC) - upload.initiated) < timedelta(minutes=5)


def test_what_a_dead_run_left_is_aborted(s3: S3, uploads: Uploads) -> None:
    begin(s3, f"vault/{NAME}", f"vault/{OF_ANOTHER_RUN}")
    assert swept(uploads) == 1
    assert s3.pending() == [f"vault/{OF_ANOTHER_RUN}"]


def test_the_originals_names_tell_their_run_too(s3: S3, uploads: Uploads) -> None:
    begin(s3, f"vault/{OF_THE_ORIGINAL}")
    assert swept(uploads, dead=frozenset({"1795447800000000000"})) == 1
    assert s3.pending() == []


def test_what_is_older_than_a_day_is_aborted(s3: S3, uploads: Uploads) -> None:
    begin(s3, f"vault/{OF_ANOTHER_RUN}", "vault/latest.snap")
    assert swept(uploads, static_name="latest.snap", later=timedelta(hours=23)) == 0
    assert swept(uploads, static_name="latest.snap", later=timedelta(hours=25)) == 2
    assert s3.pending() == []


def test_what_is_not_ours_stays(s3: S3, uploads: Uploads) -> None:
    foreign = {
        "vault/notes.txt",
        f"vault/old/{NAME}",
        f"vault-prod/{NAME}",
        f"old/vault/{NAME}",
        NAME,
    }
    begin(s3, *foreign)
    assert swept(uploads, later=timedelta(days=9)) == 0
    assert set(s3.pending()) == foreign


def test_a_prefix_with_spaces_and_umlauts(s3: S3, uploads: Uploads) -> None:
    begin(s3, f"Sicherung für Vault/~a+b/{NAME}")
    assert swept(uploads, "Sicherung für Vault/~a+b/") == 1
    assert s3.pending() == []


def test_aborting_what_is_gone_is_no_error(s3: S3, uploads: Uploads) -> None:
    begin(s3, NAME)
    (upload,) = uploads.pending("")
    uploads.abort(upload)
    uploads.abort(upload)
    assert s3.pending() == []


def test_without_the_right_to_list_nothing_is_swept(s3: S3) -> None:
    begin(s3, f"vault/{NAME}")
    uploader = s3.seaweed.identities[1]
    keys = AwsCredentials(uploader.access_key_id, uploader.secret_access_key)
    assert swept(uploads_at(s3.seaweed, s3.bucket, keys)) == 0
    assert s3.pending() == [f"vault/{NAME}"]


@pytest.fixture
def store() -> Iterator[HttpProxy]:
    """A store whose answers a test decides."""
    with HttpProxy("http://127.0.0.1:1", lambda _: status(500)) as proxy:
        yield proxy


def uploads_of(store: HttpProxy, timeout: float = 20) -> Uploads:
    bucket = S3Bucket(store.address, "/backups", "us-east-1", None, timedelta(seconds=timeout))
    return Uploads(client(bucket, EXAMPLE))


def page(names: list[str], following: str = "") -> bytes:
    uploads = "".join(
        f"<Upload><Key>{name}</Key><UploadId>id-{name}</UploadId>"
        "<Initiated>2026-11-20T10:00:00.000Z</Initiated></Upload>"
        for name in names
    )
    more = f"<NextKeyMarker>{following}</NextKeyMarker><NextUploadIdMarker>7</NextUploadIdMarker>"
    return (
        '<?xml version="1.0"?>'
        '<ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"{uploads}{more if following else ''}<IsTruncated>{str(bool(following)).lower()}"
        "</IsTruncated></ListMultipartUploadsResult>"
    ).encode()


def test_all_pages_are_read(store: HttpProxy) -> None:
    def choose(request: Request) -> Any:
        following = request.query.get("key-marker")
        return status(200, page(["c"]) if following == ["b"] else page(["a", "b"], "b"))

    store.choose = choose
    initiated = datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert list(uploads_of(store).pending("vault/")) == [
        MultipartUpload(key, f"id-{key}", initiated) for key in "abc"
    ]
    assert store.requests[1].query["upload-id-marker"] == ["7"]


def test_a_store_that_lists_more_than_it_was_asked_for_loses_nothing(store: HttpProxy) -> None:
    store.choose = lambda _: status(200, page([NAME, f"vault-prod/{NAME}"]))
    assert swept(uploads_of(store)) == 0


def test_a_document_type_is_refused(store: HttpProxy) -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "boom">]><x>&a;</x>'
    store.choose = lambda _: status(200, bomb)
    with pytest.raises(StorageError, match="document type"):
        swept(uploads_of(store))


@pytest.mark.parametrize("body", [b"", b"<a>", b"\xff\xfe", b"hello"])
def test_nonsense_is_told(store: HttpProxy, body: bytes) -> None:
    store.choose = lambda _: status(200, body)
    with pytest.raises(StorageError, match="not XML"):
        swept(uploads_of(store))


def test_a_store_that_is_busy_may_be_asked_again(store: HttpProxy) -> None:
    store.choose = lambda _: status(503)
    with pytest.raises(StorageUnavailable, match="503"):
        swept(uploads_of(store))
    assert len(store.requests) == 1


def test_a_store_that_fails_is_told(store: HttpProxy) -> None:
    with pytest.raises(StorageUnavailable, match="500"):
        swept(uploads_of(store))


def test_a_store_that_hangs_is_told_without_signatures(store: HttpProxy) -> None:
    store.choose = lambda _: hang
    with pytest.raises(StorageUnavailable) as caught:
        swept(uploads_of(store, 0.2))
    assert "no answer in time" in str(caught.value)
    assert "Signature" not in str(caught.value)


def test_a_redirect_is_not_followed(store: HttpProxy) -> None:
    store.choose = lambda _: status(307)
    with pytest.raises(StorageError, match="307"):
        swept(uploads_of(store))


def test_the_proxy_of_the_environment_is_used(
    store: HttpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.choose = lambda _: status(200, page([]))
    monkeypatch.setenv("http_proxy", store.address)
    bucket = S3Bucket("http://s3.invalid", "/backups", "us-east-1", None, timedelta(seconds=20))
    assert swept(Uploads(client(bucket, EXAMPLE))) == 0
    assert store.requests[0].target.startswith("http://s3.invalid/backups?")


def test_keys_are_not_shown() -> None:
    keys = AwsCredentials("mine", "secret", "token")
    assert "secret'" not in repr(keys)
    assert "token'" not in repr(keys)
