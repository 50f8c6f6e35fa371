"""A long history of snapshots: in a folder, and in a bucket that a small server pretends to have.

`python -m bench.history PORT COUNT` is that server. It answers `ListObjectsV2` and `GET`, from
memory, so that what is measured is the agent.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from raft_snapshot_agent.core.snapshots.naming import AGENT, manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import Manifest

NEWEST = datetime(2026, 11, 26, 12, tzinfo=UTC)
BUCKET = "history"
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """One snapshot of the history: a size, and a manifest that agrees with it."""

    name: str
    size: int
    manifest: bytes


def history(count: int, newest: datetime = NEWEST) -> Iterator[Kept]:
    """Make up a snapshot an hour, newest first, of sizes as those of a cluster that is used."""
    for age in range(count):
        taken_at, index = newest - timedelta(hours=age), 10_000_000 - 10 * age
        digest = hashlib.sha256(str(age).encode()).hexdigest()
        name, size = AGENT.name(AGENT.run(taken_at, digest), index), 100_000 + int(digest[:5], 16)
        manifest = Manifest(
            snapshot=name,
            taken_at=f"{taken_at:%Y-%m-%dT%H:%M:%SZ}",
            index=index,
            term=3,
            size=size,
            sha256=digest,
            duration=1.0,
            cluster_id="6a3b1c9e-0000-4000-8000-0123456789ab",
            cluster_name="vault-cluster-0123abcd",
            product="openbao",
            version="2.7.2",
            node="https://10.0.0.1:8200",
            agent_version="0.1.0",
            clock="0f6ce8a5-0000-4000-8000-0123456789ab",
            began=1e9 - 3600 * age,
            ended=1e9 + 1 - 3600 * age,
            leading_since="2026-01-01T00:00:00Z",
        )
        yield Kept(name, size, manifest.to_json())


def fill_folder(folder: Path, count: int) -> None:
    """Write a history as sparse files: its sizes, but not its bytes."""
    folder.mkdir(parents=True)
    for one in history(count):
        with (folder / one.name).open("wb") as file:
            os.truncate(file.fileno(), one.size)
        (folder / manifest_name(one.name)).write_bytes(one.manifest)


def main() -> None:
    """Serve a bucket."""
    port, count = (int(word) for word in sys.argv[1:])
    manifests, listed = dict[str, bytes](), list[tuple[str, int]]()
    for one in history(count):
        manifests[manifest_name(one.name)] = one.manifest
        listed += [(one.name, one.size), (manifest_name(one.name), len(one.manifest))]
    listed.sort()
    pages = [_page(listed, start) for start in range(0, max(len(listed), 1), _PAGE)]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = parse_qs(url.query)
            if "list-type" in query:
                self._answer(200, pages[int(query.get("continuation-token", ["0"])[0])])
            else:
                body = manifests.get(url.path.rpartition("/")[2])
                self._answer(404 if body is None else 200, body or b"")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Last-Modified", "Thu, 26 Nov 2026 12:00:00 GMT")
            self.send_header("ETag", '"0"')
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print("ready", server.server_port, flush=True)
    server.serve_forever()


def _page(listed: list[tuple[str, int]], start: int) -> bytes:
    contents = "".join(
        f"<Contents><Key>{escape(name)}</Key><LastModified>2026-11-26T12:00:00.000Z</LastModified>"
        f"<ETag>&quot;0&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass>"
        "</Contents>"
        for name, size in listed[start : start + _PAGE]
    )
    after = start + _PAGE
    more = (
        f"<IsTruncated>true</IsTruncated><NextContinuationToken>{after // _PAGE}"
        "</NextContinuationToken>"
        if after < len(listed)
        else "<IsTruncated>false</IsTruncated>"
    )
    return f'<?xml version="1.0"?><ListBucketResult>{more}{contents}</ListBucketResult>'.encode()


if __name__ == "__main__":
    main()
