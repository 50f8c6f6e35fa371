"""Entry points of the two commands. Every error becomes one line and an exit code here."""

from __future__ import annotations

import errno
import gc
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import TextIOWrapper

from raft_snapshot_agent.broken_library import find_broken_library
from raft_snapshot_agent.early_signals import catch_early_signals
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.host_limits import find_limit
from raft_snapshot_agent.redaction import plain, redact
from raft_snapshot_agent.standard_error import StandardError
from raft_snapshot_agent.standard_output import flush

_LOCAL = 1
_COMPLETION = "_RAFT_SNAPSHOT_AGENT_COMPLETE"
"""Variable by which a shell asks for completions, as Typer names it."""
_DEBUG = "--debug"
_INTERRUPTED = 130
_STANDARD_ERROR = 2
_UNKNOWN = 3
"""What `check` exits with where its answer is not known, as Nagios plugins do."""
_WITH_VALUE = ("-c", "--config", "--cluster")
"""Options with a value that may stand before the command."""
_SEED_USAGE = "Usage: vault_raft_snapshot_agent [CONFIG]"


def main() -> None:
    """Run `raft-snapshot-agent`."""
    _hasten()
    arguments = sys.argv[1:]
    is_check = _find_command(arguments) == "check"
    sys.exit(run_guarded(lambda: _command(arguments), is_check=is_check))


def seed_main() -> None:
    """Run `vault_raft_snapshot_agent [CONFIG]`, the original agent's command."""
    _hasten()
    sys.exit(run_guarded(lambda: _daemon(sys.argv[1:])))


def command() -> None:
    """Run `raft-snapshot-agent`, then end the process."""
    _end_at_once(main)


def seed_command() -> None:
    """Run `vault_raft_snapshot_agent`, then end the process."""
    _end_at_once(seed_main)


def _end_at_once(work: Callable[[], None]) -> None:
    """End the process without the interpreter's own shutdown.

    Threads of the object storage library may still release resources then. During the
    interpreter's shutdown such a thread can crash the process: the snapshot is stored, but the
    exit code says that it is not.
    """
    _hold_standard_streams()
    sys.stderr = messages = StandardError(sys.stderr)
    if _DEBUG not in sys.argv:  # such as what a limit of the host left unfinished
        sys.unraisablehook = lambda _: None
    try:
        work()
    except SystemExit as end:
        with suppress(OSError, ValueError):
            if sys.stdout:  # it may be closed from the start
                sys.stdout.flush()
        messages.finish()
        os._exit(end.code if isinstance(end.code, int) else _LOCAL)


def _hold_standard_streams() -> None:
    """Open closed standard streams on /dev/null, or the next file opened would get their number.

    A closed standard input or output stays `None` for Python, so that commands can say so.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # open() returns the lowest free number: this one
    # None where the stream was closed at the start, although its type excludes that
    if not sys.stderr:
        sys.stderr = open(_STANDARD_ERROR, "w", closefd=False)  # noqa: SIM115 - for good
    if isinstance(sys.stdout, TextIOWrapper):
        # A name that the terminal cannot show is no reason to fail. Python does so for errors.
        sys.stdout.reconfigure(errors="backslashreplace")


def _hasten() -> None:
    # Imports create many objects and no garbage; each collection would visit all of them again.
    gc.set_threshold(500_000, 20, 20)
    # The search for plugins reads the metadata of every package, and no plugin may see secrets.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"


def _command(arguments: Sequence[str]) -> int:
    if _is_daemon(arguments):
        catch_early_signals()
    from raft_snapshot_agent.cli.app import app
    from raft_snapshot_agent.cli.outline import outline

    # A global option, accepted at any position.
    flags = [argument for argument in arguments if argument == _DEBUG]
    rest = [argument for argument in arguments if argument != _DEBUG]
    # A shell that completes a line asks for options of commands that are not among the arguments.
    asked = app if _COMPLETION in os.environ else outline(app, arguments)
    return asked([*flags[:1], *rest], prog_name="raft-snapshot-agent", standalone_mode=False) or 0


def _is_daemon(arguments: Sequence[str]) -> bool:
    """Return whether the command is `run` without `--once`."""
    return _find_command(arguments) == "run" and "--once" not in arguments


def _find_command(arguments: Sequence[str]) -> str | None:
    """Return the name of the command, or of its group."""
    words = iter(arguments)
    for word in words:
        if word in _WITH_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            return word
    return None


def _daemon(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] in ("-h", "--help"):
        sys.stdout.write(f"{_SEED_USAGE}\n")
        return 0
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        raise AgentError(_SEED_USAGE, hint="more: raft-snapshot-agent --help")
    return _command(["run", "--config", *(arguments or ["/etc/vault.d/snapshot.json"])])


def run_guarded(command: Callable[[], int], *, is_check: bool = False) -> int:
    """Run a command; return its exit code, or that of the error that it prints.

    Arguments:
        command: Returns the exit code.
        is_check: Whether it is `check`, which a monitoring system reads.
    """
    try:
        code = command()
        flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 - each becomes one line and a code
        if _DEBUG in sys.argv:
            sys.stderr.write(redact(traceback.format_exc()))
        message, code = _explain(error)
        message = plain(redact(message))
        if is_check:
            return _tell_unknown(message, is_shown=not isinstance(error, OSError))
        sys.stderr.write(message)
    return code


def _tell_unknown(message: str, *, is_shown: bool) -> int:
    """Print why `check` cannot tell anything; return the exit code, as 1 would mean WARNING.

    Arguments:
        message: The error.
        is_shown: Whether standard output can be written.
    """
    from raft_snapshot_agent.core.state.plugin_line import format_plugin_line

    told = message.removeprefix("error: ").replace("\nerror: ", "; ")
    stream = sys.stdout if is_shown and sys.stdout else sys.stderr
    with suppress(OSError):
        stream.write(f"{format_plugin_line('UNKNOWN', told)}\n")
        stream.flush()
    return _UNKNOWN


def _explain(error: Exception) -> tuple[str, int]:
    match error:
        case AgentError():
            return "".join(f"error: {line}\n" for line in error.lines), error.exit_code
        case BrokenPipeError():
            return "", _LOCAL  # the reader closed the pipe, which is no error
        case _ if limit := find_limit(error):
            return f"error: {limit.message} ({limit.hint})\n", _LOCAL
        case _ if broken := find_broken_library(error):
            return f"error: {broken}\n", broken.exit_code
        case OSError(errno=errno.ENOSPC):
            return f"error: cannot write to standard output: {error.strerror}\n", _LOCAL
        case _ if _is_usage_error(error):
            says = str(getattr(error, "format_message", error.__str__)())
            says = says.replace("Value error, ", "").rstrip(".\n")
            return says + "\n" if "\n" in says else f"error: {says} (see --help)\n", _LOCAL
        case _:
            from raft_snapshot_agent.observe.failures import describe_defect

            return (
                f"error: {describe_defect(error)} (a bug: --debug shows more; please report it)\n",
                _LOCAL,
            )


def _is_usage_error(error: Exception) -> bool:
    # Not imported here: Typer itself may be what cannot be loaded.
    typer = sys.modules.get("typer.exceptions")
    return typer is not None and isinstance(error, typer.TyperException)


if __name__ == "__main__":
    command()
