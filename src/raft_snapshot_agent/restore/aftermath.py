"""Follow each node after a restore, until its state is final."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from raft_snapshot_agent.restore.members import Condition, Members, MemberState, follow
from raft_snapshot_agent.restore.unsealing import Unsealer
from raft_snapshot_agent.vault.leader import Leader

_SEAL_WITHIN = 30.0
"""Seconds after the leader within which other nodes seal themselves; non-voters do not."""


@dataclass(frozen=True, slots=True)
class Aftermath:
    """The states of a cluster's nodes after a restore."""

    states: tuple[MemberState, ...]
    is_sealed: bool
    """Whether the nodes were expected to seal themselves."""
    unsealer: Unsealer | None = None

    @property
    def is_served(self) -> bool:
        """Whether a node leads."""
        return any(one.condition is Condition.ACTIVE for one in self.states)

    @property
    def troubled(self) -> tuple[MemberState, ...]:
        """Nodes that are not in the expected state."""
        if self.is_sealed and self.unsealer is None:
            return ()
        return tuple(one for one in self.states if not one.is_serving)

    def next_step(self, state: MemberState) -> str:
        """Return what an operator must do with a node now."""
        match state.condition:
            case Condition.ACTIVE | Condition.STANDBY if self.is_sealed and self.unsealer is None:
                return "it did not seal itself and may serve a mixture: restart it, then unseal it"
            case Condition.ACTIVE | Condition.STANDBY:
                return "nothing to do"
            case Condition.BEHIND:
                return "it gets the snapshot from the leader by itself; check its log"
            case Condition.LEADERLESS:
                return "it waits for a majority: check the other nodes"
            case Condition.SEALED:
                return self._explain_seal(state)
            case Condition.EMPTY:
                return "let it join the cluster"
            case Condition.SILENT:
                return "start it, and check its log; then unseal it"

    def _explain_seal(self, state: MemberState) -> str:
        if self.unsealer is not None and (why := self.unsealer.failures.get(state.address)):
            return f"{why}; unseal it with the keys of the snapshot's cluster"
        if self.is_sealed:
            return "restart it, then unseal it with the keys of the snapshot's cluster"
        return "unseal it"


async def follow_members(
    members: Members,
    back: Leader | None,
    unsealer: Unsealer | None,
    patience: float,
    tell: Callable[[str], None],
) -> Aftermath:
    """Follow nodes until each is active, standby or finally sealed, and unseal sealed ones.

    Arguments:
        members: The nodes that answered before the restore.
        back: The leader after the restore; `None` if it sealed itself.
        unsealer: Has the unseal keys, if any.
        patience: Seconds.
        tell: Called with what an operator has to do.
    """
    index = 0 if back is None else back.applied_index
    sealed: set[str] = set()
    told: set[str] = set()

    def see_to(states: Sequence[MemberState]) -> None:
        sealed.update(one.address for one in states if one.condition is Condition.SEALED)
        if unsealer is None:
            return
        for node, state in zip(members.nodes, states, strict=True):
            if unsealer.offer(node, state):
                tell(f"{node.address} is unsealed.")
        for address in sorted(unsealer.waiting - told):
            told.add(address)
            tell(
                f"{address} still expects the keys it had before: restart it now; then it is"
                " unsealed by itself."
            )

    def settled(state: MemberState) -> bool:
        if state.condition is Condition.EMPTY:
            return True
        if state.condition is Condition.SEALED:
            return unsealer is None or state.address in unsealer.failures
        # Until it seals itself, a node serves its old data.
        may_serve = back is not None or state.address in sealed
        return may_serve and state.compare_with(index).is_serving

    if back is None and unsealer is None:
        patience = min(patience, _SEAL_WITHIN)
    states = await follow(members, settled, patience, see_to)
    seen = tuple(one.compare_with(index) for one in states)
    return Aftermath(seen, back is None, unsealer)
