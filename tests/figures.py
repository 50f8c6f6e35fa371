"""Prints the figures of the house: modules, import graph, files and functions (docs/decisions/0060).

`python -m tests.figures [FOLDER]`; the folder holds the package, by default `src`.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections import Counter
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

PACKAGE = "raft_snapshot_agent"
Graph = dict[str, set[str]]


def read_imports(folder: Path) -> Graph:
    """Return which modules each module imports."""
    sys.path.insert(0, str(folder))
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    return {one: set(graph.find_modules_directly_imported_by(one)) for one in graph.modules}


def join_at_top(imports: Graph) -> Graph:
    """Reduce the graph to the modules and folders at the top of the package."""
    top: Graph = {}
    for module, imported in imports.items():
        if module != PACKAGE:
            node = module.split(".")[1]
            others = {one.split(".")[1] for one in imported if one != PACKAGE}
            top.setdefault(node, set()).update(others - {node})
    return top


def has_cycle(graph: Graph) -> bool:
    """Return whether any module imports itself by way of others."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError:
        return True
    return False


def measure_depth(graph: Graph) -> int:
    """Return how many nodes the longest path of a graph without cycles has."""

    @cache
    def below(node: str) -> int:
        return 1 + max(map(below, graph[node]), default=0)

    return max(map(below, graph))


def measure_functions(text: str) -> list[int]:
    """Return the lines of each function, without docstrings."""
    lengths = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            told = node.body[0] if ast.get_docstring(node) else None
            docstring = 0 if told is None else (told.end_lineno or 0) - told.lineno + 1
            lengths.append((node.end_lineno or 0) - node.lineno + 1 - docstring)
    return lengths


def describe(folder: Path) -> str:
    """Describe the package in a folder, one figure a line."""
    files = sorted((folder / PACKAGE).rglob("*.py"))
    texts = [path.read_text() for path in files]
    lines = [len(text.splitlines()) for text in texts]
    folders = Counter(str(path.parent.relative_to(folder)) for path in files)
    functions = [length for text in texts for length in measure_functions(text)]
    imports = read_imports(folder)
    top = join_at_top(imports)
    told = {
        "modules": len(files),
        "lines": sum(lines),
        "folders": len(folders),
        "modules in a folder, median": statistics.median(folders.values()),
        "most modules in a folder": "{1} ({0})".format(*folders.most_common(1)[0]),
        "nodes at the top": len(top),
        "imports between them": sum(map(len, top.values())),
        "nodes of the longest path": "cycle" if has_cycle(top) else measure_depth(top),
        "cycles of modules": "some" if has_cycle(imports) else "none",
        "longest file": max(lines),
        "functions": len(functions),
        "function, median": statistics.median(functions),
        "function, longest": max(functions),
    }
    return "\n".join(f"{name:<28} {value}" for name, value in told.items())


if __name__ == "__main__":
    print(describe(Path(*sys.argv[1:2] or ["src"]).resolve()))
