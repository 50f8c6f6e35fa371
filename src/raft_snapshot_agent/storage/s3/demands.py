"""Learns from errors what an S3 store requires."""

from __future__ import annotations

from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.error_codes import wants_checksum


class Unproved(StorageError):
    """An upload with a CRC-32 was refused, or the store did not confirm the checksum."""


class Demands:
    """Options that the store has demanded; one instance per storage."""

    def __init__(self, *, checksum: bool | None) -> None:
        """Start with the configuration.

        Arguments:
            checksum: The configured value, which is never overridden.
        """
        self._configured = checksum
        self.checksum = checksum
        """Whether to send checksums; `None` while it depends only on the store's host name."""
        self.signed = checksum is not None
        """Whether to sign every byte, also over TLS."""

    def adapt_to(self, error: StorageError) -> bool:
        """Adapt to an error of the store; return whether a retry may help."""
        if isinstance(error, Unproved):
            first, self.signed = not self.signed, True
            return first
        if self._configured is None and not self.checksum and wants_checksum(error.message):
            self.checksum = True
            return True
        return False
