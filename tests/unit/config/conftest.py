from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from raft_snapshot_agent.config.load import load
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.errors import ConfigError

LoadText = Callable[..., Loaded]
Refusal = Callable[..., str]


@pytest.fixture
def load_text(tmp_path: Path) -> LoadText:
    """Load a text as if it were a file of that name, away from this host's environment."""

    def load_as(name: str, text: str, environ: Mapping[str, str] | None = None) -> Loaded:
        path = tmp_path / name
        path.write_text(text)
        return load(path, environ or {})

    return load_as


@pytest.fixture
def refusal(load_text: LoadText, tmp_path: Path) -> Refusal:
    """The one line that a text is refused with, without the folder of the file."""

    def refuse(name: str, text: str, environ: Mapping[str, str] | None = None) -> str:
        with pytest.raises(ConfigError) as caught:
            load_text(name, text, environ)
        line = str(caught.value)
        assert "\n" not in line
        return line.replace(f"{tmp_path}/", "")

    return refuse


@pytest.fixture
def seed(load_text: LoadText) -> LoadText:
    def load_seed(environ: dict[str, str] | None = None, **keys: Any) -> Loaded:
        return load_text("snapshot.json", json.dumps({"addr": "http://v:8200", **keys}), environ)

    return load_seed


@pytest.fixture
def refuse_seed(refusal: Refusal) -> Refusal:
    def refuse(**keys: Any) -> str:
        return refusal("snapshot.json", json.dumps({"addr": "http://v:8200", **keys}))

    return refuse
