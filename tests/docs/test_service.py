"""The README's "As a service", pasted line by line on a host of its own; systemd apart."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from raft_snapshot_agent.servers.node_options import NodeOptions, TlsFiles
from raft_snapshot_agent.servers.openbao import OpenBaoCluster
from raft_snapshot_agent.servers.process import program

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "contrib" / "systemd" / "raft-snapshot-agent.service"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
ADMIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

HOST = r"""
set -eu
mount -t tmpfs tmpfs "$SCRATCH"
for folder in etc opt usr/local var; do
  mkdir -p "$SCRATCH/$folder/new" "$SCRATCH/$folder/work"
  mount -t overlay overlay -o \
    "lowerdir=/$folder,upperdir=$SCRATCH/$folder/new,workdir=$SCRATCH/$folder/work" "/$folder"
done
mkdir -p /etc/vault.d
install -m 0600 "$CA" /etc/vault.d/ca.pem
umask 077  # as on hardened hosts
"""
DAEMON = r"""
service() { runuser -u raft-snapshot-agent -- env -i PATH="$PATH" "$@"; }
install -d -m 0700 -o raft-snapshot-agent -g raft-snapshot-agent /var/cache/raft-snapshot-agent
service CACHE_DIRECTORY=/var/cache/raft-snapshot-agent $EXEC_START &
for _ in $(seq 600); do
  set -- /var/backups/vault/*.snap.json
  [ -e "$1" ] && break
  sleep 0.1
done
stat --format '%U %a %n' /var/backups/vault/*
kill %1
"""
HARDENED = "umask 077  # as in a new shell of a hardened host"
RESTORE = r"""
runuser -u raft-snapshot-agent -- raft-snapshot-agent restore --latest --yes
"""


def pasted() -> list[str]:
    """The section's blocks, in their order."""
    text = (ROOT / "README.md").read_text()
    section = text.partition("## As a service\n")[2].partition("\n## ")[0]
    return BLOCK.findall(section)


def upgrade() -> str:
    """The block of docs/operating.md that upgrades what the section installed."""
    text = (ROOT / "docs" / "operating.md").read_text()
    found: list[str] = BLOCK.findall(text.partition("## Upgrading\n")[2])
    return found[0]


def said(unit: str) -> dict[str, str]:
    """What a unit sets; of what stands twice the last."""
    return dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))


@pytest.fixture
def bao(start_bao: Callable[..., OpenBaoCluster], tmp_path: Path) -> OpenBaoCluster:
    """A server with a certificate of an authority of its own."""
    authority, folder = trustme.CA(), tmp_path / "tls"
    folder.mkdir()
    server = authority.issue_cert("127.0.0.1")
    files = TlsFiles(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    authority.cert_pem.write_to_path(files.ca)
    server.cert_chain_pems[0].write_to_path(files.cert)
    server.private_key_pem.write_to_path(files.key)
    return start_bao(options=NodeOptions(tls=files))


def tools(folder: Path) -> Path:
    """A folder with `vault`, and a `systemctl` that obeys in silence."""
    folder.mkdir()
    (folder / "vault").symlink_to(program("bao"))
    (folder / "systemctl").write_text('#!/bin/sh\necho "systemctl $*"\n')
    (folder / "systemctl").chmod(0o755)
    return folder


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_the_section_works_when_it_is_pasted(bao: OpenBaoCluster, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    node = bao.leader()
    tls = node.options.tls
    assert tls is not None
    folders = tools(tmp_path / "tools")
    *setup, by_hand = pasted()
    blocks = [HOST, *setup, HARDENED, upgrade(), DAEMON, by_hand, RESTORE]
    script = "\n".join(blocks).replace("https://127.0.0.1:8200", node.address)

    done = subprocess.run(
        [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "bash",
            "-c",
            script,
        ],
        cwd=ROOT,
        env={
            **{name: os.environ[name] for name in os.environ if name.startswith(("PIP_", "SSL_"))},
            "PATH": f"{folders}:{_python()}{ADMIN}",
            "HOME": os.environ.get("HOME", "/"),
            "SCRATCH": str(scratch),
            "CA": str(tls.ca),
            "EXEC_START": said(UNIT.read_text())["ExecStart"],
            "VAULT_ADDR": node.address,
            "VAULT_CACERT": str(tls.ca),
            "VAULT_TOKEN": bao.root_token,
        },
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    # The README's lines write to /etc: on a machine that gives no mount namespace they must not run.
    if "Operation not permitted" in done.stderr:
        pytest.skip(f"a host of its own needs mount namespaces: {done.stderr.splitlines()[0]}")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "systemctl enable --now raft-snapshot-agent" in done.stdout
    assert "systemctl start raft-snapshot-agent" in done.stdout
    stored = re.findall(r"^raft-snapshot-agent 600 (\S+)$", done.stdout, re.MULTILINE)
    assert sum(name.endswith(".snap") for name in stored) == 1
    assert re.search(r"^success +login ", done.stdout, re.MULTILINE)
    assert "failure" not in done.stdout
    assert done.stdout.count("verified") >= 2
    assert "Restored the snapshot of index" in done.stderr
    assert not Path("/etc/raft-snapshot-agent").exists()


def _python() -> str:
    """A folder with a Python that the service's user may run, where the system's is too old."""
    code = "import sys; sys.exit(sys.version_info < (3, 11))"
    old = subprocess.run(["/usr/bin/python3", "-c", code], check=False).returncode
    return f"{Path(sys.executable).resolve().parent}:" if old else ""


def test_the_unit_and_the_section_name_the_same_files() -> None:
    unit, section = said(UNIT.read_text()), "\n".join(pasted())

    program, *_, configuration = shlex.split(unit["ExecStart"])
    assert f"{program.rpartition('/')[0]}/\n" in section  # where the link is made
    assert f"/dev/stdin {configuration} <<" in section
    assert f"useradd --system --home-dir /var/lib/{unit['User']} " in section
    assert f"{unit['ReadWritePaths']}\n" in section
    assert f"path: {unit['ReadWritePaths']}}}" in section


# Source: the manual pages systemd.exec(5), systemd.resource-control(5), systemd.service(5).
SWITCHES = {
    *("NoNewPrivileges", "ProtectHome", "ProtectClock", "ProtectHostname", "ProtectKernelLogs"),
    *("ProtectKernelTunables", "ProtectKernelModules", "ProtectControlGroups", "PrivateTmp"),
    *("PrivateDevices", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "RemoveIPC"),
    "LockPersonality",
}
VALUES = {
    "MemoryMax": r"\d+[KMG]",
    "MemorySwapMax": "0",
    "LimitCORE": "0",
    "TasksMax": r"\d+",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "ProtectSystem": "strict",
    "ProtectProc": "invisible",
    "DevicePolicy": "closed",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
    "KeyringMode": "private",
    "SystemCallArchitectures": "native",
    "SystemCallFilter": "@system-service",
    "SystemCallErrorNumber": "EPERM",
    "UMask": "0077",
    "Type": "notify",
    "ExecStart": r"/\S+ run --config /\S+",
    "ExecReload": r"kill -HUP \$MAINPID",
    "WatchdogSec": r"\d+min",
    "Restart": "always",
    "RestartSec": r"\d+s",
    "TimeoutStopSec": r"\d+s",
    "User": "[a-z-]+",
    "CacheDirectory": "[a-z-]+",
    "CacheDirectoryMode": "0700",
    "RuntimeDirectory": "raft-snapshot-agent",
    "RuntimeDirectoryMode": "0700",
    "ReadWritePaths": r"/\S+",
}


def test_the_unit_gives_no_more_than_is_needed() -> None:
    service = UNIT.read_text().partition("[Service]\n")[2].partition("[Install]")[0]
    lines = [one for one in service.splitlines() if one and not one.startswith("#")]
    set_to = dict(line.split("=", 1) for line in lines)

    assert len(set_to) == len(lines)
    assert set_to.keys() == SWITCHES | VALUES.keys()
    assert {set_to[name] for name in SWITCHES} == {"true"}
    for name, pattern in VALUES.items():
        assert re.fullmatch(pattern, set_to[name]), name
