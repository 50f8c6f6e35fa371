"""Examples for each command's `--help`."""

from __future__ import annotations

import typer

_CONFIG = "-c /etc/raft-snapshot-agent/config.yaml"
EXAMPLES: dict[str, tuple[str, ...]] = {
    "run": (
        f"raft-snapshot-agent run {_CONFIG}",
        "raft-snapshot-agent run --once --require-leader    # for cron and CronJobs",
        "raft-snapshot-agent run --debug    # with every request in the log",
    ),
    "save": (
        "raft-snapshot-agent save    # to every storage",
        "raft-snapshot-agent save --storage s3",
        "VAULT_ADDR=https://vault:8200 raft-snapshot-agent save vault.snap",
        "raft-snapshot-agent save --force vault.snap    # the same file each time",
        "raft-snapshot-agent save - | age -r age1... > vault.snap.age",
    ),
    "list": ("raft-snapshot-agent list", "raft-snapshot-agent list --storage s3 --format json"),
    "inspect": ("raft-snapshot-agent inspect --latest", "raft-snapshot-agent inspect vault.snap"),
    "diff": (
        "raft-snapshot-agent diff OLDER NEWER    # names as `list` shows them",
        "raft-snapshot-agent diff --storage s3 OLDER vault.snap",
    ),
    "status": (
        "raft-snapshot-agent status",
        "raft-snapshot-agent status --watch",
        "raft-snapshot-agent status --url https://backup.example:8299 --format json",
    ),
    "verify": (
        "raft-snapshot-agent verify --latest",
        "raft-snapshot-agent verify --all    # everything that is stored",
        "raft-snapshot-agent verify vault.snap    # needs no configuration",
    ),
    "fetch": (
        "raft-snapshot-agent fetch --latest --output /tmp",
        "raft-snapshot-agent fetch NAME -o vault.snap",
    ),
    "copy": (
        "raft-snapshot-agent copy --all --from local --to s3 --dry-run",
        "raft-snapshot-agent copy --all --from local --to s3",
        "raft-snapshot-agent copy NAME --from s3 --to local",
    ),
    "prune": (
        "raft-snapshot-agent prune --dry-run    # what would be deleted, and why",
        "raft-snapshot-agent prune --storage s3",
        "raft-snapshot-agent prune --acknowledge    # after you have checked an alarm",
    ),
    "hold": (
        "raft-snapshot-agent hold NAME",
        "raft-snapshot-agent hold NAME --reason 'before the upgrade'",
    ),
    "release": ("raft-snapshot-agent release NAME",),
    "restore": (
        "VAULT_TOKEN=... raft-snapshot-agent restore --latest",
        "VAULT_TOKEN=... raft-snapshot-agent restore vault.snap --yes",
        "raft-snapshot-agent restore --at 2026-11-23T15:30:00Z --storage s3",
        "raft-snapshot-agent restore vault.snap --force    # of another cluster",
        "raft-snapshot-agent restore vault.snap --force --unseal-key env://KEY",
    ),
    "drill": (
        "raft-snapshot-agent drill    # the newest",
        "raft-snapshot-agent drill --latest --storage s3",
        "raft-snapshot-agent drill vault.snap --server /usr/local/bin/vault",
        "raft-snapshot-agent drill --keep    # to look around in it",
    ),
    "recover": (
        "VAULT_TOKEN=... raft-snapshot-agent recover --latest secret/app",
        "raft-snapshot-agent recover NAME secret/app --version 3 --dry-run",
        "raft-snapshot-agent recover --latest secret/app --to secret/app-old",
        "raft-snapshot-agent recover --latest sys/policies/acl/ops --output ops.json",
    ),
    "browse": (
        "raft-snapshot-agent browse --latest    # what is mounted",
        "raft-snapshot-agent browse --latest secret/app --recursive",
    ),
    "doctor": ("raft-snapshot-agent doctor", "raft-snapshot-agent doctor --format json"),
    "check": (
        "raft-snapshot-agent check --max-age 2h    # for Nagios, Icinga and the like",
        "raft-snapshot-agent check --storage s3 --format json",
    ),
    "demo": ("raft-snapshot-agent demo",),
    "config check": (f"raft-snapshot-agent config check {_CONFIG}",),
    "config show": ("raft-snapshot-agent config show",),
    "notify test": (
        "raft-snapshot-agent notify test",
        "raft-snapshot-agent notify test --name pager",
    ),
    "config schema": ("raft-snapshot-agent config schema > raft-snapshot-agent.schema.json",),
}


def add_examples(app: typer.Typer, group: str = "") -> None:
    """Add examples to the help of each command."""
    for command in app.registered_commands:
        name = command.name or getattr(command.callback, "__name__", "")
        lines = EXAMPLES[f"{group} {name}".strip()]
        # The control character makes click keep the line breaks.
        command.epilog = "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))
