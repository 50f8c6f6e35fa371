"""What a command does not need is not loaded: importing is most of what a start takes."""

from __future__ import annotations

import gc
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from raft_snapshot_agent.cli.waiting import allow_collections

TOP = "raft_snapshot_agent"
UNTOLD = [
    f"{TOP}.{name}"
    for name in (
        "config.metrics",
        "config.web",
        "core.alarms.alert_events",
        "core.snapshots.drill_note",
        "core.leases.lease",
        "core.snapshots.scrub_note",
        "error_text",
        "lease.settings",
        "notify.settings",
        "storage.local.lease_store",
    )
]
"""Parts that a configuration says nothing of."""
NOT_FOR_A_FILE = [
    f"{TOP}.{name}"
    for name in (
        "backup.finish",
        "backup.settle",
        "backup.taken",
        "core.state.freshness",
        "core.state.holding",
        "destination.drill_notes",
        "destination.holdings",
        "destination.scrubbing",
    )
]
"""What lists a storage, compares with what it holds, and prunes."""
SCRIPT = """
import sys
from raft_snapshot_agent.__main__ import main
sys.argv[0] = "raft-snapshot-agent"
try:
    main()
except SystemExit:
    pass
print(*sys.modules, file=sys.stderr)
"""


def loaded(folder: Path, *arguments: str) -> set[str]:
    """Run a command without servers and return the names of the modules that it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env={"VAULT_ADDR": "https://127.0.0.1:1", "VAULT_TOKEN": "token", "HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.splitlines()[-1].split())


def require_absent(name: str, modules: set[str]) -> None:
    """Require that a module was not loaded, and that there is one of this name to load."""
    assert name not in modules, name
    assert not name.startswith(TOP) or find_spec(name), f"{name} is called otherwise now"


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_loads_no_library_but_the_command_lines(tmp_path: Path, option: str) -> None:
    libraries = {
        "html",
        "pydantic",
        "anyio",
        "asyncio",
        "ssl",
        "urllib3",
        "obstore",
        "yaml",
        "rich",
    }
    assert libraries & loaded(tmp_path, option) == set()


def test_a_snapshot_to_a_file_loads_what_it_takes_alone(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "save", "a.snap")
    assert f"{TOP}.vault.leader" in modules
    for name in (
        "rich",
        "obstore",
        "yaml",
        "tomllib",
        "structlog",
        f"{TOP}.config.document",
        f"{TOP}.config.dialects.seed",
        f"{TOP}.lease.holder",
        f"{TOP}.lease.in_kubernetes",
        f"{TOP}.service.daemon",
        f"{TOP}.storage.s3.s3",
        *UNTOLD,
        *NOT_FOR_A_FILE,
    ):
        require_absent(name, modules)


def test_a_run_loads_neither_the_daemon_nor_what_it_was_not_told_of(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(f'{{"storages": [{{"type": "local", "path": "{tmp_path}"}}]}}')
    modules = loaded(tmp_path, "run", "--once", "-c", str(file))
    assert {"structlog", f"{TOP}.storage.local.local"} <= modules
    for name in (
        "rich",
        "yaml",
        "obstore",
        f"{TOP}.config.dialects.seed",
        f"{TOP}.lease.holder",
        f"{TOP}.metrics.table",
        f"{TOP}.observe.otel",
        f"{TOP}.service.run_metrics",
        "opentelemetry",
        "prometheus_client",
        "apprise",
        f"{TOP}.notify.notifications",
        f"{TOP}.notify.webhook",
        f"{TOP}.backup.taken",
        f"{TOP}.destination.drill_notes",
        f"{TOP}.destination.holdings",
        f"{TOP}.destination.scrubbing",
        *UNTOLD,
        f"{TOP}.core.state.status",
        f"{TOP}.restore.reader",
        f"{TOP}.service.daemon",
        f"{TOP}.storage.s3.s3",
    ):
        require_absent(name, modules)


def test_what_was_loaded_is_not_searched_for_garbage() -> None:
    try:
        allow_collections()
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold() == (5_000, 10, 10)
    finally:
        gc.unfreeze()


def test_a_daemon_without_a_page_loads_nothing_that_serves_one() -> None:
    script = f"import sys, {TOP}.cli.run; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split())
    assert f"{TOP}.service.companions" in modules
    wanted = {"starlette", "uvicorn", "h11", "jinja2", "click", f"{TOP}.web", f"{TOP}.web.server"}
    assert wanted & modules == set()
