"""The seal of a snapshot's cluster beside the one that the servers have."""

from __future__ import annotations

from dataclasses import dataclass

from raft_snapshot_agent.core.snapshot_file.clear_parts import Seal

_SHAMIR = "shamir"


@dataclass(frozen=True, slots=True)
class Seals:
    """How a snapshot's cluster is unsealed, and how the servers are, each if known.

    Servers whose seal is of another kind may serve on after a forced restore: one of the same
    cluster keeps its key until it is restarted. After that it cannot be unsealed as configured.
    """

    snapshot: Seal | None = None
    present: str = ""
    """Type of the servers' seal before the restore, as `sys/seal-status` tells it."""

    @property
    def differ(self) -> bool:
        """Whether the servers need another configuration for the snapshot."""
        return self.snapshot is not None and self.present not in {"", self.snapshot.kind}

    @property
    def difference(self) -> str:
        """What opens the snapshot's cluster, and what the servers use."""
        ours = "unseal keys" if self.present == _SHAMIR else f"the seal {self.present}"
        return (
            f"{_describe_opening(self.snapshot)} the snapshot's cluster, and the servers use {ours}"
        )

    @property
    def steps(self) -> str:
        """What to do with a node, so that it can be unsealed with the snapshot's data."""
        seal = self.snapshot
        if seal is None or seal.is_shared:
            former = f"remove the seal ({self.present}) from its configuration and "
            return (
                f"{former if self.differ else ''}restart it, then unseal it with the keys of the"
                " snapshot's cluster"
            )
        if self.differ and self.present != _SHAMIR:
            return (
                f"replace the seal ({self.present}) in its configuration by the snapshot's"
                f" ({seal.kind}) with its key, then restart it"
            )
        return f"give it the snapshot's seal ({seal.kind}) and its key, then restart it"


def _describe_opening(seal: Seal | None) -> str:
    if seal is None:
        return "it is unknown what opens"
    if seal.is_shared:
        return f"{seal.threshold} of {seal.shares} unseal keys open"
    return f"the seal {seal.kind} opens"
