"""The configuration for an operator, and its schema for an editor."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from raft_snapshot_agent.config.clusters import Fleet
from raft_snapshot_agent.config.loaded import LoadedFleet
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.core.duration import format_duration


def show(config: Config) -> dict[str, Any]:
    """Return all values, defaults included; of secrets only their references."""
    values: dict[str, Any] = _drop_empty(config.model_dump(mode="json", exclude_none=True))
    if not config.vault.nodes:
        values["vault"] = {"address": config.vault.addresses[0], **values["vault"]}
    return values


def shown_fleet(fleet: LoadedFleet) -> dict[str, Any]:
    """Return the same for all clusters."""
    shows = {name: show(one.config) for name, one in fleet.clusters.items()}
    if "" in shows:
        return shows[""]
    common = {key: one for key, one in show(fleet.first.config).items() if key in Fleet.in_each()}
    for one in shows.values():
        for key in common:
            del one[key]
    spread = format_duration(fleet.spread)
    return {**common, "concurrency": fleet.concurrency, "spread": spread, "clusters": shows}


def schema() -> dict[str, Any]:
    """Return the JSON Schema, for editors and linters."""
    described = Config.model_json_schema(schema_generator=_Schema)
    common = Fleet.model_json_schema(schema_generator=_Schema)["properties"]
    keys = described["properties"]
    cluster = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key: one for key, one in keys.items() if key not in common},
    }
    common["clusters"]["additionalProperties"] = cluster
    dialect = {"$schema": GenerateJsonSchema.schema_dialect}
    of_editors = {"$schema": {"type": "string"}}
    return {**dialect, **described, "properties": {**of_editors, **keys, **common}}


def _drop_empty(value: Any) -> Any:
    """Leave out empty lists and mappings: in a file they would be faults."""
    match value:
        case dict():
            said = {key: _drop_empty(one) for key, one in value.items()}
            return {key: one for key, one in said.items() if one not in ([], {})}
        case list():
            return [_drop_empty(one) for one in value]
        case _:
            return value


def _without_null(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _without_null(one) for key, one in value.items() if one is not None}


class _Schema(GenerateJsonSchema):
    """Writes defaults as in a file, without null, which a file must not contain."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        described = super().default_schema(schema)
        return {key: one for key, one in described.items() if (key, one) != ("default", None)}

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, timedelta):
            return format_duration(dft)
        return _drop_empty(_without_null(super().encode_default(dft)))
