from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening
