"""What `docs/configuration.md` says is true."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from raft_snapshot_agent.config import load as loading
from raft_snapshot_agent.config.dialects.seed import (
    SeedAws,
    SeedAzure,
    SeedFile,
    SeedGoogle,
    SeedLocal,
)
from raft_snapshot_agent.config.load import load_all
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.config.show import schema
from raft_snapshot_agent.errors import ConfigError

PAGE = (Path(__file__).parents[3] / "docs/configuration.md").read_text()
EXAMPLES = re.findall(r"^```(yaml|json|toml)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
OURS, SEEDS = PAGE.split("## The original agent's")


@pytest.mark.parametrize(("suffix", "text"), EXAMPLES)
def test_every_example_loads_and_has_storages(tmp_path: Path, suffix: str, text: str) -> None:
    path = tmp_path / f"example.{suffix}"
    path.write_text(text)
    clusters = load_all(path, {}).clusters.values()
    assert all(loaded.config.storages for loaded in clusters)


def test_there_are_examples_in_every_format() -> None:
    assert {suffix for suffix, _ in EXAMPLES} == {"yaml", "json", "toml"}


def test_every_key_of_ours_has_a_row() -> None:
    described = schema()
    parts = [described, *described["$defs"].values(), *described["properties"].values()]
    keys = {key for part in parts for key in part.get("properties", {})}
    assert keys - {"$schema"} == set(re.findall(r"^\| `(\w+)` \|", OURS, re.MULTILINE))


def test_every_key_of_the_originals_is_told() -> None:
    told = set(re.findall(r"\w+", SEEDS))
    for part in (SeedFile, SeedLocal, SeedAws, SeedGoogle, SeedAzure):
        assert set(part.model_fields) <= told


def test_the_places_are_in_order() -> None:
    order = [PAGE.index(str(place)) for place in loading.PLACES]
    assert order == sorted(order)


def test_the_errors_shown_are_the_errors_made(
    load_text: Callable[..., Loaded], tmp_path: Path
) -> None:
    (shown,) = re.findall(r"^```text\n(.*?)\n```", PAGE, re.MULTILINE | re.DOTALL)
    text = "# ours\nvault:\n  address:\n" + "\n" * 5
    text += "storages:\n  - {type: local, path: /x}\n  - type: local\n    pth: /y\n"
    with pytest.raises(ConfigError) as caught:
        load_text("config.yaml", text)
    lines = [line.replace(f"{tmp_path}/", "") for line in caught.value.lines]
    assert [f"error: {line}" for line in lines] == shown.splitlines()


def test_a_bare_environment_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "PLACES", ())
    assert loading.load(None, {"VAULT_ADDR": "https://h:8200"}).path is None
    with pytest.raises(ConfigError):
        loading.load(None, {})
