"""Secrets of a snapshot in a file, instead of in the cluster."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.core.foreign_json import write_json
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.restore.recovery import Recovered


def write_down(file: Path, found: Sequence[Recovered]) -> None:
    """Write secrets to a file that only this user can read.

    Raises:
        ConfigError: It cannot be written.
    """
    documents = [one.document for one in found]
    text = write_json(documents[0] if len(documents) == 1 else documents, indented=True) + "\n"
    draft = file.with_name(f".raft-snapshot-agent-{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as target:
            target.write(text)
        draft.replace(file)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise ConfigError(f"cannot write {file}: {error.strerror}") from error
    output.talk(f"Written to {file}, readable by you only (0600)")
