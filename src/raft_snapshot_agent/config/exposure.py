"""Find secrets that every user can read, and configurations that every user can change."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from raft_snapshot_agent.config.check import values_of
from raft_snapshot_agent.config.keys import Origin, format_path
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.ownership import ANYBODY
from raft_snapshot_agent.secret import Plain, Secret

if TYPE_CHECKING:  # imported only where a file was read
    from raft_snapshot_agent.config.document import Document

_OF_THE_PLATFORM = (Path("/run/secrets"), Path("/var/run/secrets"))
"""The folder of secrets in containers, readable for all users in the container."""


def exposures(
    config: Config, document: Document, origin: Origin, environ: Mapping[str, str]
) -> Iterator[str]:
    """List them, one line each; none in a pod, which has no other users.

    Arguments:
        config: With what the environment added.
        document: The file.
        origin: Returns the path in the file of a key.
        environ: Says whether this is a pod.
    """
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return
    if document.author == ANYBODY:
        yield f"{document.name}: every user of this host can change it (chmod o-w {document.name})"
    secrets = [(path, one) for path, _, one in values_of(config) if _is_secret(one)]
    literal = (origin(path) for path, one in secrets if not one.is_reference)
    inline = [format_path(path) for path in literal if document.has(path)]
    if inline and _is_public(Path(document.name)):
        yield (
            f"{document.name}: every user of this host can read it, and {', '.join(inline)} in it"
            f" (chmod o-r {document.name}, or use file:// or env://)"
        )
    for file in dict.fromkeys(_files(one for _, one in secrets)):
        if _is_public(file):
            yield f"{file}: every user of this host can read this secret (chmod o-r {file})"


def _is_secret(value: object) -> bool:
    return isinstance(value, Secret) and not isinstance(value, Plain)


def _files(secrets: Iterator[Secret]) -> Iterator[Path]:
    for secret in secrets:
        path = Path(secret.reference.removeprefix("file://"))
        if path.is_absolute() and not any(map(path.is_relative_to, _OF_THE_PLATFORM)):
            yield path


def _is_public(file: Path) -> bool:
    """Return whether its mode and its folders let every user read it."""
    try:
        found = file.stat()
        around = [folder.stat() for folder in file.resolve().parents]
    except OSError:
        return False  # errors are reported when the file is read
    is_file = stat.S_ISREG(found.st_mode)
    reached = all(folder.st_mode & stat.S_IXOTH for folder in around)
    return is_file and reached and bool(found.st_mode & stat.S_IROTH)
