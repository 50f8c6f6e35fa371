"""The house: how large its rooms may be, and what they may not be called."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "raft_snapshot_agent"
FILES = sorted(SOURCE.rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base_classes"}
KEYS = {"config", "lease", "metrics", "notify", "vault", "web"}
"""Packages whose names are keys of the configuration, too."""


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines without its docstring."""
    total = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        total -= (first.end_lineno or 0) - first.lineno + 1
    return total


def _name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def _module(path: Path) -> str:
    inside = path.relative_to(SOURCE.parent).with_suffix("")
    return ".".join(inside.parts).removesuffix(".__init__")


def test_a_file_stays_under_300_lines() -> None:
    lines = {_name(path): len(path.read_text().splitlines()) for path in FILES}

    assert {name: count for name, count in lines.items() if count > 300} == {}


def test_no_function_is_over_50_lines() -> None:
    long = [
        f"{_name(path)}:{f.name}" for path in FILES for f in _functions(path) if _code_lines(f) > 50
    ]

    assert long == []


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    assert {path.stem for path in FILES} & FORBIDDEN_NAMES == set()


def _imports(path: Path) -> Iterator[tuple[str, ast.alias]]:
    """List what a module imports from others of the package."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(SOURCE.name):
            yield from ((node.module or "", alias) for alias in node.names)


def test_names_are_imported_from_where_they_are_defined() -> None:
    imports = {path: [*_imports(path)] for path in FILES}
    modules = {_module(path) for path in FILES}
    passed_on = {
        (_module(path), one.asname or one.name) for path in FILES for _, one in imports[path]
    }
    found = [
        f"{_name(path)}: {one.name} from {module}"
        for path in FILES
        for module, one in imports[path]
        if (module, one.name) in passed_on and f"{module}.{one.name}" not in modules
    ]

    assert found == []


def test_no_two_public_classes_bear_one_name() -> None:
    classes = [
        node.name
        for path in FILES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]

    assert [name for name, count in Counter(classes).items() if count > 1] == []


def test_every_public_class_says_what_it_is() -> None:
    bare = [
        f"{path.name}:{node.name}"
        for path in FILES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]

    assert bare == []


_CONNECTIONS = re.compile(
    r"PoolManager|ProxyManager|HTTPS?ConnectionPool|create_default_context|getproxies|proxy_bypass"
    r"|proxy_from_url|trust_env=True|\brequests\.|urlopen\((?!\s*method)|http\.client|proxy_url\b"
)
_MAY_CONNECT = {
    "network": "the one place that decides",
    "servers": "its own servers, on loopback, for the demo",
    "vault/transport.py": "unix sockets",
}


def _may_connect(name: str) -> bool:
    return any(name == one or name.startswith(f"{one}/") for one in _MAY_CONNECT)


def test_connections_are_decided_in_one_place() -> None:
    found = [
        f"{_name(path)}:{number}: {line}"
        for path in FILES
        if not _may_connect(_name(path))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if _CONNECTIONS.search(line)
    ]

    assert found == []


def test_names_of_objects_are_checked_in_one_place() -> None:
    check = re.compile(r"""["']{2}, ["']\.["'], ["']\.\.["']""")
    found = [_name(path) for path in FILES if check.search(path.read_text())]

    assert found == ["storage/names.py"]


def test_json_of_others_is_read_in_one_place() -> None:
    """The configuration is an operator's own, and its errors have a line."""
    parse = re.compile(r"json\.loads?\(")
    found = [_name(path) for path in FILES if parse.search(path.read_text())]

    assert found == ["config/document.py", "core/foreign_json.py"]


_READ_WHOLE = re.compile(
    r"\.read_(?:text|bytes)\(|(?<!os)\.open\(\"rb\"\)|(?<!def )(?<![\w.])open\(|os\.(?:open|fdopen)\(.*\"r"
    r"|os\.O_RDONLY|\.load_(?:verify_locations|cert_chain)\(|\.read_private_key\("
)
_MAY_READ = {
    "__main__.py": "/dev/null",
    "config/files.py": "the configuration, which may come through a pipe",
    "demo": "what it wrote itself",
    "metrics/process.py": "the kernel's own",
    "network/trust.py": "after they were looked at",
    "private_folder.py": "folders",
    "restore/reader.py": "a snapshot, piece by piece",
    "restore/sending.py": "a snapshot, piece by piece",
    "servers": "what it wrote itself, and two bytes of a program",
    "service/scrubs.py": "folders",
    "small_file.py": "the one place",
    "storage/local": "snapshots, piece by piece, folders and the kernel's table of mounts",
    "transfer/spool.py": "the spool",
    "uptime.py": "the kernel's own",
    "web/page/render.py": "part of the package",
}


def test_files_are_read_whole_in_one_place() -> None:
    """Which bounds what is read, and waits for no pipe."""
    found = [
        f"{_name(path)}:{number}: {line}"
        for path in FILES
        if not any(_name(path) == one or _name(path).startswith(f"{one}/") for one in _MAY_READ)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if _READ_WHOLE.search(line)
    ]

    assert found == []


def test_a_module_that_a_text_names_exists() -> None:
    modules = {_name(path).removesuffix(".py").replace("/", ".") for path in FILES}
    modules |= {_name(path.parent).replace("/", ".") for path in FILES}
    packages = {name.partition(".")[0] for name in modules} - KEYS
    named = {
        (_name(path), found)
        for path in FILES
        for found in re.findall(r"`(\w+\.[\w.]+)`", path.read_text())
        if found.partition(".")[0] in packages
    }

    # What stands after a module's name is in that module.
    assert sorted(one for one in named if not {one[1], one[1].rpartition(".")[0]} & modules) == []
