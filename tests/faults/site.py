"""One agent's surroundings: what it is told, what it does, and a look behind its back."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Self
from unittest import mock

import boto3
import pytest
from tests.leaks import WATCH
from tests.lying import LyingProxy
from tests.processes.command import Command

from raft_snapshot_agent.__main__ import main
from raft_snapshot_agent.backup.agent import Agent
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.core.snapshot_file.archive import ArchiveVerifier
from raft_snapshot_agent.core.snapshots.naming import catalogue, manifest_name, parse
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Snapshot
from raft_snapshot_agent.observe.logs import Log
from raft_snapshot_agent.servers.openbao import AppRole
from raft_snapshot_agent.servers.process import program, until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS
from raft_snapshot_agent.service.active_cluster import ActiveCluster
from raft_snapshot_agent.service.daemon import ActiveConfig, Daemon

AGENT = "raft-snapshot-agent"
PREFIX = "prod/"
_LEVEL = re.compile(r"\S+Z (\w+) ")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended, and what it said."""

    code: int
    said: str

    def of_level(self, *levels: str) -> list[str]:
        """The lines of the log that have one of these levels."""
        found = ((_LEVEL.match(line), line) for line in self.said.splitlines())
        return [line for match, line in found if match and match[1] in levels]

    @property
    def only_error(self) -> str:
        """The one line that tells of the failure: no other, no warning and no traceback."""
        bare = [line for line in self.said.splitlines() if not _LEVEL.match(line)]
        told = [*self.of_level("warning", "error"), *bare]
        assert len(told) == 1, self.said
        return told[0]


class Site:
    """A folder and a bucket to store in, and a spool."""

    def __init__(self, root: Path, seaweed: SeaweedFS, bucket: str, approle: AppRole) -> None:
        self.root = root
        self.folder = root / "snapshots"
        self.spool = root / "spool"
        self.spool.mkdir()
        self.folder.mkdir()
        self.seaweed = seaweed
        self.bucket = bucket
        auth = {"role_id": approle.role_id, "secret_id": approle.secret_id}
        self.vault: dict[str, Any] = {"auth": {"method": "approle", **auth}}
        self.local: dict[str, Any] = {"type": "local", "path": str(self.folder)}
        self.s3: dict[str, Any] = {
            "type": "s3",
            "bucket": bucket,
            "prefix": PREFIX,
            "endpoint": seaweed.endpoint,
            "region": seaweed.region,
            "access_key_id": seaweed.access_key_id,
            "secret_access_key": seaweed.secret_access_key,
            "timeout": "20s",
        }
        self.more: dict[str, Any] = {}
        self.server: LyingProxy | None = None
        self.enter: tuple[str, ...] = ()
        """What a command begins with that is to run on a host of its own."""

    # What the agent is told, and what it does.

    def configuration(self, name: str = "agent.yaml") -> Path:
        """Write the configuration as it is now."""
        document = {
            "vault": self.vault,
            "spool": str(self.spool),
            "storages": [self.local, self.s3],
            **self.more,
        }
        path = self.root / name
        text = json.dumps(document, indent=2)
        if not path.exists() or path.read_text() != text:  # a daemon takes new files for new orders
            path.write_text(text)
        return path

    def behind(self, server: LyingProxy) -> None:
        """Take this for the server."""
        self.server = server
        self.vault["address"] = server.address

    def run_once(self, *options: str) -> Ending:
        """`run --once`, in this process; no secret is in what it says."""
        ending = in_process("run", "--once", "-c", str(self.configuration()), *options)
        assert not [secret for secret in self._secrets() if secret in ending.said]
        return ending

    def fails(self, code: int, words: str) -> Ending:
        """Run once: it fails with one line that has these words, and nothing of it stays."""
        before = self.names()
        ending = self.run_once()
        assert ending.code == code, ending.said
        assert words in ending.only_error, ending.only_error
        assert self.names() == before
        assert self.leftovers() == []
        return ending

    def succeeds(self) -> Ending:
        """Run once: both places get one more snapshot, whole, and nothing else stays."""
        before = self.names()
        ending = self.run_once()
        assert ending.code == 0, ending.said
        assert ending.of_level("warning", "error") == []
        for old, new in zip(before, self.names(), strict=True):
            assert len(new) == len(old) + 1
        assert self.leftovers() == []
        return ending

    def fails_partly(self, storage: str, words: str) -> Ending:
        """Run once: `storage` gets nothing, one line with these words says why, the other does."""
        before = self.names()
        ending = self.run_once()
        assert ending.code == 3, ending.said
        assert f"Could not store the snapshot in {storage}: " in ending.only_error
        assert words in ending.only_error, ending.only_error
        grown = [len(new) - len(old) for old, new in zip(before, self.names(), strict=True)]
        assert grown == ([1, 0] if storage == "s3" else [0, 1])
        assert self.leftovers() == []
        return ending

    def command(self, *arguments: str) -> Running:
        """Start the real command with this configuration; use it as a context manager."""
        agent = program(AGENT) if self.enter else AGENT
        words = [agent, *arguments, "-c", str(self.configuration())]
        return Running(self.root, [*self.enter, *words])

    @contextmanager
    def piped(self, *arguments: str) -> Iterator[tuple[Running, IO[bytes]]]:
        """Start the real command with its standard output in a pipe."""
        reader, writer = os.pipe()
        words = [AGENT, *arguments, "-c", str(self.configuration())]
        with os.fdopen(reader, "rb", buffering=0) as pipe, Running(self.root, words, writer) as one:
            os.close(writer)
            yield one, pipe

    # Behind its back.

    @cached_property
    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.seaweed.endpoint,
            region_name=self.seaweed.region,
            aws_access_key_id=self.seaweed.access_key_id,
            aws_secret_access_key=self.seaweed.secret_access_key,
        )

    def stored(self) -> tuple[dict[str, Snapshot], dict[str, Snapshot]]:
        """What lies under a snapshot's name in the folder and in the bucket, proved whole."""
        return proved(self.files()), proved(self.objects())

    def names(self) -> tuple[list[str], list[str]]:
        """The names of what is stored, in the folder and in the bucket, proved whole."""
        local, remote = self.stored()
        return oldest_first(local), oldest_first(remote)

    def files(self) -> dict[str, bytes]:
        found = {}
        for path in self.folder.iterdir():
            # Renamed or deleted since it was listed, or a lease's folder.
            with suppress(FileNotFoundError, IsADirectoryError):
                found[path.name] = path.read_bytes()
        return found

    def objects(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for key in self.keys():
            with suppress(self.client.exceptions.NoSuchKey):  # a probe of a lease comes and goes
                found[key.removeprefix(PREFIX)] = self._object(key)
        return found

    def keys(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def leftovers(self) -> list[str]:
        """Spools, temporary files and unfinished uploads."""
        hidden = [path.name for path in self.folder.iterdir() if path.name.startswith(".")]
        spools = [path.name for path in self.spool.iterdir()]
        return [*spools, *hidden, *self.pending_uploads()]

    def pending_uploads(self) -> list[str]:
        answer = self.client.list_multipart_uploads(Bucket=self.bucket)
        return [upload["Key"] for upload in answer.get("Uploads", ())]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def _object(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def _secrets(self) -> Iterable[str]:
        if "://" not in self.s3["secret_access_key"]:
            yield self.s3["secret_access_key"]
        yield self.seaweed.secret_access_key
        yield from (
            self.vault["auth"][key] for key in ("secret_id", "token") if key in self.vault["auth"]
        )
        for request in self.server.requests if self.server else ():
            if token := request.headers["X-Vault-Token"]:
                yield token


class Running:
    """A command in a process of its own; it is killed in the end."""

    def __init__(self, folder: Path, command: list[str], stdout: int | None = None) -> None:
        self.log = folder / f"command-{len(list(folder.glob('command-*')))}.log"
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        self.process: Command | subprocess.Popen[bytes]
        with self.log.open("wb") as log:
            if command[0] == AGENT:
                written = log.fileno() if stdout is None else stdout
                self.process = Command(
                    command[1:], env=environment, stdout=written, stderr=log.fileno()
                )
            else:  # the seed's, or one that begins with what enters another host
                self.process = subprocess.Popen(
                    [program(command[0]), *command[1:]],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        WATCH.read(self.said)

    @property
    def said(self) -> str:
        return self.log.read_text()

    def says(self, words: str, within: float = 90) -> None:
        """Wait for words in its log."""
        until(lambda: words in self.said, f"it says {words!r}", within=within)

    def ended(self, within: float = 90) -> Ending:
        """Wait for its end."""
        return Ending(self.process.wait(within), self.said)


def oldest_first(names: Iterable[str]) -> list[str]:
    """The snapshots of these names in their order: within a second, i1004 is after i996."""
    return [one.name for one in reversed(catalogue((name, 1) for name in names))]


def alone(agent: Agent, config: Config, log: Log) -> Daemon:
    """Make a daemon of one agent, whose configuration never changes."""
    return Daemon(ActiveConfig({"": ActiveCluster(agent, config.schedule.open(), log)}, log))


def in_process(*arguments: str) -> Ending:
    """Run the command in this process."""
    said = io.StringIO()
    with (
        redirect_stdout(said),
        redirect_stderr(said),
        mock.patch.object(sys, "argv", [AGENT, *arguments]),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    assert isinstance(ended.value.code, int)
    return Ending(ended.value.code, said.getvalue())


def proved(files: Mapping[str, bytes]) -> dict[str, Snapshot]:
    """Prove everything under a snapshot's name whole, and each manifest that of a snapshot."""
    found = {}
    names = set(filter(parse, files))
    assert {name for name in files if name.endswith(".snap.json")} <= set(map(manifest_name, names))
    for name in names:
        verifier = ArchiveVerifier()
        verifier.feed(files[name])
        snapshot = found[name] = verifier.finish()
        if beside := files.get(manifest_name(name)):
            manifest = Manifest.from_json(beside)
            assert (manifest.sha256, manifest.size) == (snapshot.sha256, snapshot.size)
            assert (manifest.index, manifest.term) == (snapshot.meta.index, snapshot.meta.term)
    return found
