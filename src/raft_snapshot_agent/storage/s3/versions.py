"""Whether a bucket keeps what is deleted in it, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from raft_snapshot_agent.errors import LoginRefused, StorageDenied, StorageError
from raft_snapshot_agent.storage.http.http import Http, TlsOptions
from raft_snapshot_agent.storage.http.xml_parts import parts
from raft_snapshot_agent.storage.objectstore.errors import Hints, refusal
from raft_snapshot_agent.storage.s3.multipart import sign
from raft_snapshot_agent.storage.s3.s3 import S3Settings, bucket_of, keys_of

if TYPE_CHECKING:
    from raft_snapshot_agent.storage.objectstore.aws_profile import AwsCredentials

_HINTS = Hints(
    rights="s3:GetBucketVersioning and s3:GetLifecycleConfiguration",
    login="check access_key_id and secret_access_key, or the environment",
    address="check bucket, region and endpoint",
)


@dataclass(frozen=True, slots=True)
class Versioning:
    """What becomes of what is deleted or replaced in a bucket."""

    kept: bool
    """Whether it stays as an old version."""
    ends: bool = True
    """Whether a rule removes old versions."""


def versioning(settings: S3Settings) -> Versioning | None:
    """Ask a bucket for it; nothing where it does not tell, or its keys are the library's alone.

    Raises:
        StorageError: There was no answer, or it is none.
    """
    keys = keys_of(settings)
    if keys is None:
        return None
    try:
        status = _asked(settings, keys, "versioning")
        if status is None or _first(status, "Status") != "Enabled":
            return None if status is None else Versioning(kept=False)
        rules = _asked(settings, keys, "lifecycle")
    except LoginRefused:
        raise
    except StorageDenied:
        return None
    ends = any(_ends(rule, settings.prefix) for rule in rules or () if _is(rule, "Rule"))
    return Versioning(kept=True, ends=ends)


def _ends(rule: ET.Element, prefix: str) -> bool:
    """Return whether a rule removes old versions of all that lies under a prefix."""
    if rule.findtext("{*}Status") != "Enabled":
        return False
    if rule.find("{*}NoncurrentVersionExpiration") is None:
        return False
    if rule.find(".//{*}Tag") is not None:
        return False
    below = rule.findtext(".//{*}Filter//{*}Prefix") or rule.findtext("{*}Prefix") or ""
    return prefix.startswith(below)


def _asked(settings: S3Settings, keys: AwsCredentials, what: str) -> list[ET.Element] | None:
    """Ask for one thing that a bucket is set to; nothing where the store has no such setting."""
    bucket = bucket_of(settings)
    url = f"{bucket.url}/?{what}=" if not bucket.path else f"{bucket.url}?{what}="
    http = Http(bucket.timeout, TlsOptions(bucket.ca_file, bucket.skip_verify), bucket.proxy)
    doing = f"cannot ask s3://{settings.bucket} for its {what}"
    answer = http.ask(doing, "GET", url, sign("GET", url, bucket.region, keys, datetime.now(UTC)))
    text = answer.data.decode(errors="replace")
    if answer.status in {404, 405, 501} and "NoSuchBucket" not in text:
        return None
    if answer.status != 200:
        raise refusal(doing, answer.status, text, _HINTS)
    try:
        return list(parts(answer.data, {"Status", "Rule"}))
    except ValueError as error:
        raise StorageError(f"{doing}: the answer makes no sense: {error}") from error


def _is(part: ET.Element, name: str) -> bool:
    return part.tag.rpartition("}")[2] == name


def _first(found: list[ET.Element], name: str) -> str:
    return next((part.text or "" for part in found if _is(part, name)), "")
