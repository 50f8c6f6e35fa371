"""Every wrapper hands on every verb: one that is forgotten would be noticed by no other test."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

import raft_snapshot_agent
from raft_snapshot_agent.backup.fencing import FencedSource
from raft_snapshot_agent.lease.held_lease import HeldLease
from raft_snapshot_agent.storage.base import BytesSource, Entry, Storage, UploadSource
from raft_snapshot_agent.storage.http.body import StoppableSource
from raft_snapshot_agent.storage.leftovers import Leftovers
from raft_snapshot_agent.storage.wrappers.forwarding import ForwardingSource, ForwardingStorage
from raft_snapshot_agent.storage.wrappers.logged import LoggedStorage
from raft_snapshot_agent.storage.wrappers.rate_limited import PacedSource, RateLimitedStorage
from raft_snapshot_agent.storage.wrappers.retrying import RetryingStorage
from raft_snapshot_agent.storage.wrappers.timeout import TimeoutStorage, WatchedSource

pytestmark = pytest.mark.anyio


class Valid:
    """A lease that is never lost."""

    def insist(self) -> None: ...


held_lease: HeldLease = Valid()  # type: ignore[assignment]
STORAGES: dict[type, Callable[[Storage], Storage]] = {
    ForwardingStorage: ForwardingStorage,
    RetryingStorage: RetryingStorage,
    RateLimitedStorage: lambda inner: RateLimitedStorage(inner, 1 << 30),
    TimeoutStorage: lambda inner: TimeoutStorage(inner, timedelta(seconds=60)),
    LoggedStorage: LoggedStorage,
}
SOURCES: dict[type, Callable[[UploadSource], UploadSource]] = {
    ForwardingSource: ForwardingSource,
    PacedSource: lambda inner: PacedSource(inner, 1 << 30),
    WatchedSource: WatchedSource,
    StoppableSource: lambda inner: StoppableSource(inner, Event()),
    FencedSource: lambda inner: FencedSource(inner, held_lease),
}
VERBS: dict[str, tuple[Any, ...]] = {
    "kind": (),
    "location": ("a.snap",),
    "put": ("a.snap", BytesSource(b"whole")),
    "entries": (),
    "read": ("a.snap",),
    "delete": ("a.snap",),
    "sweep": (Leftovers(static_name="a.snap"),),
}
STEPS: dict[str, tuple[Any, ...]] = {
    "link": (Path("a"),),
    "follow": (0,),
    "read": (0, 5),
}


class Recording:
    """A storage and a source that note what is asked of them, and answer unlike any other."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    @property
    def kind(self) -> str:
        self.asked.append(("kind",))
        return "recording"

    def location(self, name: str) -> str:
        self.asked.append(("location", name))
        return f"recording:{name}"

    async def put(self, name: str, source: UploadSource) -> int:
        self.asked.append(("put", name))
        return len(source.read(0, 5))

    async def entries(self) -> list[Entry]:
        self.asked.append(("entries",))
        return [Entry("a.snap", 5)]

    async def delete(self, name: str) -> None:
        self.asked.append(("delete", name))

    async def sweep(self, leftovers: Leftovers) -> int:
        self.asked.append(("sweep", leftovers))
        return 7

    async def read(self, name: str) -> Any:
        self.asked.append(("read", name))
        yield b"who"
        yield b"le"


class RecordingSource:
    """A source likewise."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def link(self, target: Path) -> bool:
        self.asked.append(("link", target))
        return True

    def follow(self, position: int) -> int:
        self.asked.append(("follow", position))
        return 5

    def read(self, position: int, size: int) -> bytes:
        self.asked.append(("read", position, size))
        return b"whole"


def verbs_of(protocol: type) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}


def all_below(base: type) -> set[type]:
    """Return a class and all that stand on it, in the whole package."""
    for module in pkgutil.walk_packages(raft_snapshot_agent.__path__, "raft_snapshot_agent."):
        if not module.name.endswith(("__main__", "closed")):
            importlib.import_module(module.name)
    below: set[type] = {base}
    each: type
    for each in type.__subclasses__(base):
        below |= all_below(each)
    return {each for each in below if each.__module__.startswith("raft_snapshot_agent.")}


async def answer_of(wrapped: Any, verb: str, arguments: tuple[Any, ...]) -> Any:
    """Ask for a verb, whatever form its answer has."""
    found = getattr(wrapped, verb)
    if not callable(found):
        return found
    answer = found(*arguments)
    if hasattr(answer, "__aiter__"):
        return b"".join([piece async for piece in answer])
    return await answer if hasattr(answer, "__await__") else answer


def test_the_table_knows_every_verb_and_every_wrapper() -> None:
    assert VERBS.keys() == verbs_of(Storage)
    assert STEPS.keys() == verbs_of(UploadSource)
    assert STORAGES.keys() == all_below(ForwardingStorage)
    assert SOURCES.keys() == all_below(ForwardingSource)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("wrapper", STORAGES, ids=lambda wrapper: wrapper.__name__)
async def test_a_storage_hands_on_the_verb_and_the_answer(wrapper: type, verb: str) -> None:
    plain, inner = Recording(), Recording()
    expected = await answer_of(plain, verb, VERBS[verb])
    assert await answer_of(STORAGES[wrapper](inner), verb, VERBS[verb]) == expected
    assert plain.asked[-1] in inner.asked


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("wrapper", STORAGES, ids=lambda wrapper: wrapper.__name__)
async def test_a_storage_hands_on_the_failure(wrapper: type, verb: str) -> None:
    class Fails(Recording):
        def __getattribute__(self, name: str) -> Any:
            if name == verb:
                raise LookupError(verb)
            return super().__getattribute__(name)

    with pytest.raises(LookupError, match=verb):
        await answer_of(STORAGES[wrapper](Fails()), verb, VERBS[verb])


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("wrapper", SOURCES, ids=lambda wrapper: wrapper.__name__)
async def test_a_source_hands_on_the_step_and_the_answer(wrapper: type, step: str) -> None:
    plain, inner = RecordingSource(), RecordingSource()
    expected = await answer_of(plain, step, STEPS[step])
    assert await answer_of(SOURCES[wrapper](inner), step, STEPS[step]) == expected
    assert inner.asked == plain.asked


@pytest.mark.parametrize("wrapper", STORAGES, ids=lambda wrapper: wrapper.__name__)
async def test_a_stream_that_is_dropped_is_closed_below(wrapper: type) -> None:
    closed: list[str] = []

    class Closing(Recording):
        async def read(self, name: str) -> Any:
            try:
                yield b"who"
                yield b"le"
            finally:
                closed.append(name)

    stream: Any = STORAGES[wrapper](Closing()).read("a.snap")
    assert await anext(stream) == b"who"
    with suppress(StopAsyncIteration):
        await stream.aclose()
    assert closed == ["a.snap"]


def forwards(method: ast.stmt) -> bool:
    """Return whether a method does nothing but to ask an attribute for what it is called itself."""
    if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) or len(method.body) != 1:
        return False
    done: Any = getattr(method.body[0], "value", None)
    done = done.value if isinstance(done, ast.Await) else done
    asked = done.func if isinstance(done, ast.Call) else done
    return (
        isinstance(asked, ast.Attribute)
        and asked.attr == method.name
        and isinstance(asked.value, ast.Attribute)
    )


def test_nobody_else_hands_on_verbs_by_hand() -> None:
    verbs, found = VERBS.keys() | STEPS.keys(), []
    for path in Path(raft_snapshot_agent.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                by_hand = [one.name for one in node.body if forwards(one) and one.name in verbs]  # type: ignore[attr-defined]
                found += [node.name] if len(by_hand) > 1 else []
    assert sorted(found) == ["ForwardingSource", "ForwardingStorage"]
