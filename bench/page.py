"""Measure what the page costs: `python -m bench.page`.

A status is made of 500 clusters with 20 stored snapshots each, 10,000 in all, of which some fail.
What is measured is one rendering; a server makes each at most once a second, whoever asks.
"""

from __future__ import annotations

import resource
import time
import tracemalloc
from collections.abc import Callable
from statistics import median

from tests.unit.web.statuses import agent, many

from raft_snapshot_agent.metrics.exposition import Exposer, exposition
from raft_snapshot_agent.observe.json_text import write_json
from raft_snapshot_agent.observe.status_document import document
from raft_snapshot_agent.web.page.cluster_view import PageQuery
from raft_snapshot_agent.web.page.render import render_page
from raft_snapshot_agent.web.stored import MOST, Question, list_snapshots

ROUNDS = 15


def main() -> None:
    tracemalloc.start()
    fleet = many(500, 20)
    held = tracemalloc.get_traced_memory()[0] >> 10
    tracemalloc.stop()
    single, exposer = agent(), Exposer()
    query = PageQuery(cluster="team-007")
    works: dict[str, Callable[[], bytes]] = {
        "page, 1 cluster": lambda: render_page(single),
        "page, 500 clusters": lambda: render_page(fleet),
        "page, one of 500 clusters": lambda: render_page(fleet, query),
        "metrics, 500 clusters, the first time": lambda: exposition(fleet)[1],
        "metrics, 500 clusters, again": lambda: exposer.render(fleet)[1],
        "status as JSON, 500 clusters": lambda: write_json(document(fleet)),
        f"{MOST} of 10,000 snapshots as JSON": lambda: write_json(
            list_snapshots(fleet, Question(limit=MOST))
        ),
    }
    print("| what | median ms of CPU | KiB |\n|---|---:|---:|")
    for name, work in works.items():
        work()
        times = []
        for _ in range(ROUNDS):
            begun = time.process_time()
            size = len(work())
            times.append(time.process_time() - begun)
        print(f"| {name} | {median(times) * 1000:.0f} | {size >> 10} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"\nThe status of 500 clusters takes {held} KiB; this process {peak} MiB at most.")


if __name__ == "__main__":
    main()
