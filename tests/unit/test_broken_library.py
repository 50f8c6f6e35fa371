from __future__ import annotations

import pytest

from raft_snapshot_agent.broken_library import find_broken_library
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.observe.failures import as_failure


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ModuleNotFoundError("No module named 'yaml'"), "No module named 'yaml'"),
        (ImportError("a\n b"), "a b"),
        (ImportError(), "ImportError"),
        (SyntaxError("invalid syntax"), "invalid syntax"),
    ],
)
def test_a_library_that_cannot_be_loaded_is_no_bug(error: Exception, told: str) -> None:
    found = as_failure(ExceptionGroup("tasks", [error]))

    assert found.message == f"the installation is broken: {told}"
    assert found.hint.startswith("install raft-snapshot-agent again")


@pytest.mark.parametrize("error", [AttributeError("x"), AgentError("x"), OSError("x")])
def test_other_errors_are_not_of_the_installation(error: Exception) -> None:
    assert find_broken_library(error) is None
