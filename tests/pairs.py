"""Choosing, from all combinations of features, so few that each pair of values meets once."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

Row = dict[str, str]
_Pair = frozenset[tuple[str, str]]
_CANDIDATES = 30


def pairwise(factors: Mapping[str, Sequence[str]], seed: int = 0) -> Iterator[Row]:
    """Yield rows until each pair of values of two factors was in one (greedy, not minimal)."""
    chance = random.Random(seed)
    open_pairs = {
        frozenset({(one, a), (other, b)})
        for one, other in combinations(factors, 2)
        for a in factors[one]
        for b in factors[other]
    }
    for must in sorted(open_pairs, key=sorted):
        if must not in open_pairs:
            continue
        candidates = [_row(factors, must, chance) for _ in range(_CANDIDATES)]
        best = max(candidates, key=lambda row: len(pairs_of(row) & open_pairs))
        open_pairs -= pairs_of(best)
        yield best


def pairs_of(row: Row) -> set[_Pair]:
    return {frozenset(pair) for pair in combinations(row.items(), 2)}


def _row(factors: Mapping[str, Sequence[str]], must: _Pair, chance: random.Random) -> Row:
    return {name: chance.choice(values) for name, values in factors.items()} | dict(must)
