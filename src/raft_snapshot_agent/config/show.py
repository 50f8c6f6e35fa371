"""The configuration as an operator or an editor sees it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from raft_snapshot_agent.config.clusters import Fleet
from raft_snapshot_agent.config.load import LoadedFleet
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.core.duration import format_duration


def shown(config: Config) -> dict[str, Any]:
    """Return what is in force, defaults included; of secrets only their references."""
    values = config.model_dump(mode="json", exclude_none=True)
    if not config.vault.nodes:
        values["vault"] = {"address": config.vault.addresses[0], **values["vault"]}
    return values


def shown_fleet(fleet: LoadedFleet) -> dict[str, Any]:
    """Return the same of all clusters."""
    shows = {name: shown(one.config) for name, one in fleet.clusters.items()}
    if "" in shows:
        return shows[""]
    log = fleet.first.config.log.model_dump(mode="json")
    for show in shows.values():
        del show["log"]
    return {"log": log, "concurrency": fleet.concurrency, "clusters": shows}


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
    return {**dialect, **described, "properties": {**keys, **common}}


class _Schema(GenerateJsonSchema):
    """Writes defaults as the file has them."""

    def encode_default(self, dft: Any) -> Any:
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)
