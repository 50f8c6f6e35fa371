from __future__ import annotations

import pytest
from tests.unit.lease.shelf import Hours, Shelf


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def hours() -> Hours:
    return Hours()
