"""Uploads a snapshot as a blob that is visible only when it is complete.

A small snapshot is sent in one request. A larger one is sent while it grows, in several concurrent
blocks; the last block waits for verification. Uncommitted blocks are invisible; Azure drops them
after a week, and there is no request to do so earlier.

Source: "Put Block" and "Put Block List" of the Blob service's REST API.
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from dataclasses import dataclass, field, replace
from threading import Event

from raft_snapshot_agent.core.naming import snapshot_name
from raft_snapshot_agent.storage.azure.store import AzureClient, payload_of
from raft_snapshot_agent.storage.base import UploadSource
from raft_snapshot_agent.storage.http.body import StoppableSource
from raft_snapshot_agent.storage.http.bucket_client import BucketRequest
from raft_snapshot_agent.storage.http.parts import (
    read_if_small,
    require_size,
    send_parts,
    steps_of,
)


def upload(client: AzureClient, doing: str, key: str, source: UploadSource, stop: Event) -> int:
    """Store a source while it grows; set `stop` to cancel.

    Returns:
        Bytes stored, as reported by the store if that is permitted.
    """
    client, source = replace(client, stop=stop), StoppableSource(source, stop)
    name = key.rpartition("/")[2]
    plain = snapshot_name(name) != name
    if (whole := read_if_small(source)) is not None:
        sent = len(whole)
        client.put(doing, key, whole, plain=plain)
    else:
        sent = _Blocks(client, doing, key).run(source, plain=plain)
    # The bytes were checked already, against the checksum that goes with every request.
    return require_size(client, key, client.store.container.shown(key), sent)


@dataclass(frozen=True, slots=True)
class _Blocks:
    """One upload in blocks."""

    client: AzureClient
    doing: str
    key: str
    mark: str = field(default_factory=lambda: secrets.token_hex(6))
    """Random part of the block IDs, so that blocks of other uploads are not mixed in."""
    sent: list[int] = field(default_factory=list)

    def run(self, source: UploadSource, *, plain: bool) -> int:
        size = send_parts(source, self.client.stop, self._send)
        self._complete(plain=plain)
        return size

    def _send(self, number: int, part: memoryview) -> None:
        query = {"comp": "block", "blockid": self._id(number)}
        payload = payload_of(steps_of(part))
        self.client.ask(self.doing, BucketRequest("PUT", self.key, query, payload=payload))
        self.sent.append(number)

    def _complete(self, *, plain: bool) -> None:
        # "Latest" and not "Uncommitted", because the list is sent again if the answer is lost.
        listed = "".join(f"<Latest>{self._id(number)}</Latest>" for number in sorted(self.sent))
        document = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode()
        headers = {"content-type": "application/xml", **self.client.store.of_new(plain=plain)}
        query, payload = {"comp": "blocklist"}, payload_of([document])
        self.client.ask(self.doing, BucketRequest("PUT", self.key, query, headers, payload))

    def _id(self, number: int) -> str:
        """Return a block ID; all IDs of a blob must have the same length."""
        return b64encode(f"{self.mark}{number:08}".encode()).decode()
