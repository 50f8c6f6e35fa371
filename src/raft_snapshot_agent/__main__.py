"""Where the two commands begin, and where every error becomes one line and an exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence

from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.secret import redact

_LOCAL = 1
_INTERRUPTED = 130


def main() -> None:
    """Run `raft-snapshot-agent`."""
    _hasten()
    sys.exit(_guarded(lambda: _command(sys.argv[1:])))


def seed_main() -> None:
    """Run `vault_raft_snapshot_agent [CONFIG]`, the original agent's command."""
    _hasten()
    sys.exit(_guarded(lambda: _daemon(sys.argv[1:])))


def _hasten() -> None:
    # Loading makes many objects and no garbage; looking for it would take half of the start.
    gc.set_threshold(50_000, 20, 20)
    # Looking for plugins reads the metadata of every package; none has business with our secrets.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"


def _command(arguments: Sequence[str]) -> int:
    from raft_snapshot_agent.cli.app import app

    # A switch for the whole command, wherever it stands.
    flags = [argument for argument in arguments if argument == "--debug"]
    rest = [argument for argument in arguments if argument != "--debug"]
    return app([*flags[:1], *rest], standalone_mode=False) or 0


def _daemon(arguments: Sequence[str]) -> int:
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        sys.stderr.write("Usage: vault_raft_snapshot_agent [CONFIG]\n")
        return 0 if arguments[0] in ("-h", "--help") else _LOCAL
    return _command(["run", "--config", *(arguments or ["/etc/vault.d/snapshot.json"])])


def _guarded(command: Callable[[], int]) -> int:
    try:
        return command()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        message, code = _explained(error)
        sys.stderr.write(f"{redact(message)}\n")
        return code


def _explained(error: Exception) -> tuple[str, int]:
    from typer.exceptions import TyperException

    match error:
        case AgentError():
            return f"error: {error}", error.exit_code
        case BrokenPipeError():
            # What is left in the buffer would fail once more when Python exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return "error: the reading end of the pipe is gone", _LOCAL
        case TyperException():
            says = str(getattr(error, "format_message", error.__str__)())
            return says if "\n" in says else f"error: {says.rstrip('.')} (see --help)", _LOCAL
        case _:
            return f"error: unexpected {error!r} (a defect: please report it)", _LOCAL


if __name__ == "__main__":
    main()
