"""What an S3 store says it needs, found out while it is used."""

from __future__ import annotations

from raft_snapshot_agent.errors import StorageError
from raft_snapshot_agent.storage.error_codes import wants_checksum


class Unproved(StorageError):
    """What was sent with a CRC-32 was refused, or the store did not say that it checked it."""


class Demands:
    """Sends what the store asks for from then on; one for each storage."""

    def __init__(self, *, checksum: bool | None) -> None:
        """Begin with what is configured.

        Arguments:
            checksum: What the configuration says, which is never overruled.
        """
        self._configured = checksum
        self.checksum = checksum
        """Whether to send checksums; nothing while that depends on the store's name alone."""
        self.signed = checksum is not None
        """Whether to sign every byte, also over TLS."""

    def heed(self, error: StorageError) -> bool:
        """Return whether it is worth trying again, now with what the store asked for."""
        if isinstance(error, Unproved):
            first, self.signed = not self.signed, True
            return first
        if self._configured is None and not self.checksum and wants_checksum(error.message):
            self.checksum = True
            return True
        return False
