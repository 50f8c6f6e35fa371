"""The demo's last steps: a comparison, a drill, and the recovery of one secret."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from raft_snapshot_agent.config.drill import CanarySettings, DrillSettings, UnsealSettings
from raft_snapshot_agent.demo.screen import Screen
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import VerificationError
from raft_snapshot_agent.restore import recovery
from raft_snapshot_agent.restore.examine import find_difference
from raft_snapshot_agent.restore.living_copy import LivingCopy
from raft_snapshot_agent.restore.reader import StoredReader
from raft_snapshot_agent.restore.recovery import Live
from raft_snapshot_agent.restore.rehearsal import DrillOutcome, rehearse
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.servers.key_tokens import make_root_token
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.openbao import OpenBaoCluster
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.settings import VaultSettings

CANARY, LOST = "app/canary", "app/7"
CANARY_VALUE = "a value that every good snapshot holds"
LATER = 10
"""Secrets that are written after the first snapshot."""


async def tell_changes(screen: Screen, place: Destination) -> None:
    """Tell what changed between the first snapshot and the newest; no key is needed for that."""
    with screen.step("Comparing the first snapshot with the newest") as seen:
        newest, *_, first = await place.stored()
        found = await find_difference(StoredReader(place, first), StoredReader(place, newest))
        secrets = [one for mount, one in found.mounts.items() if mount.kind == "secrets"]
        added = sum(one.added for one in secrets)
        if added < LATER:
            raise VerificationError(f"only {added} of {LATER} later secrets are in the newest")
        seen.append(
            f"between the first snapshot and the newest: {added} keys of secrets added,"
            f" {sum(one.removed for one in secrets)} removed"
        )


async def drill_and_recover(
    screen: Screen, place: Destination, cluster: OpenBaoCluster, spool: Path
) -> None:
    """Bring the newest snapshot to life, read its canary, and give one secret back."""
    keys = cluster.unseal_keys
    cluster.write_secret(LOST, {"password": "overwritten by mistake"})
    with ExitStack() as drilling:
        seen = drilling.enter_context(screen.step("Holding a drill of the newest snapshot"))

        async def go_on(outcome: DrillOutcome, copy: OpenBaoNode) -> None:
            note = outcome.note
            seen.append(f"drill of the newest snapshot passed: {note.proved}")
            drilling.close()
            await in_thread(lambda: _recover(screen, cluster, copy, keys))

        newest = (await place.stored())[0]
        settings = _settings(keys)
        reader = StoredReader(place, newest)
        now = datetime.now(UTC)
        outcome = await rehearse(reader, settings, spool, now, go_on, must_be_isolated=False)
        if outcome.error is not None:
            raise outcome.error


def _settings(keys: Sequence[str]) -> DrillSettings:
    digest = hashlib.sha256(CANARY_VALUE.encode()).hexdigest()
    canary = CanarySettings(path=f"secret/{CANARY}", field="value", sha256=digest)
    unseal = UnsealSettings(keys=tuple(Secret(key) for key in keys))
    return DrillSettings(unseal=unseal, canaries=(canary,))


def _recover(
    screen: Screen, cluster: OpenBaoCluster, copy: OpenBaoNode, keys: Sequence[str]
) -> None:
    with screen.step("Giving one secret back that was overwritten") as seen:
        found = recovery.recover_data(
            LivingCopy(copy, make_root_token(copy, keys)), f"secret/{LOST}"
        )
        address = cluster.leader().address
        live = Live(Node(address, VaultSettings(address=address)), cluster.root_token)
        where = recovery.write(live, recovery.read_present(live, found.place.path), found.data)
        password = cluster.read_secret(LOST)["password"]
        if password != found.data["password"]:
            raise VerificationError(f"{LOST} holds {password!r}")
        seen.append(f"one secret, overwritten since, recovered: {where} holds {password!r} again")
