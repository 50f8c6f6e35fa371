"""A store lies in forty ways; beside it the honest one has its snapshot, and no history is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.adversary import clouds, dav, sftp, store_lies
from tests.adversary.agent import Bench, Outcome, in_fours
from tests.adversary.good import history, lost, whole
from tests.adversary.s3 import Store, answer
from tests.adversary.store_lies import FAILED, STORED, Lie
from tests.adversary.tricks import anything

from raft_snapshot_agent.storage.limits import MOST_OBJECTS

KEY = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
LIES: dict[str, Lie] = store_lies.LIES | dav.LIES | clouds.LIES | sftp.LIES
OLD = [*store_lies.LIES, *dav.LIES]
SECRETS = (
    "AWS4-HMAC",
    "AKIDEXAMPLE",
    "A-SESSION-TOKEN",
    KEY,
    dav.SECRET,
    "SharedKey",
    clouds.AZURE_KEY,
    clouds.SWIFT_TOKEN,
)
"""What belongs to the store and to nobody else."""
ENDLESS = re.compile(r"never|drips|a byte at a time|100 Continue")
"""Lies that only the agent's patience ends: each try of each request is waited for to its end."""
WITHIN = 120.0
"""Seconds after which a run, with time-outs of seconds, is called endless."""


@pytest.fixture
def elsewhere() -> Iterator[Store]:
    """Somebody else's server, which takes all that comes."""
    with Store() as one:
        one.rules = [(anything, lambda exchange: answer(exchange, 200, b""))]
        yield one


def _opened(name: str) -> Any:
    """Run the store that tells this lie."""
    if name in dav.LIES:
        return dav.DavStore(name)
    if name in sftp.LIES:
        return sftp.SftpStore(name)
    return clouds.STORES[name.split(maxsplit=1)[0]](name) if name in clouds.LIES else Store(name)


class Trial:
    """An agent whose stores lie, each in its way."""

    def __init__(self, bench: Bench, cluster_id: str, elsewhere: Store, lies: list[str]) -> None:
        self._bench = bench
        self._elsewhere = elsewhere
        self._good = history(cluster_id)
        self._open = ExitStack()
        self._stores: list[Any] = [self._open.enter_context(_opened(name)) for name in lies]
        for path, content in self._good.items():
            (bench.honest / path).write_bytes(content)
        for store in self._stores:
            store.plant(self._good)
            store.rules = [*LIES[store.name].rules(store, elsewhere.address)]
        bench.storages = [store.settings() for store in self._stores]
        for name, settings in zip(lies, bench.storages, strict=True):
            if ENDLESS.search(name) and FAILED in LIES[name].codes:
                settings["timeout"] = "1s"  # whichever request it ends may fail
            if settings["type"] == "s3":
                settings |= {"session_token": "A-SESSION-TOKEN-OF-OURS", "sse_customer_key": KEY}

    def close(self) -> None:
        self._open.close()

    def holds(self) -> None:
        """Run once while they lie, and once more when they do not."""
        outcome = self._bench.run(within=WITHIN)
        wrong = [words for store in self._stores for words in self._wrong(store, outcome)]
        assert wrong == [], outcome.said
        for store, settings in zip(self._stores, self._bench.storages, strict=True):
            store.rules = []
            settings["timeout"] = "30s"  # no lie is to be waited for any more
        healed = self._bench.run(within=WITHIN)
        assert healed.code in {0, 6}, healed.said
        self._complete()

    def _wrong(self, store: Any, outcome: Outcome) -> Iterator[str]:
        lie: Lie = LIES[store.name]
        about = re.compile(
            rf"(?:created|in|for|info|warning|error) +{store.name}(?: snapshot to |: )"
        )
        lines = [line for line in outcome.said.splitlines() if about.search(line)]
        told = [line for line in lines if "Z error " in line or "Z warning " in line]
        stored = any("Successfully created" in line for line in lines)
        if (STORED if stored else FAILED) not in lie.codes:
            yield f"{store.name}: {'stored' if stored else 'not stored'}"
        if not stored and not told:
            yield f"{store.name}: nothing was said"
        if len([line for line in told if "Could not store" in line]) > 1:
            yield f"{store.name}: told in several lines"
        if lie.quiet and told:
            yield f"{store.name}: {told}"
        if lie.words and not re.search(lie.words, "\n".join(told)):
            yield f"{store.name}: {lie.words!r} is not in {told}"
        sent = "\n".join(f"{one.target}\n{one.headers}" for one in self._elsewhere.requests)
        yield from (f"{secret[:12]} went elsewhere" for secret in SECRETS if secret in sent)
        self._complete()

    def _complete(self) -> None:
        held = {path.name: path.read_bytes() for path in self._bench.honest.iterdir()}
        new = whole(held) - set(self._good)
        assert new, "the honest storage has no new snapshot"
        gone = {store.name: lost(self._good, store.files) for store in self._stores}
        gone["honest"] = lost(self._good, held)
        assert not any(gone.values()), gone


@pytest.mark.parametrize(
    "told",
    [pytest.param(OLD, id="old", marks=pytest.mark.soak), pytest.param([*clouds.LIES], id="new")],
)
def test_stores_that_lie_together_cost_no_good_snapshot(
    bench: Bench, elsewhere: Store, cluster_id: str, told: list[str]
) -> None:
    trial = Trial(bench, cluster_id, elsewhere, [name for name in told if LIES[name].gregarious])
    try:
        trial.holds()
    finally:
        trial.close()


@pytest.mark.soak
@pytest.mark.parametrize("names", in_fours(LIES), ids=", ".join)
def test_few_lies_cost_no_good_snapshot(
    names: list[str], bench: Bench, elsewhere: Store, cluster_id: str
) -> None:
    trial = Trial(bench, cluster_id, elsewhere, names)
    try:
        trial.holds()
    finally:
        trial.close()


@pytest.mark.soak
def test_the_longest_list_that_is_taken_has_room(
    bench: Bench, elsewhere: Store, cluster_id: str
) -> None:
    """As long as `max_objects` allows, and not only as far as a time-out of seconds reaches."""
    trial = Trial(bench, cluster_id, elsewhere, ["lists without an end"])
    try:
        bench.storages[0]["timeout"] = "60s"
        outcome = bench.run(within=WITHIN)
        # On a busy machine the run gives the store up before its list is that long.
        assert re.search(
            rf"more than {MOST_OBJECTS} objects|cannot list .*: no answer within", outcome.said
        )
    finally:
        trial.close()
