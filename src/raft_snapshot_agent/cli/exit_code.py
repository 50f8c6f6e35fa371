"""One exit code for several failures."""

from __future__ import annotations

from collections.abc import Sequence

from raft_snapshot_agent.errors import PartialFailure, RetentionSuspended


def worst(codes: Sequence[int], asked: int) -> int:
    """Reduce failures to one exit code: first a broken snapshot, then partial, then unreachable.

    An alarm counts only if nothing else failed.
    """
    failed = [code for code in codes if code != RetentionSuspended.exit_code]
    worst = max(failed or codes, default=0)
    if 0 < len(failed) < asked:
        return max(worst, PartialFailure.exit_code)
    return worst
