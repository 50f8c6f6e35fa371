"""Examples for each command's `--help`."""

from __future__ import annotations

import typer

_CONFIG = "-c /etc/raft-snapshot-agent/config.yaml"
_NAME = "raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap"
EXAMPLES: dict[str, tuple[str, ...]] = {
    "run": (
        f"raft-snapshot-agent run {_CONFIG}",
        "raft-snapshot-agent run --once --require-leader    # for cron and CronJobs",
        "raft-snapshot-agent run --debug    # with every request in the log",
    ),
    "save": (
        "raft-snapshot-agent save    # to every storage",
        "raft-snapshot-agent save --storage s3",
        "VAULT_ADDR=https://vault:8200 VAULT_TOKEN=... raft-snapshot-agent save vault.snap",
        "raft-snapshot-agent save --force vault.snap    # the same file each time, for cron",
        "raft-snapshot-agent save - | age -r age1... > vault.snap.age",
    ),
    "list": ("raft-snapshot-agent list", "raft-snapshot-agent list --storage s3 --format json"),
    "inspect": ("raft-snapshot-agent inspect --latest", "raft-snapshot-agent inspect vault.snap"),
    "status": (
        "raft-snapshot-agent status",
        "raft-snapshot-agent status --watch",
        "raft-snapshot-agent status --url https://backup.example:8299 --format json",
    ),
    "verify": (
        "raft-snapshot-agent verify --latest",
        "raft-snapshot-agent verify --all    # everything that is stored",
        "raft-snapshot-agent verify vault.snap    # a file: no configuration is needed",
    ),
    "fetch": (
        "raft-snapshot-agent fetch --latest --output /tmp",
        f"raft-snapshot-agent fetch {_NAME} -o vault.snap",
    ),
    "copy": (
        "raft-snapshot-agent copy --all --from local --to s3 --dry-run    # what is missing there",
        "raft-snapshot-agent copy --all --from local --to s3    # fill a storage that was down",
        f"raft-snapshot-agent copy {_NAME} --from s3 --to local",
    ),
    "prune": (
        "raft-snapshot-agent prune --dry-run    # what would be deleted, and why the rest stays",
        "raft-snapshot-agent prune --storage s3",
        "raft-snapshot-agent prune --acknowledge    # after you have checked an alarm",
    ),
    "hold": (
        f"raft-snapshot-agent hold {_NAME}",
        f"raft-snapshot-agent hold {_NAME} --reason 'before the upgrade'",
    ),
    "release": (f"raft-snapshot-agent release {_NAME}",),
    "restore": (
        "VAULT_TOKEN=... raft-snapshot-agent restore --latest",
        "VAULT_TOKEN=... raft-snapshot-agent restore vault.snap --yes",
        "VAULT_TOKEN=... raft-snapshot-agent restore --at 2026-11-23T15:30:00Z --storage s3",
        "VAULT_TOKEN=... raft-snapshot-agent restore vault.snap --force    # of another cluster",
        "raft-snapshot-agent restore vault.snap --force --unseal-key env://KEY",
    ),
    "drill": (
        "raft-snapshot-agent drill    # the newest; keys and canaries are in the configuration",
        "raft-snapshot-agent drill --latest --storage s3",
        "raft-snapshot-agent drill vault.snap --server /usr/local/bin/vault",
        "raft-snapshot-agent drill --keep    # to look around in it",
    ),
    "recover": (
        "VAULT_TOKEN=... raft-snapshot-agent recover --latest secret/app",
        f"raft-snapshot-agent recover {_NAME} secret/app --version 3 --dry-run",
        "raft-snapshot-agent recover --at 2026-11-23T15:30:00Z secret/app --to secret/app-old",
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
        lines = EXAMPLES.get(f"{group} {name}".strip(), ())
        # The control character makes click keep the line breaks.
        command.epilog = "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))
