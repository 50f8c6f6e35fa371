"""Send a snapshot to the leader, with progress, and explain failures.

The server applies a snapshot only after it has received all of it. So an incomplete or refused
upload changes nothing.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from raft_snapshot_agent.errors import AgentError, Denied, ServerError, Unreachable
from raft_snapshot_agent.restore.seals import Seals
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.leader import Cluster, Leader

BY_FORCE = (
    "check that vault.address is the right cluster; --force replaces all its data, and its nodes"
    " then need the unseal keys of the snapshot's cluster"
)
_BEFORE_FORCE = (
    "if the snapshot is from this cluster, check that the KMS still has its key; do not use"
    " --force: the servers would seal, and only the KMS key of the snapshot could unseal them"
)
_OTHER_KEYS = "snapshot-force"
"""The way out that a server names where its keys do not open the snapshot."""
_UNTOUCHED = "nothing was changed"
_LISTENER = "in the listener of the servers' configuration, reload them, then restore again"
_REFUSALS = (
    (
        r"i/o timeout|deadline exceeded|timeout exceeded| with 408\b",
        f"the server gives a request 30 s by default: raise http_read_timeout {_LISTENER}",
    ),
    (
        r"too large| with 413\b",
        f"raise max_request_size {_LISTENER}; a proxy before them has its own limit",
    ),
    (
        r"max_request_duration",
        f"raise max_request_duration {_LISTENER}",
    ),
    (
        r" with 50[24]\b",
        "likely a proxy gave up waiting: raise its time-out, or give the nodes' own addresses",
    ),
    (
        r"no space left|disk quota",
        "the server needs twice the snapshot's state in its TMPDIR and in its data folder",
    ),
    (r"failed to create temp snapshot file", "the server's TMPDIR must exist and be writable"),
)
"""Errors of servers and proxies, and the setting to change.

Source: trials with OpenBao, and `physical/raft/snapshot` there.
"""


class Upload:
    """The file of a verified snapshot, during its upload."""

    def __init__(self, file: io.BufferedReader, size: int) -> None:
        self.file = file
        self.size = size
        self._reached = 0

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open it; closing it aborts a running upload.

        Raises:
            AgentError: It cannot be read.
        """
        try:
            file = path.open("rb")
        except OSError as error:
            raise AgentError(f"cannot read {path}: {error.strerror}") from error
        with file:
            yield cls(file, path.stat().st_size)

    @property
    def sent(self) -> int:
        """Bytes passed to the connection so far."""
        if not self.file.closed:
            self._reached = self.file.tell()
        return self._reached

    @property
    def is_whole(self) -> bool:
        """Whether the server may have received all of it."""
        return self.sent >= self.size


async def send(
    cluster: Cluster, leader: Leader, upload: Upload, *, force: bool, seals: Seals | None = None
) -> bool:
    """Send a snapshot to the leader; `seals`, if known, explain a refusal.

    Returns:
        Whether the server confirmed it; if not, the result is unknown.

    Raises:
        ServerError: The upload failed and nothing was changed.
    """
    try:
        await in_thread(
            lambda: cluster.send_snapshot(leader, upload.file, force=force), abandon=True
        )
    except Unreachable as error:
        if upload.is_whole:
            return False
        raise _explain_cut(error, upload) from error
    except ServerError as error:
        raise explain_refusal(error, leader.node.address, seals or Seals()) from error
    except (OSError, ValueError) as error:  # the file was closed by a cancellation
        raise AgentError(f"the snapshot cannot be read any more: {error}") from error
    return True


def explain_refusal(error: ServerError, address: str, seals: Seals) -> ServerError:
    """Explain why a server refused a snapshot, and which setting to change."""
    if _OTHER_KEYS in error.message and seals.differ:
        return Denied(
            f"{address} refuses the snapshot: {seals.difference}; {_UNTOUCHED}",
            hint="it is of another cluster, or from before a seal migration: check that"
            " vault.address is the right cluster; --force replaces all its data, then for each"
            f" node: {seals.steps}",
        )
    if "autoseal" in error.message:  # also if the key is right, but the KMS has lost it
        return Denied(
            f"{address} refuses the snapshot: it was made with another KMS key than the servers can"
            f" use now; {_UNTOUCHED}",
            hint=_BEFORE_FORCE,
        )
    if _OTHER_KEYS in error.message:
        return Denied(
            f"{address} refuses the snapshot: it was made with other unseal keys", hint=BY_FORCE
        )
    for words, hint in _REFUSALS:
        if re.search(words, error.message, re.IGNORECASE):
            return type(error)(f"{error.message}; {_UNTOUCHED}", hint=hint)
    return error


def _explain_cut(error: Unreachable, upload: Upload) -> Unreachable:
    if not upload.sent:
        return Unreachable(f"{error.message}; {_UNTOUCHED}", hint=error.hint)
    return Unreachable(
        f"{error.message}, after {upload.sent} of {upload.size} bytes; {_UNTOUCHED}",
        hint=f"restore again; if it took 30 s or more, raise http_read_timeout {_LISTENER}",
    )
