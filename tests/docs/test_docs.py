"""What is written is so: commands, links, exit codes and examples."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.cli.commands import COMMANDS

from raft_snapshot_agent.cli.app import app
from raft_snapshot_agent.config.load import load_all
from raft_snapshot_agent.core.snapshots.notes import GUARD_NAME, RESTORED_NAME, SCRUB_NAME
from raft_snapshot_agent.core.snapshots.snapshot import Sidecar
from raft_snapshot_agent.errors import AgentError

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
TEXTS = {page: page.read_text() for page in PAGES}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
USE = re.compile(r"\braft-snapshot-agent +((?:(?:config|notify) +)?[a-z|]+)(?=[ \n`])(.*)")
READERS = {"yaml": yaml.safe_load_all, "json": json.loads, "toml": tomllib.loads}
SIGNALS = {129, 130, 143}
REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|yarnpkg\.com|proxy\.golang\.org"
    r"|crates\.io|docker\.io|ghcr\.io|quay\.io|rubygems\.org|conda\.anaconda\.org"
)
HOMES = re.compile(r"/(?:home|Users)/[a-z]\w*/|/roo[t]/")


def shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


def examples() -> list[tuple[str, str, str]]:
    """Every example of a file: its page, its language and its text."""
    return [
        (shown(page), language, text)
        for page, content in TEXTS.items()
        for language, text in FENCE.findall(content)
        if language in READERS
    ]


def uses() -> Iterator[tuple[str, str, str]]:
    """Every use of a command in the pages: page, command and the rest of the line."""
    for page, content in TEXTS.items():
        for command, rest in USE.findall(content):
            group, _, names = command.rpartition(" ")
            for name in names.split("|"):
                yield shown(page), f"{group} {name}".strip(), rest


def slug(heading: str) -> str:
    """Make a heading's anchor, as forges do."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def kinds(kind: type[AgentError] = AgentError) -> Iterator[type[AgentError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from kinds(child)


def tracked() -> dict[str, str]:
    """Every text file of the repository, those that are to be added included."""
    if not (ROOT / ".git").exists():
        # Only in an archive that was unpacked; every checkout has it.
        pytest.skip("an unpacked archive: git knows what belongs to it")
    command = [
        "git",
        "-C",
        str(ROOT),
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    listed = subprocess.run(command, check=True, capture_output=True, text=True)
    found = {}
    for name in filter(None, listed.stdout.split("\0")):
        try:
            found[name] = (ROOT / name).read_text()
        except (UnicodeDecodeError, FileNotFoundError):
            continue
    return found


@pytest.mark.parametrize("command", [one for one in COMMANDS if one not in {"config", "notify"}])
def test_every_command_is_in_the_readme(command: str) -> None:
    assert command in {name for page, name, _ in uses() if page == "README.md"}


def test_every_command_in_the_pages_exists_with_its_options() -> None:
    wrong = []
    for page, name, rest in uses():
        if name not in COMMANDS:
            wrong.append(f"{page}: there is no command {name}")
            continue
        known = {option for one in COMMANDS[name].params for option in one.opts}
        usage = rest.partition("  ")[0].partition("`")[0]
        used = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", usage)
        wrong += [f"{page}: {name} has no option {one}" for one in used if one not in known]

    assert wrong == []


def test_every_link_leads_somewhere() -> None:
    broken = []
    for page, content in TEXTS.items():
        for target in LINK.findall(content):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            if not there.exists():
                broken.append(f"{shown(page)}: {target}")
            elif anchor and there in TEXTS:
                headings = re.findall(r"^#+ +(.*)$", TEXTS[there], re.MULTILINE)
                if anchor not in map(slug, headings):
                    broken.append(f"{shown(page)}: {target}")

    assert broken == []


def test_the_readme_has_every_exit_code_and_no_other() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \|", README.read_text(), re.MULTILINE)

    told = {int(code) for row in rows for code in row.split(",")}
    assert told == {kind.exit_code for kind in kinds()} | {0} | SIGNALS


def test_the_help_has_every_exit_code() -> None:
    (sentence,) = re.findall(r"Exit codes: (.*)\.", app.info.help or "")

    assert set(map(int, re.findall(r"\b\d+\b", sentence))) == (
        {kind.exit_code for kind in kinds()} | {0} | SIGNALS
    )


@pytest.mark.parametrize(("page", "language", "text"), examples())
def test_every_example_loads(tmp_path: Path, page: str, language: str, text: str) -> None:
    read: Any = READERS[language]
    document = read(text)
    parts = list(document) if language == "yaml" else [document]
    assert all(parts), f"{page}: an empty example"
    if {"storages", "vault", "addr"} & set(parts[0]):
        file = tmp_path / f"example.{language}"
        file.write_text(text)
        assert all(one.config.storages for one in load_all(file, {}).clusters.values())


def test_the_readme_shows_a_configuration() -> None:
    assert any("storages" in text for page, _, text in examples() if page == "README.md")


def test_no_file_names_a_package_registry() -> None:
    wrong = {name: REGISTRIES.findall(text) for name, text in tracked().items()}

    assert {name: hosts for name, hosts in wrong.items() if hosts} == {}


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    ours = re.compile(f"{re.escape(str(ROOT))}(?![\\w-])|{HOMES.pattern}")
    wrong = {name: ours.findall(text) for name, text in tracked().items()}

    assert {name: paths for name, paths in wrong.items() if paths} == {}


def test_who_goes_back_is_told_of_every_file_that_is_no_snapshot() -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    told = page.partition("so that its `retain` counts only snapshots: ")[2].partition(". ")[0]
    patterns = re.findall(r"`([^`]+)`", told.partition(" Among ")[0])
    snapshot = "raft_snapshot-1795447800000000000.snap"
    notes = [GUARD_NAME, RESTORED_NAME, SCRUB_NAME]
    for name in (*notes, *(one.name_for(snapshot) for one in Sidecar)):
        assert any(fnmatch(name, pattern) for pattern in patterns), name
    assert not any(fnmatch(snapshot, pattern) for pattern in patterns)
