"""Names of an attacker's making, for every command to meet."""

from __future__ import annotations

from hypothesis import strategies as st

from raft_snapshot_agent.core.snapshots.snapshot import Sidecar

_BASES = (
    "raft-snapshot-9999-12-31T23-59-59Z-2359.snap",
    "raft-snapshot-0001-01-01T00-00-00Z+2359.snap",
    "raft-snapshot-20269999T999999Z-i1.snap",
    "raft-snapshot-10000101T000000Z-i0.snap",
    "raft-snapshot-29991231T235959Z-i18446744073709551615-0a1b2c.snap",
    "raft-snapshot-20261123T153000Z-i99999999999999999999.snap",
    "raft_snapshot-9223372036854775807.snap",
    "raft_snapshot-9999999999999999999.snap",
    "raft_snapshot-0000000000000000000.snap",
    "raft-snapshot-\u0662\u0660\u0662\u0666\u0661\u0661\u0662\u0663T153000Z-i1.snap",
    "raft-snapshot-20261123T153000Z-i\u0663.snap",
    "raft-snapshot-guard.json",
    "raft-snapshot-restored.json",
    "raft-snapshot-lease.json",
    ".snap",
    ".json",
    ".snap.json",
)
_PLAIN = st.characters(exclude_characters="/\0", codec="utf-8")
_STAMPS = st.builds(
    "raft-snapshot-{:04}{:02}{:02}T{:02}{:02}{:02}Z-i{}.snap".format,
    st.integers(0, 9999),
    *(st.integers(0, 99) for _ in range(5)),
    st.integers(0, 1 << 70),
)
_FORKS = st.builds(
    "raft-snapshot-{:04}-{:02}-{:02}T{:02}-{:02}-{:02}Z{}{:04}.snap".format,
    st.integers(0, 9999),
    *(st.integers(0, 99) for _ in range(5)),
    st.sampled_from("+-"),
    st.integers(0, 9999),
)
_BARE = st.one_of(
    st.sampled_from(_BASES),
    _STAMPS,
    _FORKS,
    st.builds("raft_snapshot-{}.snap".format, st.integers(0, 10**20)),
    st.text(_PLAIN, min_size=1, max_size=30),
)
_ENDINGS = st.sampled_from(["", "", "", *Sidecar, ".partial", ".json.json", ".hold.broken"])


def _fits(name: str) -> bool:
    return name not in {".", ".."} and len(name.encode()) <= 200 and not name.endswith(".partial")


hostile_names = st.builds("{}{}".format, _BARE, _ENDINGS).filter(_fits)
"""Plain file names: undatable, at the ends of time, in other digits, notes of nothing."""
