"""What a server says to a snapshot that it does not take, and which setting to change."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raft_snapshot_agent.core.snapshot_file.clear_parts import Seal
from raft_snapshot_agent.errors import Denied, ServerError, Unreachable
from raft_snapshot_agent.restore.seals import Seals
from raft_snapshot_agent.restore.sending import Upload, explain_refusal, send

ADDRESS = "https://vault:8200"
FORCE = "use the snapshot-force API"
UNKNOWN, SHARES, KMS = Seals(), Seal("shamir", 3, 2), Seal("static", 1, 1)
SAYS = f"{ADDRESS} answers sys/storage/raft/snapshot with"


@pytest.mark.parametrize(
    ("answer", "setting"),
    [
        ("500: failed to read snapshot data: read tcp 1:2->3:4: i/o timeout", "http_read_timeout"),
        ("500: context deadline exceeded", "http_read_timeout"),
        ("408", "http_read_timeout"),
        ("413: request body too large", "max_request_size"),
        ("500: http: request body too large", "max_request_size"),
        ("504: upstream timed out", "a proxy gave up waiting"),
        ("500: write /tmp/x: no space left on device", "TMPDIR"),
        ("500: failed to create temp snapshot file: no such file", "TMPDIR"),
    ],
)
def test_a_refusal_names_the_setting(answer: str, setting: str) -> None:
    told = explain_refusal(ServerError(f"{SAYS} {answer}", hint="look"), ADDRESS, UNKNOWN)
    assert answer in told.message
    assert told.message.endswith("; nothing was changed")
    assert setting in told.hint


def test_other_keys_are_told_as_such() -> None:
    told = explain_refusal(ServerError(f"{SAYS} 400: {FORCE}"), ADDRESS, UNKNOWN)
    assert isinstance(told, Denied)
    assert "made with other unseal keys" in told.message
    assert "--force" in told.hint


@pytest.mark.parametrize("seals", [UNKNOWN, Seals(None, "static"), Seals(KMS, "static")])
def test_another_kms_key_is_no_reason_to_force_it(seals: Seals) -> None:
    said = (
        "400: possibly the snapshot is using a different autoseal key; use the snapshot-force API"
    )
    told = explain_refusal(ServerError(f"{SAYS} {said}"), ADDRESS, seals)
    assert isinstance(told, Denied)
    assert "made with another KMS key" in told.message
    assert told.message.endswith("; nothing was changed")
    assert "check that the KMS still has its key; do not use --force" in told.hint


@pytest.mark.parametrize(
    ("seals", "why", "way"),
    [
        (
            Seals(SHARES, "static"),
            "2 of 3 unseal keys open the snapshot's cluster, and the servers use the seal static",
            "remove the seal (static) from its configuration and restart it, then unseal it with",
        ),
        (
            Seals(KMS, "shamir"),
            "the seal static opens the snapshot's cluster, and the servers use unseal keys",
            "give it the snapshot's seal (static) and its key, then restart it",
        ),
        (
            Seals(KMS, "transit"),
            "the seal static opens the snapshot's cluster, and the servers use the seal transit",
            "replace the seal (transit) in its configuration by the snapshot's (static)",
        ),
    ],
)
@pytest.mark.parametrize("key", ["a different autoseal key", "another set of unseal keys"])
def test_another_kind_of_seal_is_told_as_such(seals: Seals, why: str, way: str, key: str) -> None:
    said = f"{SAYS} 400: possibly the snapshot is using {key}; {FORCE}"
    told = explain_refusal(ServerError(said), ADDRESS, seals)
    assert isinstance(told, Denied)
    assert told.message == f"{ADDRESS} refuses the snapshot: {why}; nothing was changed"
    assert "from before a seal migration" in told.hint
    assert way in told.hint


def test_what_is_not_known_stays_as_it_was() -> None:
    error = ServerError(f"{SAYS} 500: hash check failed", hint="check the server's log")
    assert explain_refusal(error, ADDRESS, UNKNOWN) is error


class Cut:
    """A connection that breaks after so many bytes."""

    def __init__(self, after: int) -> None:
        self._after = after

    def send_snapshot(self, _: Any, file: Any, *, force: bool) -> None:
        del force
        file.read(self._after)
        raise Unreachable(f"cannot reach {ADDRESS}: connection reset")


async def sent(path: Path, after: int) -> bool:
    leader: Any = SimpleNamespace(node=SimpleNamespace(address=ADDRESS))
    cluster: Any = Cut(after)
    with Upload.open(path) as upload:
        return await send(cluster, leader, upload, force=False)


async def test_a_connection_that_breaks_on_the_way_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.snap"
    path.write_bytes(b"x" * 100_000)
    with pytest.raises(Unreachable, match="after 70000 of 100000 bytes; nothing was changed"):
        await sent(path, 70_000)
    with pytest.raises(Unreachable, match="connection reset; nothing was changed"):
        await sent(path, 0)


async def test_of_one_that_breaks_in_the_end_nobody_knows(tmp_path: Path) -> None:
    path = tmp_path / "a.snap"
    path.write_bytes(b"x" * 100_000)
    assert await sent(path, 100_000) is False
