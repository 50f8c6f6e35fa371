"""The runbooks of docs/disaster-recovery.md, and a host to type them at."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

from tests.cluster.command import call

from raft_snapshot_agent.servers.openbao import OpenBaoCluster, prepare_agent
from raft_snapshot_agent.servers.process import program

PAGE = (Path(__file__).parents[2] / "docs" / "disaster-recovery.md").read_text()
FENCE = re.compile(r"^ *```(sh|text)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
UNSEAL = 'for key in $KEYS; do vault operator unseal "$key" > /dev/null; done'
NONCE = 'vault operator rotate-keys -status -format=json | sed -n \'s/.*"nonce": "\\\\(.*\\\\)".*/\\\\1/p\''
ROTATE = f'for key in $KEYS; do vault operator rotate-keys -nonce="$({NONCE})" "$key"; done'
BY_MACHINE = {
    r"vault operator rotate-keys$": ROTATE,
    r"vault operator unseal -migrate$": UNSEAL.replace("unseal", "unseal -migrate", 1),
    r"vault operator unseal$": UNSEAL,
    r"^(VAULT_ADDR=\S+) (for key in .*)$": r"(\1; \2)",
    r"raft-snapshot-agent (restore|recover) ": r"raft-snapshot-agent \1 --yes ",
}
"""What somebody at a terminal does otherwise: types keys, and answers questions."""
STUB = """#!/bin/sh
while ! mkdir {folder}/busy 2>/dev/null; do sleep 0.1; done
echo "$1" > {folder}/new && mv {folder}/new {folder}/order
while [ -e {folder}/order ]; do sleep 0.1; done
rmdir {folder}/busy
"""


def blocks(heading: str, language: str) -> list[str]:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [dedent(text) for kind, text in FENCE.findall(section) if kind == language]


class Host:
    """A host with `vault`, the agent, and a `systemctl` that a test obeys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tools = folder / "tools"
        self.tools.mkdir(parents=True)
        (self.tools / "vault").symlink_to(program("bao"))
        self.orders = folder / "orders"
        self.orders.mkdir()
        (self.tools / "systemctl").write_text(STUB.format(folder=self.orders))
        (self.tools / "systemctl").chmod(0o755)
        self.variables: dict[str, str] = {}

    def configure(self, cluster: OpenBaoCluster, **more: Any) -> None:
        """Write the agent's configuration, which stands in the environment."""
        approle = prepare_agent(cluster)
        auth = {"method": "approle", "role_id": approle.role_id, "secret_id": approle.secret_id}
        (self.folder / "spool").mkdir(exist_ok=True)
        document = {
            "vault": {"address": cluster.leader().address, "auth": auth},
            "spool": str(self.folder / "spool"),
            "storages": [{"type": "local", "path": str(self.folder / "snapshots")}],
            **more,
        }
        file = self.folder / "agent.json"
        file.write_text(json.dumps(document))
        self.variables |= {
            "RAFT_SNAPSHOT_AGENT_CONFIG": str(file),
            "VAULT_ADDR": cluster.leader().address,
            "VAULT_TOKEN": cluster.root_token,
        }

    def save(self) -> str:
        """Take a snapshot as the agent does, and return its name."""
        before = {*self.folder.glob("snapshots/*.snap")}
        assert call("save", env=self.variables).code == 0
        (new,) = {*self.folder.glob("snapshots/*.snap")} - before
        return new.name

    def type(self, *scripts: str, code: int = 0, **more: str) -> str:
        """Type commands of a page, and return what was seen."""
        script = "\n".join(scripts)
        for what, other in BY_MACHINE.items():
            script = re.sub(what, other, script, flags=re.MULTILINE)
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=self.folder,
            env={
                "PATH": f"{self.tools}:{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOME": str(self.folder),
                **self.variables,
                **more,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        seen = done.stdout + done.stderr
        assert done.returncode == code, seen
        return seen


def shows(seen: str, text: str) -> None:
    """Compare what was seen with a page's lines, in which `...` stands for what differs."""
    for line in filter(None, map(str.strip, text.splitlines())):
        pattern = r"\s+".join(".*".join(map(re.escape, word.split("..."))) for word in line.split())
        assert re.search(pattern, seen), f"{line!r} is not shown in:\n{seen}"


@contextmanager
def obeyed(host: Host, deeds: Mapping[str, Callable[[], None]]) -> Iterator[None]:
    """Do what `systemctl` is told."""
    ended = threading.Event()
    order = host.orders / "order"

    def obey() -> None:
        while not ended.wait(0.05):
            if order.exists():
                deeds[order.read_text().strip()]()
                order.unlink()

    worker = threading.Thread(target=obey)
    worker.start()
    try:
        yield
    finally:
        ended.set()
        worker.join()
