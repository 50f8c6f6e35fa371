"""Follow each node after a restore, until its state is final."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from raft_snapshot_agent.errors import PartialFailure
from raft_snapshot_agent.restore.members import Condition, Members, MemberState, follow
from raft_snapshot_agent.restore.seals import Seals
from raft_snapshot_agent.restore.unsealing import Unsealer
from raft_snapshot_agent.vault.leader import Leader

_SEAL_WITHIN = 30.0
"""Seconds after the leader within which other nodes seal themselves; non-voters do not."""

_SEE_ABOVE = "see the instructions for each node above"


@dataclass(frozen=True, slots=True)
class Aftermath:
    """The states of a cluster's nodes after a restore."""

    states: tuple[MemberState, ...]
    expects_seal: bool
    """Whether the nodes were expected to seal themselves."""
    seals: Seals = field(default_factory=Seals)
    unsealer: Unsealer | None = None

    @property
    def is_served(self) -> bool:
        """Whether a node leads."""
        return any(one.condition is Condition.ACTIVE for one in self.states)

    @property
    def has_sealed(self) -> bool:
        """Whether a node is sealed."""
        return any(one.condition is Condition.SEALED for one in self.states)

    @property
    def troubled(self) -> tuple[MemberState, ...]:
        """Nodes that are not in the expected state."""
        if self.expects_seal and self.unsealer is None:
            return ()
        return tuple(one for one in self.states if not one.is_serving)

    def require_all_well(self) -> None:
        """Require every node in the expected state, and able to be restarted.

        Raises:
            PartialFailure: One is not.
        """
        if self.troubled:
            names = ", ".join(f"{one.address} ({one.condition})" for one in self.troubled)
            raise PartialFailure(
                f"the snapshot is restored, but not every node is back: {names}", hint=_SEE_ABOVE
            )
        if self.seals.differ and self.is_served:
            raise PartialFailure(
                "the snapshot is restored, but as they are configured, the nodes cannot be unsealed"
                f" after a restart: {self.seals.difference}",
                hint=_SEE_ABOVE,
            )

    def next_step(self, state: MemberState) -> str:
        """Return what an operator must do with a node now."""
        match state.condition:
            case Condition.ACTIVE | Condition.STANDBY | Condition.LEADERLESS if (
                self.expects_seal and self.unsealer is None
            ):
                return f"it did not seal itself and may serve a mixture: {self.seals.steps}"
            case Condition.ACTIVE | Condition.STANDBY if self.seals.differ:
                return f"its seal is not the snapshot's: {self.seals.steps}"
            case Condition.ACTIVE | Condition.STANDBY:
                return "nothing to do"
            case Condition.BEHIND:
                return "it gets the snapshot from the leader by itself; check its log"
            case Condition.LEADERLESS:
                return "it waits for a leader: check that a majority of the nodes is unsealed"
            case Condition.SEALED:
                return self._explain_seal(state)
            case Condition.EMPTY:
                return "let it join the cluster"
            case Condition.SILENT:
                return "start it, and check its log; then unseal it"

    def _explain_seal(self, state: MemberState) -> str:
        if self.unsealer is not None and (why := self.unsealer.failures.get(state.address)):
            return f"{why}; unseal it with the keys of the snapshot's cluster"
        if not (self.expects_seal or self.seals.differ):
            return "unseal it"
        return self.seals.steps


async def follow_members(
    members: Members,
    back: Leader | None,
    seals: Seals,
    unsealer: Unsealer | None,
    patience: float,
    tell: Callable[[str], None],
) -> Aftermath:
    """Follow nodes until each is active, standby or finally sealed, and unseal sealed ones.

    Until a node is active, standbys tell of the leader that the snapshot knows.

    Arguments:
        members: The nodes that answered before the restore.
        back: The leader after the restore; `None` if it sealed itself.
        seals: The snapshot's seal, and the nodes' own.
        unsealer: Has the unseal keys, if any.
        patience: Seconds.
        tell: Called with what an operator has to do.
    """
    if back is None and unsealer is None:
        patience = min(patience, _SEAL_WITHIN)
    following = _Following(members, back, seals, unsealer, tell)
    states = await follow(members, following.are_settled, patience, following.unseal)
    seen = tuple(map(following.compare, states))
    if not _have_leader(seen):
        seen = tuple(one.without_leader() for one in seen)
    return Aftermath(seen, back is None, seals, unsealer)


@dataclass(slots=True)
class _Following:
    """What was seen of the nodes so far."""

    members: Members
    back: Leader | None
    seals: Seals
    unsealer: Unsealer | None
    tell: Callable[[str], None]
    sealed: set[str] = field(default_factory=set)
    """The nodes that were ever sealed."""
    told: set[str] = field(default_factory=set)
    """The nodes of which it was told that they must be restarted."""

    def unseal(self, states: Sequence[MemberState]) -> None:
        """Unseal sealed nodes with the keys, if any."""
        self.sealed.update(one.address for one in states if one.condition is Condition.SEALED)
        if self.unsealer is None:
            return
        for node, state in zip(self.members.nodes, states, strict=True):
            if self.unsealer.offer(node, state):
                self.tell(f"{node.address} is unsealed.")
        for address in sorted(self.unsealer.waiting - self.told):
            self.told.add(address)
            still = "expects the keys it had before: restart it now"
            if self.seals.differ:
                seal = self.seals.present
                still = f"has the seal {seal}: remove it from its configuration and restart it now"
            self.tell(f"{address} still {still}; then it is unsealed by itself.")

    def are_settled(self, states: Sequence[MemberState]) -> bool:
        """Whether nothing more is to be expected of any node."""
        return all(map(self._is_final, states)) and _have_leader(states)

    def compare(self, state: MemberState) -> MemberState:
        """Return the state, compared with what the leader had applied."""
        return state.compare_with(0 if self.back is None else self.back.applied_index)

    def _is_final(self, state: MemberState) -> bool:
        if state.condition is Condition.EMPTY:
            return True
        if state.condition is Condition.SEALED:
            return self.unsealer is None or state.address in self.unsealer.failures
        # Until it seals itself, a node serves its old data.
        may_serve = self.back is not None or state.address in self.sealed
        return may_serve and self.compare(state).is_serving


def _have_leader(states: Sequence[MemberState]) -> bool:
    """Return whether a node leads, or none is open that needs a leader."""
    conditions = {one.condition for one in states}
    return Condition.ACTIVE in conditions or Condition.STANDBY not in conditions
