"""Word of a restore: where there is a signing key, only that of who holds it counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.stores.memory import MemoryStorage

from raft_snapshot_agent.core.snapshots.naming import AGENT, manifest_name
from raft_snapshot_agent.core.snapshots.notes import RESTORED_NAME, Restored
from raft_snapshot_agent.core.snapshots.restored_note import is_believed, write_restored
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.core.snapshots.snapshot import Instant, Manifest
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.storage.base import BytesSource

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
KEYS, OTHERS = SigningKeys(b"k" * 32), SigningKeys(b"o" * 32)
OLD_KEY = SigningKeys(b"n" * 32, (b"k" * 32,))
WORD = Restored("old.snap", "2026-11-26T11:30:00Z", "c", 20, 3)


def told(hours: float, index: int) -> Manifest:
    when = NOW - timedelta(hours=hours)
    return Manifest(
        snapshot=AGENT.name(AGENT.run(when, f"{index:06x}"), index),
        taken_at=f"{when:%Y-%m-%dT%H:%M:%SZ}",
        index=index,
        term=3,
        size=3,
        sha256=f"{index:064x}",
        duration=1.0,
        cluster_id="c",
        cluster_name="",
        product="openbao",
        version="2.7.2",
        node="https://bao:8200",
        agent_version="0",
    )


async def judged(keys: SigningKeys | None, note: bytes) -> tuple[str, tuple[str, ...]]:
    """Hold a snapshot whose index went back against what is there: the alarm, and warnings."""
    signing = None if keys is None else lambda: keys
    destination = Destination("memory", MemoryStorage(), signing=signing)
    before = told(1, 500) if keys is None else keys.sign(told(1, 500))
    await destination.storage.put(before.snapshot, BytesSource(b"abc"))
    await destination.storage.put(manifest_name(before.snapshot), BytesSource(before.to_json()))
    await destination.storage.put(RESTORED_NAME, BytesSource(note))
    history = await destination.history(Instant("host", 1e6), NOW)
    found = await destination.judge_and_sign(history, told(0, 22))
    return found.alarm, found.warnings


async def test_what_is_signed_counts() -> None:
    alarm, warnings = await judged(KEYS, write_restored(WORD, KEYS))
    assert (alarm, warnings) == ("", ())
    alarm, _ = await judged(OLD_KEY, write_restored(WORD, KEYS))
    assert alarm == ""


@pytest.mark.parametrize(
    "note",
    [
        write_restored(WORD, None),
        write_restored(WORD, OTHERS),
        write_restored(WORD, KEYS).replace(b'"c"', b'"d"').replace(b"20", b"21"),
        replace(WORD, signature="all is well\n\x1b[2J").to_json(),
    ],
    ids=["unsigned", "by another key", "changed", "shouting"],
)
async def test_what_is_forged_lets_nothing_pass(note: bytes) -> None:
    alarm, warnings = await judged(KEYS, note)
    assert alarm
    (warning,) = [one for one in warnings if RESTORED_NAME in one]
    assert "is not signed with a key of this cluster" in warning
    assert warning.isprintable()


async def test_without_a_key_every_word_counts_as_before() -> None:
    for note in (write_restored(WORD, None), write_restored(WORD, OTHERS)):
        alarm, warnings = await judged(None, note)
        assert (alarm, warnings) == ("", ())


def test_a_signature_is_of_all_it_tells() -> None:
    note = Restored.from_json(write_restored(WORD, KEYS))
    assert note is not None
    assert is_believed(note, KEYS)
    for change in ({"snapshot": "x"}, {"at": "2026-11-26T11:31:00Z"}, {"cluster_id": "x"},
                   {"index": 1}, {"size": 1}, {"clock": "x"}, {"uptime": 1.0}):  # fmt: skip
        assert not is_believed(replace(note, **change), KEYS), change


async def test_a_destination_signs_the_word_it_leaves() -> None:
    destination = Destination("memory", MemoryStorage(), signing=lambda: KEYS)
    await destination.expect(WORD)
    text = b"".join([piece async for piece in destination.storage.read(RESTORED_NAME)])
    note = Restored.from_json(text)
    assert note is not None
    assert note.signature
    assert is_believed(note, KEYS)
