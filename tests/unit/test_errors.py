from __future__ import annotations

import errno
import re
from collections.abc import Iterator

import pytest

from raft_snapshot_agent import errors
from raft_snapshot_agent.errors import (
    AgentError,
    ConfigFaults,
    StorageDenied,
    StorageFaults,
)
from raft_snapshot_agent.host_limits import causes, find_limit

LINE = re.compile(r"^(?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+) +(?P<code>\d)")


def tree(kind: type[AgentError] = AgentError) -> Iterator[type[AgentError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


def documented() -> dict[str, tuple[int, str]]:
    """Read the drawing in the module's docstring: exit code and parent of every name."""
    found: dict[str, tuple[int, str]] = {}
    ancestors: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        if match := LINE.match(line):
            depth = len(match["branch"]) // 4
            ancestors[depth] = match["name"]
            found[match["name"]] = int(match["code"]), ancestors.get(depth - 1, "Exception")
    return found


def test_the_drawing_shows_every_error_its_exit_code_and_its_parent() -> None:
    assert documented() == {
        kind.__name__: (kind.exit_code, kind.__mro__[1].__name__) for kind in tree()
    }


ONE_LINE = [kind for kind in dict.fromkeys(tree()) if kind not in {ConfigFaults, StorageFaults}]


@pytest.mark.parametrize("kind", ONE_LINE, ids=lambda kind: kind.__name__)
def test_every_error_is_one_line_with_its_hint(kind: type[AgentError]) -> None:
    error = kind("cannot write\n  to /backup:\tno space", hint="free\nsome")

    assert str(error) == "cannot write to /backup: no space (free some)"
    assert error.message == "cannot write to /backup: no space"
    assert error.hint == "free some"


def test_an_error_without_hint_has_no_brackets() -> None:
    error = StorageDenied("access denied")

    assert str(error) == "access denied"
    assert error.hint == ""


@pytest.mark.parametrize(
    ("cause", "hint"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "raise the limit of open files"),
        (OSError(errno.ENFILE, "Too many open files in system"), "raise fs.file-max"),
        (RuntimeError("can't start new thread"), "raise the limit of processes"),
        (MemoryError(), "raise the limit of memory"),
        (OSError(errno.EIO, "Input/output error"), "look at the disk"),
    ],
)
def test_where_a_limit_of_the_host_is_the_cause_the_hint_is_to_raise_it(
    cause: Exception, hint: str
) -> None:
    def copy(error: Exception) -> None:
        raise error

    def store() -> None:
        try:
            copy(cause)
        except Exception:  # noqa: BLE001 - each is tried
            copy(ExceptionGroup("several", [ValueError("in between")]))

    def tell() -> None:
        try:
            store()
        except ExceptionGroup:
            raise AgentError("no copy", hint="look at the disk") from None

    with pytest.raises(AgentError) as caught:
        tell()
    assert str(caught.value).startswith(f"no copy ({hint}")


def test_a_limit_that_one_of_several_met_is_found() -> None:
    several = [ValueError(), OSError(errno.EMFILE, "Too many open files")]
    limit = find_limit(ExceptionGroup("several", several))
    assert limit is not None
    assert limit.message == "too many files are open"


def test_causes_that_form_a_circle_are_looked_at_once() -> None:
    one, other = ValueError(), KeyError()
    one.__cause__, other.__cause__ = other, one
    assert [*causes(one)] == [one, other]
    assert find_limit(one) is None
