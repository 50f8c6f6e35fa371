"""The longest tests are begun first: the last ones of a run are short."""

from __future__ import annotations

from typing import Any, cast

import pytest
from tests.conftest import pytest_collection_modifyitems


class _Case:
    """A test, as far as its order is concerned."""

    def __init__(self, name: str, seconds: float | None = None) -> None:
        self.name = name
        self._marks = {} if seconds is None else {"timeout": pytest.mark.timeout(seconds).mark}

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return self._marks.get(name)


def test_what_is_allowed_most_time_comes_first_and_the_others_stay_in_order() -> None:
    cases = [_Case("a"), _Case("long", 300), _Case("b"), _Case("longest", 900), _Case("c")]

    pytest_collection_modifyitems(cast(Any, cases))

    assert [case.name for case in cases] == ["longest", "long", "a", "b", "c"]
