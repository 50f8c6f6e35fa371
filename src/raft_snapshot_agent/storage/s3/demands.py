"""What an S3 store says it needs, found out while it is used."""

from __future__ import annotations

from collections.abc import Callable

from raft_snapshot_agent.errors import ConfigError, StorageError
from raft_snapshot_agent.storage.error_codes import wants_checksum
from raft_snapshot_agent.storage.http.http import Http, TlsOptions
from raft_snapshot_agent.storage.objectstore.errors import BARE_REDIRECT
from raft_snapshot_agent.storage.s3.bucket import S3Bucket

_REGION = "x-amz-bucket-region"


class Demands:
    """Sends what the store asks for from then on; one for each storage."""

    def __init__(self, where: Callable[[], S3Bucket], *, checksum: bool | None) -> None:
        """Begin with what is configured.

        Arguments:
            where: Finds the bucket; it is called in a thread.
            checksum: What the configuration says, which is never overruled.
        """
        self._where = where
        self._configured = checksum
        self.checksum = checksum
        """Whether to send checksums; nothing while that depends on the store's name alone."""

    def heed(self, error: StorageError) -> bool:
        """Return whether it is worth trying again, now with what the store asked for.

        Raises:
            StorageError: The same, with the region that the store names.
        """
        if BARE_REDIRECT in error.message:
            self._tell_region(error)
        if self._configured is None and not self.checksum and wants_checksum(error.message):
            self.checksum = True
            return True
        return False

    def _tell_region(self, error: StorageError) -> None:
        """Ask for the region, which stores name even to those who may do nothing.

        Source: `HeadBucket` of the S3 API; the object store library drops the header.
        """
        try:
            bucket = self._where()
            http = Http(
                bucket.timeout, TlsOptions(bucket.ca_file, bucket.skip_verify), bucket.proxy
            )
            answer = http.ask(error.message, "HEAD", bucket.url, {})
        except (ConfigError, StorageError):
            return
        if region := answer.headers.get(_REGION):
            why = f"{error.message}; {_REGION}: {region[:64]}"
            raise StorageError(why, hint=f"set region: {region[:64]}") from None
