"""Does the steps of the container image where no image can be pulled: in folders with a new root.

The base image is this host's own `/usr` and Python. Everything else is as the Dockerfile says.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "contrib" / "container" / "Dockerfile"
SHELL = r"""
set -eu
umask 022
new_root() {
  mkdir -p "$1" && mount --bind "$1" "$1"
  mkdir -p "$1/dev" "$1/proc" "$1/run" "$1/var/cache" "$1/var/lib" "$1/var/mail" "$1/opt"
  install -d -m 1777 "$1/tmp"
  cp -a /etc "$1/etc"
  for folder in /usr /bin /sbin /lib /lib64 $SHARED; do
    [ -e "$folder" ] || continue
    if [ -L "$folder" ]; then cp -P "$folder" "$1$folder"; continue; fi
    if [ -d "$folder" ]; then mkdir -p "$1$folder"; else
      mkdir -p "$1${folder%/*}" && [ -e "$1$folder" ] || : > "$1$folder"; fi
    mount --bind "$folder" "$1$folder" && mount -o remount,bind,ro "$1$folder"
  done
  for device in null zero random urandom; do
    : > "$1/dev/$device" && mount --bind "/dev/$device" "$1/dev/$device"
  done
}
copy() { mkdir -p "${2%/*}" && cp -a "$1" "$2"; find "$2" -name __pycache__ -prune -exec rm -r {} +; }
emptydir() { mkdir -p "$1" && mount -t tmpfs -o mode=0777 tmpfs "$1"; }
"""


@dataclass(slots=True)
class Stage:
    """One stage, and what it has said so far."""

    name: str
    base: str
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    lists: dict[str, list[str]] = field(default_factory=dict)
    """What instructions say as a list, such as `CMD`."""
    script: list[str] = field(default_factory=list)

    @property
    def root(self) -> str:
        return f"$SCRATCH/{self.name}"

    def enter(self, *words: str) -> str:
        """Return a line for the shell that runs a command in the stage, as its user."""
        pairs = " ".join(shlex.quote(f"{key}={one}") for key, one in self.environment.items())
        said = " ".join(map(shlex.quote, words))
        return (
            f'chroot --userspec={self.user} --groups={self.user.partition(":")[2]} "{self.root}"'
            f" /usr/bin/env -i {pairs} {said}"
        )


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Split a Dockerfile into its instructions, without comments."""
    lines = "\n".join(one for one in text.splitlines() if not one.startswith("#"))
    for line in re.sub(r"\\\n", " ", lines).splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield name, re.sub(r" +", " ", rest.strip())


def stages(text: str) -> list[Stage]:
    """Read a Dockerfile: each stage with the lines of shell that do its steps."""
    found: list[Stage] = []
    for name, rest in instructions(text):
        if name == "FROM":
            base, *named = re.split(r" AS ", rest)
            found.append(Stage(named[0] if named else "final", base))
        else:
            _take(found[-1], name, rest)
    return found


def _take(stage: Stage, name: str, rest: str) -> None:
    match name:
        case "WORKDIR":
            stage.workdir = rest
            stage.script.append(f'mkdir -p "{stage.root}{rest}"')
        case "ENV":
            stage.environment |= dict(one.split("=", 1) for one in shlex.split(rest))
        case "USER":
            stage.user = rest
        case "VOLUME" | "ENTRYPOINT" | "CMD" | "HEALTHCHECK":
            stage.lists[name] = json.loads(rest[rest.index("[") :])
        case "COPY":
            stage.script += _copy(stage, rest.split())
        case "RUN":
            stage.script.append(_run(stage, rest))
        case "LABEL" | "EXPOSE":
            pass
        case _:
            raise AssertionError(f"what {name} does is not known here")


def _copy(stage: Stage, words: list[str]) -> Iterator[str]:
    origin = shlex.quote(str(ROOT))
    if words[0].startswith("--from="):
        origin = f'"$SCRATCH/{words.pop(0).partition("=")[2]}"'
    *sources, target = words
    there = target if target.startswith("/") else os.path.normpath(f"{stage.workdir}/{target}")
    for source in sources:
        name = f"{there}/{Path(source).name}" if len(sources) > 1 else there
        yield f'copy {origin}/{source} "{stage.root}{name}"'


def _run(stage: Stage, command: str) -> str:
    python = f'python() {{ "{sys.base_prefix}/bin/python3" "$@"; }}'
    outside = {name: os.environ[name] for name in os.environ if name.startswith(("PIP_", "SSL_"))}
    usual = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp"}
    building = Stage(stage.name, stage.base, usual | stage.environment | outside, user=stage.user)
    return building.enter("/bin/sh", "-euc", f"cd {stage.workdir}; {python}; {command}")


def shared() -> str:
    """Name what the host lends to every root: Python, and what its settings of pip name."""
    named = {one for name, one in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
    paths = {one for one in named if one.startswith("/") and Path(one).exists()}
    return " ".join(sorted({sys.base_prefix} | paths))


def build(text: str) -> tuple[str, Stage]:
    """Return the shell's lines that make the image, and its last stage."""
    found = stages(text)
    lines = [SHELL]
    for one in found:
        lines += [f'new_root "{one.root}"', *one.script]
    return "\n".join(lines), found[-1]
