"""Kinds are loaded when something is of them, and all are known to errors and schema."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from raft_snapshot_agent.config.show import schema
from raft_snapshot_agent.lease import LEASES
from raft_snapshot_agent.notify import NOTIFIERS
from raft_snapshot_agent.registry import Part, Registry, _load
from raft_snapshot_agent.storage import STORAGES
from raft_snapshot_agent.vault.auth import LOGINS

ROOT = Path(__file__).parents[2]
REGISTRIES = {
    "storages": (STORAGES, "type"),
    "logins": (LOGINS, "method"),
    "leases": (LEASES, "type"),
    "notifiers": (NOTIFIERS, "type"),
}
PAGES = {
    "storages": "storages.md",
    "logins": "auth.md",
    "leases": "configuration.md",
    "notifiers": "notifications.md",
}


@pytest.fixture
def kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    package = tmp_path / "zoo"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, key in (("cat", "lives: int"), ("dog", "path: Path")):
        (package / f"{name}.py").write_text(
            "from pathlib import Path\nfrom typing import Literal\nfrom pydantic import BaseModel\n"
            f"class Animal(BaseModel):\n    type: Literal['{name}']\n    {key}\n"
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    # Each test has a zoo of its own, by the same name.
    monkeypatch.setattr("raft_snapshot_agent.registry._load", _load.__wrapped__)
    for module in ("zoo", "zoo.cat", "zoo.dog"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return Registry("type", "zoo", {"cat": "cat:Animal", "dog": "dog:Animal"})


def adapter(kinds: Registry) -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[BaseModel, kinds])


def test_a_part_is_loaded_when_something_is_said_of_it(kinds: Registry) -> None:
    assert set(kinds) == {"cat", "dog"}
    part: TypeAdapter[Any] = TypeAdapter(Annotated[Any, Part("zoo", "dog:Animal")] | None)
    assert part.validate_python(None) is None
    assert "zoo.dog" not in sys.modules
    told = json.dumps({"type": "dog", "path": "/bones"})
    dog = part.validate_json(told, strict=True)
    assert dog.path == Path("/bones")
    assert part.validate_python(dog) is dog
    assert part.dump_python(dog, mode="json") == json.loads(told)


def test_errors_and_schema_of_a_part_are_those_of_the_model(kinds: Registry) -> None:
    part, model = (
        TypeAdapter(Annotated[Any, Part("zoo", "cat:Animal")]),
        TypeAdapter(kinds["cat"]),
    )
    assert part.json_schema() == model.json_schema()
    wrongs: list[Any] = [{"type": "cat"}, {"type": "cat", "lives": "9"}, [], "cat", 9]
    for wrong in wrongs:
        faults = []
        for one in (part, model):
            with pytest.raises(ValidationError) as caught:
                one.validate_json(json.dumps(wrong), strict=True)
            faults.append([(each["loc"], each["type"]) for each in caught.value.errors()])
        assert faults[0] == faults[1], wrong


def test_only_what_is_named_is_loaded(kinds: Registry) -> None:
    assert adapter(kinds).validate_python({"type": "cat", "lives": 9}).lives == 9
    assert {"zoo.cat", "zoo.dog"} & sys.modules.keys() == {"zoo.cat"}


def test_json_is_read_strictly_and_takes_text_for_a_path(kinds: Registry) -> None:
    made = adapter(kinds).validate_json('{"type": "dog", "path": "/x"}')
    assert made.path == Path("/x")
    with pytest.raises(ValidationError, match="valid integer"):
        adapter(kinds).validate_json('{"type": "cat", "lives": "9"}')


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"type": "cow"}, "union_tag_invalid"),
        ({"type": 5}, "union_tag_invalid"),
        ({"type": ["cat"]}, "union_tag_invalid"),
        ({}, "union_tag_not_found"),
        ("cat", "model_attributes_type"),
    ],
)
def test_what_names_no_kind_is_refused_and_loads_none(
    kinds: Registry, value: Any, error: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        adapter(kinds).validate_python(value)
    assert [fault["type"] for fault in caught.value.errors()] == [error]
    assert {"zoo.cat", "zoo.dog"} & sys.modules.keys() == set()


def test_what_is_wrong_inside_is_told_where_it_is(kinds: Registry) -> None:
    pairs = TypeAdapter(list[Annotated[BaseModel, kinds]])
    with pytest.raises(ValidationError) as caught:
        pairs.validate_python([{"type": "cat", "lives": 1}, {"type": "cat", "lives": "x"}])
    assert [fault["loc"] for fault in caught.value.errors()] == [(1, "lives")]


def test_the_schema_knows_every_kind(kinds: Registry) -> None:
    described = adapter(kinds).json_schema()
    assert list(described["discriminator"]["mapping"]) == ["cat", "dog"]
    assert len(described["$defs"]) == 2


@pytest.mark.parametrize("name", REGISTRIES)
def test_every_kind_is_registered_under_its_own_name(name: str) -> None:
    registry, tag = REGISTRIES[name]
    known = {
        one["properties"][tag]["const"]
        for one in schema()["$defs"].values()
        if "const" in one.get("properties", {}).get(tag, {})
    }
    for kind, model in registry.items():
        assert model.model_json_schema()["properties"][tag]["const"] == kind
        assert kind in known


def test_a_configuration_loads_the_rooms_it_names_and_no_others(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        "vault: {auth: {method: approle, role_id: r}}\n"
        f"storages: [{{type: local, path: {tmp_path}}}, {{type: swift, container: c}}]\n"
    )
    script = (
        "import sys; from pathlib import Path; from raft_snapshot_agent.config.load import load;"
        f"load(Path({str(file)!r}), {{}}); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    top = "raft_snapshot_agent"
    assert {f"{top}.storage.{one}.{one}" for one in STORAGES} & loaded == {
        f"{top}.storage.local.local",
        f"{top}.storage.swift.swift",
    }
    # A token in the environment is one as well.
    logins = {f"{top}.vault.auth.{one}" for one in LOGINS} & loaded
    assert logins == {f"{top}.vault.auth.{one}" for one in ("approle", "token")}


EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
SOURCES = {path: path.read_text() for path in (ROOT / "src").rglob("*.py")}
DOCS = "\n".join(path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))


def test_every_extra_that_a_message_names_can_be_installed_and_is_in_the_docs() -> None:
    named = {one for text in SOURCES.values() for one in re.findall(r"agent\[([a-z-]+)\]", text)}
    for text in SOURCES.values():
        named |= {*re.findall(r'require_extra\(\s*"([a-z-]+)"', text)}
    assert named == set(EXTRAS)
    told = {one for one in named if f"raft-snapshot-agent[{one}]" in DOCS}
    assert named - told == {"demo"}  # which make installs


@pytest.mark.parametrize("what", REGISTRIES)
def test_every_kind_is_in_the_docs(what: str) -> None:
    registry, tag = REGISTRIES[what]
    page = (ROOT / "docs" / PAGES[what]).read_text()
    assert {one for one in registry if not re.search(rf"`{one}`|{tag}: {one}\b", page)} == set()


def test_every_storage_is_kept_apart_from_the_others() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (kept,) = (one for one in contracts["contracts"] if one["type"] == "independence")
    rooms = {model.__module__.rpartition(".")[0] for model in STORAGES.values()}
    assert rooms - {*kept["modules"]} == set()
