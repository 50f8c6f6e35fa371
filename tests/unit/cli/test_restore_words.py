"""What an operator reads before and after a restore."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from raft_snapshot_agent.cli.restore_words import describe_end, describe_plan, describe_undo
from raft_snapshot_agent.core.snapshot_file.clear_parts import ClearParts, Seal
from raft_snapshot_agent.restore.aftermath import Aftermath
from raft_snapshot_agent.restore.members import Condition, MemberState
from raft_snapshot_agent.restore.seals import Seals
from raft_snapshot_agent.restore.target import Target
from raft_snapshot_agent.vault.answers import Identity

SAFETY: Any = SimpleNamespace(name="/tmp/safe it.snap")
SHARES, KMS = Seal("shamir", 3, 2), Seal("static", 1, 1)


def got(seal: Seal | None) -> Any:
    snapshot = SimpleNamespace(meta=SimpleNamespace(index=7))
    return SimpleNamespace(snapshot=snapshot, manifest=None, clear=ClearParts(seal=seal))


def plan(seal: Seal | None, present: str) -> str:
    node = SimpleNamespace(address="http://a")
    leader: Any = SimpleNamespace(node=node, applied_index=9, identity=Identity(seal=present))
    nobody: Any = None
    target = Target(leader, nobody, ())
    *_, force = describe_plan(got(seal), target, None, force=True)
    return force


@pytest.mark.parametrize(
    ("seal", "present", "words"),
    [
        (None, "shamir", "will seal; have the snapshot's unseal keys at hand."),
        (SHARES, "shamir", "will seal; have the snapshot's unseal keys (2 of 3) at hand."),
        (SHARES, "", "will seal; have the snapshot's unseal keys (2 of 3) at hand."),
        (SHARES, "static", "will seal, at the latest when they are restarted; have the"),
        (SHARES, "static", "(2 of 3) at hand, and remove their seal (static) from"),
        (KMS, "static", "will seal, unless they use the snapshot's seal (static) with the same"),
    ],
)
def test_what_force_needs_is_told_before_it_is_confirmed(
    seal: Seal | None, present: str, words: str
) -> None:
    said = plan(seal, present)
    assert said.startswith("--force: the servers ")
    assert words in said


@pytest.mark.parametrize(
    ("taken_at", "words"),
    [
        ("2999-01-01T00:00:00Z", "Z, dated in the future (index 7)"),
        ("2020-01-01T00:00:00Z", " old ("),
    ],
)
def test_the_age_of_what_is_restored_is_told(taken_at: str, words: str) -> None:
    snapshot = got(SHARES)
    snapshot.manifest = SimpleNamespace(taken_at=taken_at)
    leader: Any = SimpleNamespace(node=SimpleNamespace(address="a"), applied_index=9)
    leader.identity, nobody = Identity(), cast("Any", None)
    first, *_ = describe_plan(snapshot, Target(leader, nobody, ()), None, force=False)
    assert words in first


def test_nodes_that_nobody_knows_are_told() -> None:
    leader: Any = SimpleNamespace(node=SimpleNamespace(address="a"), applied_index=9)
    leader.identity, nobody = Identity(), cast("Any", None)
    for unknown in (0, 2):
        lines = [
            *describe_plan(got(SHARES), Target(leader, nobody, (), unknown), None, force=False)
        ]
        told = [one for one in lines if "2 more of the cluster's nodes are not known" in one]
        assert len(told) == (unknown > 0)


def ended(seal: Seal | None, conditions: Sequence[Condition], present: str) -> str:
    states = tuple(MemberState("http://a", one) for one in conditions)
    after = Aftermath(states, expects_seal=True, seals=Seals(seal, present))
    first, *_ = describe_end(got(seal), None, after, force=True)
    return first


@pytest.mark.parametrize(
    ("seal", "present", "conditions", "words"),
    [
        (SHARES, "shamir", [Condition.SEALED], "Restart every node, then unseal it with the keys"),
        (SHARES, "static", [Condition.SEALED], "Remove the seal (static) from the configuration"),
        (
            KMS,
            "",
            [Condition.SEALED],
            "Give every node the snapshot's seal (static) and its key in",
        ),
        (SHARES, "", [Condition.ACTIVE], "Restored and unsealed."),
        (SHARES, "", [Condition.LEADERLESS], "Restored; no node leads yet: see below."),
    ],
)
def test_the_end_says_what_opens_the_cluster(
    seal: Seal, present: str, conditions: Sequence[Condition], words: str
) -> None:
    said = ended(seal, conditions, present)
    assert words in said
    assert ("sealed now" in said) == (Condition.SEALED in conditions)


@pytest.mark.parametrize("force", [True, False])
def test_whose_logins_there_are_is_told_also_where_nothing_sealed(force: bool) -> None:
    node = SimpleNamespace(address="http://a")
    back: Any = SimpleNamespace(node=node, applied_index=9)
    after = Aftermath((MemberState("http://a", Condition.ACTIVE),), expects_seal=False)
    said = " ".join(describe_end(got(KMS), back, after, force=force))
    assert "http://a leads" in said
    assert ("Tokens and logins are those of the cluster the snapshot" in said) == force


def test_what_was_forced_is_undone_by_force() -> None:
    command = "To undo: raft-snapshot-agent restore '/tmp/safe it.snap'"
    assert describe_undo(SAFETY, None, None, force=False) == command
    forced = describe_undo(SAFETY, Path("/etc/a.yaml"), "b", force=True)
    assert forced.startswith(f"{command} --force --config /etc/a.yaml --cluster b (when the")
    assert "when the cluster is unsealed, with a token of the snapshot's cluster" in forced
