"""The servers a benchmark runs against, and the commands it runs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import obstore
import trustme
from obstore.store import S3Store

from bench.measure import Cost, run
from raft_snapshot_agent.servers.node_options import NodeOptions, TlsFiles
from raft_snapshot_agent.servers.openbao import OpenBaoCluster
from raft_snapshot_agent.servers.process import program
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

BUCKET = "bench"
ROOT = Path(__file__).parent.parent
_TRUST = ("VAULT_CACERT", "AWS_CA_BUNDLE")
"""Variables with the authority that the two command lines trust."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One OpenBao node and one S3 server in a folder, and a configuration for both storages."""

    folder: Path
    bao: OpenBaoCluster
    s3: SeaweedFS
    tls: TlsFiles | None = None
    """What both serve with; nothing: in clear."""

    @classmethod
    @contextmanager
    def start(cls, folder: Path) -> Iterator[Bench]:
        with _run(folder) as bench:
            yield bench

    @classmethod
    @contextmanager
    def over_tls(cls, folder: Path) -> Iterator[Bench]:
        folder.mkdir()
        files = TlsFiles(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(files.ca)
        own = authority.issue_cert("127.0.0.1")
        own.private_key_pem.write_to_path(files.key)
        for number, blob in enumerate(own.cert_chain_pems):
            blob.write_to_path(files.cert, append=number > 0)
        with _run(folder, files) as bench:
            yield bench

    @property
    def configuration(self) -> Path:
        return self.folder / "agent.json"

    @property
    def settings(self) -> dict[str, object]:
        local = {"type": "local", "path": str(self.folder / "snapshots")}
        s3 = {"type": "s3", "bucket": BUCKET, "endpoint": self.s3.endpoint}
        if self.tls:
            s3["ca_file"] = str(self.tls.ca)
        return {"storages": [local, s3], "schedule": {"every": "1h"}}

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "VAULT_ADDR": self.bao.leader().address,
            "VAULT_TOKEN": self.bao.root_token,
            **({name: str(self.tls.ca) for name in _TRUST} if self.tls else {}),
            "AWS_ACCESS_KEY_ID": self.s3.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.s3.secret_access_key,
            "AWS_DEFAULT_REGION": self.s3.region,
            "S3_ENDPOINT": self.s3.endpoint,
            "S3_BUCKET": BUCKET,
        }

    def agent(self, *arguments: str) -> Cost:
        return self.run(sys.executable, "-m", "raft_snapshot_agent", *arguments)

    def shell(self, script: str) -> Cost:
        words = {"$BAO": program("bao"), "$PYTHON": sys.executable}
        for word, path in words.items():
            script = script.replace(word, str(path))
        return self.run("/bin/sh", "-ec", script)

    def run(self, *command: str) -> Cost:
        return run(command, self.environment, self.folder)

    def clean(self) -> None:
        """Remove what a run stored, so that the next one finds the same disk and bucket."""
        for file in (*self.folder.glob("*.snap"), *self.folder.glob("snapshots/*")):
            file.unlink()
        store = S3Store(
            BUCKET,
            endpoint=self.s3.endpoint,
            access_key_id=self.s3.access_key_id,
            secret_access_key=self.s3.secret_access_key,
            client_options={"allow_http": True, "allow_invalid_certificates": True},
        )
        for page in obstore.list(store):
            obstore.delete(store, [entry["path"] for entry in page])


@contextmanager
def _run(folder: Path, tls: TlsFiles | None = None) -> Iterator[Bench]:
    options = NodeOptions(tls=tls)
    with (
        OpenBaoCluster.start(folder / "bao", options=options) as bao,
        SeaweedFS.start(folder / "s3", tls=tls) as s3,
    ):
        s3.create_bucket(BUCKET)
        bench = Bench(folder, bao, s3, tls)
        bench.configuration.write_text(json.dumps(bench.settings))
        yield bench
