"""Reads whether a bucket keeps old versions of objects, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, replace
from xml.etree import ElementTree as ET

from raft_snapshot_agent.errors import LoginRefused, StorageDenied, StorageError
from raft_snapshot_agent.storage.http.bucket_client import BucketRequest
from raft_snapshot_agent.storage.http.xml_parts import local_name, parts
from raft_snapshot_agent.storage.objectstore.errors import Hints
from raft_snapshot_agent.storage.s3.store import S3Client

_HINTS = Hints(
    rights="s3:GetBucketVersioning and s3:GetLifecycleConfiguration",
    login="check access_key_id and secret_access_key, or the environment",
    address="check bucket, region and endpoint",
)


@dataclass(frozen=True, slots=True)
class Versioning:
    """What a bucket does with deleted or replaced objects."""

    kept: bool
    """Whether they stay as old versions."""
    ends: bool = True
    """Whether a lifecycle rule removes old versions."""


def versioning(client: S3Client, prefix: str) -> Versioning | None:
    """Return the versioning of a bucket; `None` if unknown.

    Raises:
        StorageError: There was no answer, or no valid one.
    """
    client = replace(client, store=replace(client.store, hints=_HINTS))
    try:
        status = _ask(client, "versioning")
        if status is None or _first(status, "Status") != "Enabled":
            return None if status is None else Versioning(kept=False)
        rules = _ask(client, "lifecycle")
    except LoginRefused:
        raise
    except StorageDenied:
        return None
    ends = any(_ends(rule, prefix) for rule in rules or () if local_name(rule) == "Rule")
    return Versioning(kept=True, ends=ends)


def _ends(rule: ET.Element, prefix: str) -> bool:
    """Return whether a rule removes old versions of all objects under a prefix."""
    if rule.findtext("{*}Status") != "Enabled":
        return False
    if rule.find("{*}NoncurrentVersionExpiration") is None:
        return False
    if rule.find(".//{*}Tag") is not None:
        return False
    below = rule.findtext(".//{*}Filter//{*}Prefix") or rule.findtext("{*}Prefix") or ""
    return prefix.startswith(below)


def _ask(client: S3Client, what: str) -> list[ET.Element] | None:
    """Ask for one thing that a bucket is set to; nothing where the store has no such setting."""
    doing = f"cannot ask s3://{client.store.bucket.name} for its {what}"
    answer = client.ask(doing, BucketRequest("GET", query={what: ""}), also={404, 405, 501})
    if answer.status != 200:
        if "NoSuchBucket" in answer.data.decode(errors="replace"):
            raise client.store.refused(doing, answer)
        return None
    try:
        return list(parts(answer.data, {"Status", "Rule"}))
    except ValueError as error:
        raise StorageError(f"{doing}: the answer is not valid: {error}") from error


def _first(found: list[ET.Element], name: str) -> str:
    return next((part.text or "" for part in found if local_name(part) == name), "")
