"""An S3 store on loopback: SeaweedFS, all in one process."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import urllib3

from raft_snapshot_agent.errors import ServerError
from raft_snapshot_agent.servers.node_options import TlsFiles
from raft_snapshot_agent.servers.process import (
    LOOPBACK,
    ServerProcess,
    free_ports,
    program,
    release_ports,
    until,
)

_PATIENCE = 60.0
_ROLES = ("master", "volume", "filer", "s3", "admin")
_TWIN = 10_000  # each role's gRPC port
_EVERYTHING = ("Admin", "Read", "Write", "List", "Tagging")


@dataclass(frozen=True, slots=True)
class S3Identity:
    """A user with S3 keys."""

    name: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    actions: tuple[str, ...] = _EVERYTHING
    """SeaweedFS's actions: Admin, Read, List, Tagging, Write (which includes deleting), each also
    for one bucket, as `Write:bucket`."""

    @classmethod
    def fresh(cls, name: str, *actions: str) -> Self:
        """Make an identity with random keys; without `actions`, it may do everything."""
        keys = secrets.token_hex(10).upper(), secrets.token_urlsafe(30)
        return cls(name, *keys, actions or _EVERYTHING)

    def document(self) -> dict[str, object]:
        """Return the identity as in SeaweedFS's configuration."""
        keys = {"accessKey": self.access_key_id, "secretKey": self.secret_access_key}
        return {"name": self.name, "credentials": [keys], "actions": list(self.actions)}


class SeaweedFS:
    """A running store whose S3 endpoint demands signatures."""

    region = "us-east-1"

    def __init__(
        self, folder: Path, identities: tuple[S3Identity, ...] = (), tls: TlsFiles | None = None
    ) -> None:
        self.folder = folder
        self._tls = tls
        self.owner = S3Identity.fresh("owner")
        self.identities = (self.owner, *identities)
        weed = program("weed")
        self.ports = dict(zip(_ROLES, free_ports(len(_ROLES)), strict=True))
        self.endpoint = f"{'https' if tls else 'http'}://{LOOPBACK}:{self.ports['s3']}"
        self._filer = f"http://{LOOPBACK}:{self.ports['filer']}"
        self._pool = urllib3.PoolManager(ca_certs=str(tls.ca) if tls else None)
        self.process = ServerProcess(
            "seaweedfs",
            [weed, "mini", *self._arguments()],
            folder / "server.log",
            _environment(folder),
        )

    @classmethod
    def start(
        cls, folder: Path, identities: tuple[S3Identity, ...] = (), tls: TlsFiles | None = None
    ) -> Self:
        """Start a store and wait until it accepts objects; use it as a context manager.

        Its data is in `folder`, which is not removed afterwards. The `identities` are users in
        addition to the owner. Without `tls`, its S3 endpoint is served in clear.

        Raises:
            ServerError: It does not start.
            ConfigError: SeaweedFS is not installed.
        """
        store = cls(folder, identities, tls)
        try:
            store._launch()
            until(store._writable, "SeaweedFS takes objects", within=_PATIENCE)
        except BaseException:
            store.stop()
            raise
        return store

    @property
    def access_key_id(self) -> str:
        """The owner's."""
        return self.owner.access_key_id

    @property
    def secret_access_key(self) -> str:
        """The owner's."""
        return self.owner.secret_access_key

    def create_bucket(self, name: str) -> None:
        """Create an empty bucket; names are 3 to 63 characters, as in S3."""
        if not 3 <= len(name) <= 63:
            raise ServerError(f"a bucket's name has 3 to 63 characters, {name} has not")
        status = self._ask("POST", f"{self._filer}/buckets/{name}/")
        if status != 201:
            raise ServerError(f"SeaweedFS did not create the bucket {name}: status {status}")

    def stop(self) -> None:
        """Kill it and release its ports; the folder is kept."""
        self.process.kill()
        self._pool.clear()
        release_ports(self.ports.values())
        # It creates its sockets there, whatever TMPDIR is.
        for port in self.ports.values():
            for number in (port, port + _TWIN):
                for left in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):  # noqa: S108
                    left.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _launch(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        identities = [identity.document() for identity in self.identities]
        (self.folder / "identities.json").write_text(json.dumps({"identities": identities}))
        self.process.start()

    def _arguments(self) -> list[str]:
        ports = [f"-{role}.port={port}" for role, port in self.ports.items()]
        tls = self._tls
        files = [f"-s3.cert.file={tls.cert}", f"-s3.key.file={tls.key}"] if tls else []
        return [
            f"-dir={self.folder}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            *ports,
            *files,
            f"-s3.config={self.folder / 'identities.json'}",
            # Like S3, refuse an upload to a missing bucket.
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
            # Every bucket needs its own volumes; without a free one, uploads fail with 500 forever.
            "-volume.max=5000",
            "-master.volumeSizeLimitMB=1024",
            "-master.volumePreallocate=false",
        ]

    def _writable(self) -> bool:
        """Whether the S3 endpoint answers and a volume accepts data."""
        self.process.check()
        if self._ask("GET", self.endpoint) != 403:
            return False
        # The filer stores small values itself; this one must go to a volume.
        return self._ask("PUT", f"{self._filer}/ready", bytes(1_000_000)) == 201

    def _ask(self, method: str, url: str, body: bytes | None = None) -> int:
        """Return the status of the answer; 0 without an answer."""
        # Not on an idle connection: the server may close it just then, and a POST is not repeated.
        once = {"connection": "close"}
        try:
            answer = self._pool.request(
                method, url, body=body, headers=once, timeout=10.0, retries=2
            )
        except urllib3.exceptions.HTTPError:
            return 0
        return answer.status


def _environment(folder: Path) -> dict[str, str]:
    # A soft limit; without it the process keeps a gigabyte after a large upload.
    memory = {"GOMEMLIMIT": "600MiB"}
    return {"PATH": "/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder), **memory}
