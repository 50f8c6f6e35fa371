"""What `docs/auth.md` says of every way to log in is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from raft_snapshot_agent.config.load import load
from raft_snapshot_agent.vault.auth import LOGINS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/auth.md").read_text()
README = (ROOT / "README.md").read_text()
MODELS = dict(LOGINS)
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
EXAMPLES = [
    (method, text)
    for method, section in SECTIONS.items()
    for text in re.findall(r"^```yaml\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
]


@pytest.mark.parametrize(("method", "text"), EXAMPLES)
def test_an_example_is_of_its_method_and_loads(tmp_path: Path, method: str, text: str) -> None:
    document = {"vault": yaml.safe_load(text), "storages": [{"type": "local", "path": "/x"}]}
    file = tmp_path / "example.yaml"
    file.write_text(yaml.safe_dump(document))
    auth = load(file, {}).config.vault.auth
    assert auth is not None
    assert auth.method == method


def test_every_method_has_an_example_and_stands_in_the_readme() -> None:
    assert {method for method, _ in EXAMPLES} == set(MODELS)
    assert {method for method in MODELS if f"`{method}`" not in README} == set()


@pytest.mark.parametrize("method", MODELS)
def test_every_key_of_a_method_is_told_in_its_section(method: str) -> None:
    told = set(re.findall(r"`(\w+)`", SECTIONS[method])) | {"method"}
    if re.search(r"`wrapped: true`", SECTIONS[method]):
        told.add("wrapped")
    assert set(MODELS[method].model_fields) <= told


@pytest.mark.parametrize("method", sorted(set(MODELS) - {"none"}))
def test_every_method_shows_what_to_set_up_on_the_server(method: str) -> None:
    (commands, *_) = re.findall(r"^```sh\n(.*?)^```", SECTIONS[method], re.DOTALL | re.MULTILINE)
    lines = commands.splitlines()
    assert all(line.startswith(("bao ", "vault ")) for line in lines)
    assert any("snapshot" in line for line in lines)
