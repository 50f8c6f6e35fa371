"""Unseal keys: references only, enough of them, and offered once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from raft_snapshot_agent.core.snapshot_file.clear_parts import Seal
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.restore.members import Condition, MemberState
from raft_snapshot_agent.restore.unsealing import Unsealer, read_keys, require_enough
from raft_snapshot_agent.vault.answers import Answer, Identity

TWO_OF_THREE = Seal("shamir", 3, 2)


class FakeNode:
    """A server that opens with `right` keys, `threshold` of them."""

    address = "http://a:8200"

    def __init__(self, right: Sequence[str], threshold: int = 2) -> None:
        self._right, self._threshold = right, threshold
        self.offered: list[dict[str, Any]] = []

    def call(self, _: str, path: str, *, body: dict[str, Any]) -> Answer:
        assert path == "sys/unseal"
        self.offered.append(body)
        given = [one["key"] for one in self.offered if "key" in one]
        if len(given) < self._threshold or "reset" in body:
            return Answer(200, {"sealed": True, "progress": len(given)})
        if set(given) <= set(self._right):
            return Answer(200, {"sealed": False})
        return Answer(400, {"errors": ["failed to unseal: message authentication failed"]})


def sealed(shares: int = 3, threshold: int = 2, seal: str = "shamir") -> MemberState:
    identity = Identity(sealed=True, shares=shares, threshold=threshold, seal=seal)
    return MemberState(FakeNode.address, Condition.SEALED, identity)


def offer(unsealer: Unsealer, node: Any, state: MemberState) -> bool:
    return unsealer.offer(node, state)


def test_no_key_is_written_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b").write_text("second\n")
    monkeypatch.setenv("A", "first")
    assert read_keys(["env://A", f"file://{tmp_path}/b", "env://A"]) == ("first", "second")
    with pytest.raises(ConfigError, match="is not a reference") as raised:
        read_keys(["hunter2hunter2"])
    assert "hunter2" not in str(raised.value)
    for one in ("env://NOBODY", "file://b", "file:///nonexistent/b"):
        with pytest.raises(ConfigError):
            read_keys([one])


def test_too_few_keys_are_told_before_anything_happens() -> None:
    require_enough((), TWO_OF_THREE)
    require_enough(("a", "b"), TWO_OF_THREE)
    require_enough(("a",), None)
    with pytest.raises(ConfigError, match=r"2 of 3 unseal keys .* and 1 given"):
        require_enough(("a",), TWO_OF_THREE)
    with pytest.raises(ConfigError, match="unsealed by awskms, not by unseal keys"):
        require_enough(("a",), Seal("awskms", 1, 1))


def test_a_node_is_unsealed_with_as_many_keys_as_it_takes() -> None:
    node, unsealer = FakeNode(["a", "b", "c"]), Unsealer(("a", "b", "c"), TWO_OF_THREE)
    assert offer(unsealer, node, sealed())
    assert node.offered == [{"key": "a"}, {"key": "b"}]
    assert unsealer.opened == {node.address}


@pytest.mark.parametrize("before", [sealed(1, 1), sealed(seal="static")])
def test_a_node_with_the_seal_of_before_waits_for_its_restart(before: MemberState) -> None:
    node, unsealer = FakeNode(["a", "b"]), Unsealer(("a", "b"), TWO_OF_THREE)
    assert not offer(unsealer, node, before)
    assert (node.offered, unsealer.waiting) == ([], {node.address})
    assert offer(unsealer, node, sealed())
    assert unsealer.waiting == set()


def test_wrong_keys_are_offered_once_and_taken_back() -> None:
    node, unsealer = FakeNode(["a", "b"]), Unsealer(("x", "y"), TWO_OF_THREE)
    for _ in range(3):
        assert not offer(unsealer, node, sealed())
    assert node.offered == [{"key": "x"}, {"key": "y"}, {"reset": True}]
    assert "do not open it" in unsealer.failures[node.address]
    assert "x" not in repr(unsealer).split("keys=")[-1].partition(",")[0]


def test_where_nothing_tells_how_many_too_few_are_told_by_the_node() -> None:
    node, unsealer = FakeNode(["a", "b"]), Unsealer(("a",), None)
    assert not offer(unsealer, node, sealed())
    assert unsealer.failures == {node.address: "the unseal keys are too few"}
    assert node.offered[-1] == {"reset": True}


def test_what_is_open_is_left_alone() -> None:
    node, unsealer = FakeNode(["a"]), Unsealer(("a",), None)
    assert not offer(unsealer, node, MemberState(node.address, Condition.ACTIVE))
    assert node.offered == []
