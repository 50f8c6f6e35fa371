"""Whatever bytes come, each reader ends with a value or with an error of its kind, at small cost.

`make soak` tries new bytes for about a minute; FUZZ_SECONDS=3600 for an hour for all readers
together. What a reader stumbles over is written to `corpus/`, named, and tried in every run of
the tests from then on.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.fuzz.mutation import mutated
from tests.fuzz.targets import TARGETS, Target, told

from raft_snapshot_agent.errors import AgentError

CORPUS = Path(__file__).parent / "corpus"
SECONDS = float(os.environ.get("FUZZ_SECONDS", "60")) / len(TARGETS)
MEMORY = 64 << 20
"""Bytes that reading one input may take."""
LONG = 128 << 10
WORDS = (
    b"x",
    b"'",
    b'"',
    b"eyJaaaaaaaa-",
    b"sftp://a:",
    b"a:",
    b"<",
    b"<!--",
    b"<script",
    b"9",
    b" ",
    b"\n",
)
"""What a search may begin with, again and again."""
PROCESSOR = 5.0
"""Seconds of the processor's own time: how busy the machine is does not count."""


def kept(name: str) -> list[Path]:
    return sorted((CORPUS / name.replace(" ", "-")).glob("*"))


def examples(name: str) -> Sequence[bytes]:
    return [*TARGETS[name].examples, *(path.read_bytes() for path in kept(name))]


def tried(target: Target, data: bytes) -> None:
    """Read, and make sure of what may come of it."""
    began = time.process_time()
    try:
        target.read(data)
    except target.allowed as error:
        if isinstance(error, AgentError):
            told(error)
    assert time.process_time() - began < PROCESSOR, "it takes too long"


def measured(target: Target, data: bytes) -> None:
    tracemalloc.start()
    try:
        tried(target, data)
        assert tracemalloc.get_traced_memory()[1] < MEMORY, "it takes too much memory"
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_stumbled_over_is_read(name: str) -> None:
    for data in examples(name):
        measured(TARGETS[name], data)


@pytest.mark.parametrize("name", TARGETS)
def test_bytes_that_are_almost_right_are_read(name: str) -> None:
    """The same few hundred in each run of the tests."""
    chance, corpus = random.Random(name), examples(name)
    for _ in range(150):
        tried(TARGETS[name], mutated(chance, corpus))


@pytest.mark.parametrize("name", TARGETS)
def test_words_without_end_are_read(name: str) -> None:
    """No search takes a time that grows with the square of a text."""
    whole = TARGETS[name].examples[0]
    middle = len(whole) // 2
    for word in WORDS:
        tried(TARGETS[name], whole[:middle] + (word * LONG)[:LONG] + whole[middle:])


@pytest.mark.soak
@pytest.mark.timeout(SECONDS * 4 + 180)
@pytest.mark.parametrize("name", TARGETS)
def test_new_bytes_are_read(name: str) -> None:
    seed = os.urandom(8).hex()
    chance, corpus, end = random.Random(seed), examples(name), time.monotonic() + SECONDS
    number = 0
    while time.monotonic() < end:
        data = mutated(chance, corpus)
        number += 1
        try:
            (tried if number % 20 else measured)(TARGETS[name], data)
        except Exception:
            path = CORPUS / name.replace(" ", "-") / hashlib.sha256(data).hexdigest()[:16]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            print(f"kept as {path.name}; input {number} of seed {seed}")
            raise
