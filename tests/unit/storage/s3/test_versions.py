"""What the docs say of buckets that keep versions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.destinations import SETTINGS
from tests.contract.sources import NAME
from tests.moto_store import MotoStore

from raft_snapshot_agent.storage.base import BytesSource

PAGE = Path(__file__).parents[4] / "docs" / "storages.md"


@pytest.fixture
def moto() -> Iterator[MotoStore]:
    with MotoStore.start() as store:
        store.create_bucket("vault-backups")
        status = {"Status": "Enabled"}
        store.client.put_bucket_versioning(Bucket="vault-backups", VersioningConfiguration=status)
        yield store


def rule(mark: str) -> dict[str, object]:
    """Find the example with these words in the page."""
    examples = re.findall(r"^```json\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (found,) = (example for example in examples if mark in example)
    read: dict[str, object] = json.loads(found)
    return read


def test_the_rule_for_old_versions_is_one(moto: MotoStore) -> None:
    bucket = {"Bucket": "vault-backups"}
    lifecycle = rule("NoncurrentVersionExpiration")
    moto.client.put_bucket_lifecycle_configuration(**bucket, LifecycleConfiguration=lifecycle)
    first = moto.client.get_bucket_lifecycle_configuration(**bucket)["Rules"][0]
    assert first["NoncurrentVersionExpiration"] == {"NoncurrentDays": 7}


async def test_what_is_replaced_or_deleted_stays_as_an_old_version(moto: MotoStore) -> None:
    storage = SETTINGS.validate_python(
        {
            "type": "s3",
            "bucket": "vault-backups",
            "endpoint": moto.endpoint,
            "access_key_id": moto.access_key_id,
            "secret_access_key": moto.secret_access_key,
        }
    ).open()
    for text in (b"one", b"two"):
        await storage.put(NAME, BytesSource(text))
    await storage.delete(NAME)
    assert await storage.entries() == []
    held = moto.client.list_object_versions(Bucket="vault-backups")
    assert len(held["Versions"]) == 2
    assert len(held["DeleteMarkers"]) == 1
