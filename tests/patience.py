"""Trying again without the waits, in the process of the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stamina
from tests.processes.forks import shorten_waits


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Try as often as ever what a storage fails at, without the waits in between."""
    shorten_waits(monkeypatch.setattr)
    with stamina.set_testing(True, attempts=3, cap=True):
        yield
