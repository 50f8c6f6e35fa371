"""What reads bytes from outside, and what may come of it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

from tests.adversary.good import forged
from tests.unit.core.archives import archive, members, pax_member, pax_record, tar
from tests.unit.core.entries import entry

from raft_snapshot_agent.config.document import parse as parse_document
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.config.validation import validate
from raft_snapshot_agent.core.history.guard import Losses, Point, judge
from raft_snapshot_agent.core.history.proof import is_trusted
from raft_snapshot_agent.core.history.retention import Retention, plan
from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.core.snapshot_file.archive import ArchiveVerifier
from raft_snapshot_agent.core.snapshot_file.contents import Contents
from raft_snapshot_agent.core.snapshot_file.entries import EntryReader
from raft_snapshot_agent.core.snapshots.naming import AGENT, SEED, Layout, catalogue, parse
from raft_snapshot_agent.core.snapshots.notes import Alarm, Restored
from raft_snapshot_agent.core.snapshots.scrub_note import LastReading, ScrubNote
from raft_snapshot_agent.core.snapshots.snapshot import Condemnation, Manifest
from raft_snapshot_agent.error_text import read_document
from raft_snapshot_agent.errors import (
    AgentError,
    ConfigError,
    ServerError,
    StorageError,
    VerificationError,
)
from raft_snapshot_agent.storage.azure import listing as azure_listing
from raft_snapshot_agent.storage.azure.identities import AzureToken
from raft_snapshot_agent.storage.gcs import bucket
from raft_snapshot_agent.storage.s3 import listing as s3_listing
from raft_snapshot_agent.storage.s3 import multipart, roles
from raft_snapshot_agent.storage.s3.s3 import S3Settings, connect
from raft_snapshot_agent.storage.swift import container
from raft_snapshot_agent.storage.swift.swift import SwiftSettings
from raft_snapshot_agent.storage.webdav import multistatus
from raft_snapshot_agent.vault.answers import Answer, refusal
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.settings import VaultSettings
from raft_snapshot_agent.vault.token import parse_token

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
_LONGEST = 2000
"""Characters of a line that is shown."""


@dataclass(frozen=True, slots=True)
class Target:
    """One reader, and examples of what it reads."""

    read: Callable[[bytes], None]
    examples: tuple[bytes, ...]
    allowed: tuple[type[Exception], ...] = ()
    """What it may raise; anything else is a defect."""


def shown(text: str) -> None:
    """Make sure that a text is one clean line."""
    assert text.isprintable(), ascii(text)
    assert len(text) <= _LONGEST, f"{len(text)} characters"


def told(error: AgentError) -> None:
    for line in error.lines:
        # What an operator wrote himself is shown to him as it is, however long.
        shown(line[:_LONGEST] if isinstance(error, ConfigError) else line)


def read_archive(data: bytes) -> None:
    verifier = ArchiveVerifier()
    step = 1 + zlib.crc32(data) % 5000
    for start in range(0, len(data), step):
        verifier.feed(data[start : start + step])
    verifier.finish()


def read_packed(data: bytes) -> None:
    """The same below gzip, where nothing else would come past its checksum."""
    read_archive(gzip.compress(data, compresslevel=0))


def read_manifest(data: bytes) -> None:
    manifest = Manifest.from_json(data)
    for listed in catalogue([(manifest.snapshot, manifest.size), (f"{manifest.snapshot}.json", 9)]):
        is_trusted(manifest, listed, parse(listed.name))
    point = Point.of(manifest)
    judge((point,), _POINT, Losses(0.5, 0.5), None)
    judge((_POINT,), point, Losses(0.5, 0.5), None)
    Manifest.from_json(manifest.to_json())


def read_record(data: bytes) -> None:
    record = Record.from_json(data)
    record.stored_at()
    shown(record.holder)
    text = record.renewed({}).to_json()
    assert Record.from_json(text).to_json() == text


def read_note(data: bytes) -> None:
    shown(str(Alarm.from_json(data)))
    Condemnation.from_json(data)
    scrubbed = ScrubNote.from_json(data, None, NOW)
    assert ScrubNote.from_json(scrubbed.to_json(None), None, NOW) == scrubbed
    if restored := Restored.from_json(data):
        shown(restored.snapshot)
        judge((_POINT,), Point.of(_MANIFEST), Losses(0.5, 0.5), restored)
        Point.after(restored)


def read_names(data: bytes) -> None:
    """Plan for whatever is listed: lines of a name and a size."""
    entries = []
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        name, _, size = line.partition("\t")
        entries.append((name, zlib.crc32(size.encode("utf-8", "replace"))))
    for naming in (AGENT, SEED, Layout("backup-", "2006-01-02T15-04-05Z-0700")):
        stored = catalogue(entries, naming)
        policy = Retention(last=2, daily=3, weekly=2, monthly=2, yearly=2)
        planned = plan(stored, policy, NOW, UTC, "")
        assert {one.name for one in planned.delete} <= {one.name for one in stored}


def read_configuration(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    suffix = (".yaml", ".json", ".toml", "")[zlib.crc32(data) % 4]
    document = parse_document("f", suffix, text)
    validate(Config, document.value, document)


def read_multistatus(data: bytes) -> None:
    listed = multistatus.read_list(data, 9)
    for _, file in listed.find_below(listed.folder):
        assert isinstance(file.size, int)


def read_uploads(data: bytes) -> None:
    destination = S3Settings(type="s3", bucket="b", region="r", allow_http=False)
    uploads = multipart.Uploads(connect(destination))
    with mock.patch.object(multipart.Uploads, "_ask", return_value=data):
        pages: Iterator[multipart.MultipartUpload] = uploads.pending("prod/")
        for _ in range(1000):
            if next(pages, None) is None:
                return


def read_objects(data: bytes) -> None:
    for _key, one in s3_listing.read_page(data, "prod/").items:
        assert one is None or one.size >= 0


def read_blobs(data: bytes) -> None:
    for _key, one in azure_listing.read_page(data, "prod/").items:
        assert one is None or one.size >= 0


def read_role(data: bytes) -> None:
    """Read what hands out temporary keys and tokens."""
    for found in (roles._from_json, roles._from_xml):
        with suppress(StorageError):
            roles._read("list", data, found)
    with suppress(StorageError):
        assert AzureToken.read("list", "somebody", data).text


def _answer(data: bytes) -> Any:
    return SimpleNamespace(data=data, status=200, headers={}, reason="OK")


def read_bucket(data: bytes) -> None:
    bucket._objects("list", bucket._document("list", cast("Any", _answer(data))))


def read_entries(data: bytes) -> None:
    reader, contents = EntryReader(marks=True), Contents(3)
    for start in range(0, len(data), 100):
        reader.feed(memoryview(data)[start : start + 100])
        contents.add(reader.take())
    reader.finish()


def read_container(data: bytes) -> None:
    settings = SwiftSettings(
        type="swift", container="b", storage_url="https://s/v1/a", auth_token="token-of-a-test"
    )
    opened = container.Container(settings)
    pages = [_answer(data), _answer(b"[]")]
    with mock.patch.object(container.Container, "_ask", side_effect=pages):
        list(opened._pages("list", {}))


def read_leader(data: bytes) -> None:
    """All that a node may say, whatever it was asked."""
    node = Node("http://127.0.0.1:1", VaultSettings())
    for status in (200, 400, 403, 500, 503):
        answer = Answer.read(status, data)
        told(refusal(answer, node.address, "sys/leader"))
        with mock.patch.object(Node, "call", lambda *_, answer=answer, **__: answer):
            for ask in (node.leader_status, node.identity):
                with suppress(ServerError):
                    ask()
            node.count_servers("t")
            shown("".join(host for one in node.list_members("t") for host in one.hosts)[:_LONGEST])
            with suppress(ServerError):
                parse_token(answer, 0.0)


def read_complaint(data: bytes) -> None:
    said = read_document(data.decode("utf-8", "replace"))
    for text in (said.code, said.text, said.region, said.endpoint, said.with_status(500)):
        shown(text)


_FORGED = forged(NOW, 4711, "f69f1e5b-6d71-dc89-9e4c-280a60ecb9e7")
_MANIFEST = Manifest.from_json(_FORGED.manifest)
_COUNTED = replace(_MANIFEST, counts="logical/a/ 120 5324; sys/policy/ 4 1200; + 9 99")
_POINT = Point.of(_COUNTED)
_NAMES = (
    f"{_FORGED.name}\t100\n{_FORGED.name}.json\t5\nraft_snapshot-1795447800000000000.snap\t7\n"
    f"raft-snapshot-2026-11-23T15-30-00Z-0000.snap\t9\n{_FORGED.name}.broken\t0\n"
    "raft-snapshot-20261125T033000Z-i4710-0000ab.snap\t1\nbackup-2026-11-23T15-30-00Z-0000.snap\t1"
)
_RECORD = Record("host/1/ab", 3, 14, 30.0, "2026-11-26T12:00:00Z", {"s3": "2026-11-26T12:00:00Z"})
_ALARM = Alarm("why", _FORGED.name, "2026-11-26T12:00:00Z")
_RESTORED = Restored(_FORGED.name, "2026-11-26T12:00:00Z", "id", 1, 2, "clock", 1.5)
_CONFIG = """vault: {address: 'https://127.0.0.1:8200', auth: {method: approle, role_id: a}}
schedule: {every: 1h}
retention: {last: 24, daily: 7}
storages:
  - {type: local, path: /var/backups/vault}
  - {type: s3, bucket: b, prefix: prod, region: eu-central-1, retention: {last: 720}}
"""
_MULTISTATUS = b"""<?xml version="1.0"?><D:multistatus xmlns:D="DAV:"><D:response>
<D:href>/dav/x.snap</D:href><D:propstat><D:prop><D:resourcetype/>
<D:getcontentlength>5</D:getcontentlength>
<D:getlastmodified>Thu, 26 Nov 2026 12:00:00 GMT</D:getlastmodified></D:prop>
</D:propstat></D:response></D:multistatus>"""
_UPLOADS = b"""<ListMultipartUploadsResult><Upload><Key>prod/x</Key><UploadId>1</UploadId>
<Initiated>2026-11-26T12:00:00.000Z</Initiated></Upload><IsTruncated>false</IsTruncated>
</ListMultipartUploadsResult>"""
_OBJECTS = b"""<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>prod/x</Key>
<Size>5</Size><LastModified>2026-11-26T12:00:00.000Z</LastModified></Contents>
<CommonPrefixes><Prefix>prod/y/</Prefix></CommonPrefixes><IsTruncated>true</IsTruncated>
<NextContinuationToken>a</NextContinuationToken></ListBucketResult>"""
_BLOBS = b"""<EnumerationResults><Blobs><Blob><Name Encoded="true">prod/x%20</Name><Properties>
<Last-Modified>Thu, 26 Nov 2026 12:00:00 GMT</Last-Modified><Content-Length>5</Content-Length>
</Properties></Blob><BlobPrefix><Name>prod/y/</Name></BlobPrefix></Blobs>
<NextMarker>a</NextMarker></EnumerationResults>"""
_ROLES = (
    b"""{"AccessKeyId": "a", "SecretAccessKey": "b", "Token": "c",
    "Expiration": "2026-11-26T12:00:00Z"}""",
    b"""<R><A><Credentials><AccessKeyId>a</AccessKeyId><SecretAccessKey>b</SecretAccessKey>
    <SessionToken>c</SessionToken><Expiration>2026-11-26T12:00:00Z</Expiration></Credentials>
    </A></R>""",
    b'{"access_token": "a", "expires_in": "3599", "expires_on": "1795447800"}',
)
_LEADER = (
    b'{"ha_enabled": true, "is_self": false, "leader_address": "https://a:8200",'
    b' "raft_applied_index": 9, "active_time": "2026-11-26T00:00:00Z"}'
)
_SEAL = b'{"cluster_id": "a", "cluster_name": "b", "version": "2.7.2", "initialized": true}'
_AUTH = b'{"auth": {"client_token": "hvs.a", "lease_duration": 60, "renewable": true}}'
_HA = b'{"data": {"nodes": [{"active_node": true, "api_address": "https://a:8200"}]}}'
_BUCKET = (
    b'{"items": [{"name": "prod/x", "size": "5", "generation": "1", "md5Hash": "a",'
    b' "updated": "2026-11-26T12:00:00Z", "etag": "x"}], "nextPageToken": "a"}'
)
_CONTAINER = (
    b'[{"name": "prod/x", "bytes": 5, "hash": "a", "last_modified": "2026-11-26T12:00:00.000000"}]'
)
_COMPLAINTS = (
    b"<Error><Code>AccessDenied</Code><Message>no</Message><Region>eu</Region></Error>",
    b'{"error": {"code": "x", "message": "y", "details": [1]}}',
    b"<html><head><title>503</title><script>x</script></head><body>down</body></html>",
)
_ENTRIES = entry(b"core/keyring", b"x" * 300) + entry(b"sys/token/id/a") + entry(b"x", b"y" * 5000)
_PAX = pax_member("x", b"y", pax_record("size", "1")) + tar(members())

TARGETS: dict[str, Target] = {
    "archive": Target(read_archive, (_FORGED.archive, archive(level=6)), (VerificationError,)),
    "tar": Target(read_packed, (tar(members()), _PAX), (VerificationError,)),
    "manifest": Target(read_manifest, (_FORGED.manifest, _COUNTED.to_json()), (ValueError,)),
    "lease record": Target(read_record, (_RECORD.to_json(),)),
    "note": Target(
        read_note,
        (
            _ALARM.to_json(),
            _RESTORED.to_json(),
            Condemnation("rotten", NOW).to_json(),
            ScrubNote({"a": LastReading(NOW, "broken")}, ("b",), NOW).to_json(None),
        ),
    ),
    "entries": Target(read_entries, (_ENTRIES,), (VerificationError,)),
    "names": Target(read_names, (_NAMES.encode(),)),
    "configuration": Target(read_configuration, (_CONFIG.encode(),), (ConfigError,)),
    "multistatus": Target(read_multistatus, (_MULTISTATUS,), (ValueError,)),
    "uploads": Target(read_uploads, (_UPLOADS,), (StorageError, ValueError)),
    "objects": Target(read_objects, (_OBJECTS,), (ValueError,)),
    "blobs": Target(read_blobs, (_BLOBS,), (ValueError,)),
    "role": Target(read_role, _ROLES),
    "bucket": Target(read_bucket, (_BUCKET,), (StorageError,)),
    "container": Target(
        read_container,
        (_CONTAINER,),
        (StorageError,),
    ),
    "leader": Target(read_leader, (_LEADER, _SEAL, _AUTH, _HA)),
    "complaint": Target(read_complaint, _COMPLAINTS),
}
