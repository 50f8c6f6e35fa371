"""Kinds of settings by name; the module of a kind is imported when it is first used."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticKnownError, core_schema


class Registry(Mapping[str, type[BaseModel]]):
    """Settings of several kinds; the value of a tag selects the kind.

    A field annotated with it accepts any kind. Errors and JSON schema equal those of pydantic's
    tagged unions, which would need the models of all kinds before the first is used.
    """

    def __init__(self, tag: str, package: str, kinds: Mapping[str, str]) -> None:
        """Register the kinds.

        Arguments:
            tag: The key whose value names the kind.
            package: The package of their modules.
            kinds: `module:Class` by name, the module relative to the package.
        """
        self._tag = tag
        self._package = package
        self._kinds = kinds

    def __getitem__(self, name: str) -> type[BaseModel]:
        return _load(self._package, self._kinds[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def __hash__(self) -> int:
        return id(self)  # typing hashes annotations

    def _validate(self, value: Any, info: ValidationInfo) -> BaseModel:
        """Build settings of the kind that their tag selects."""
        return value if isinstance(value, BaseModel) else _make(self._choose(value), value, info)

    def _choose(self, value: Any) -> type[BaseModel]:
        """Load the kind that the tag of a mapping selects.

        Raises:
            PydanticKnownError: It is not a mapping, or its tag is missing or unknown.
        """
        told: dict[str, Any] = {"discriminator": repr(self._tag)}
        if not isinstance(value, dict):
            raise PydanticKnownError("model_attributes_type")
        if self._tag not in value:
            raise PydanticKnownError("union_tag_not_found", told)
        name = value[self._tag]
        if not isinstance(name, str) or name not in self._kinds:
            told |= {"tag": str(name), "expected_tags": ", ".join(map(repr, self))}
            raise PydanticKnownError("union_tag_invalid", told)
        return self[name]

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the schema of every kind; this imports all of them."""
        choices = {name: kind.__pydantic_core_schema__ for name, kind in self.items()}
        return handler(core_schema.tagged_union_schema(choices, self._tag))


class Part:
    """Settings of one kind that few configurations have; loaded when they are given.

    A field annotated with it accepts them. Errors and JSON schema equal those of the model.
    """

    def __init__(self, package: str, where: str) -> None:
        """Store the place of the kind: `module:Class`, the module relative to the package."""
        self._package = package
        self._where = where

    @property
    def kind(self) -> type[BaseModel]:
        """The model, loaded now."""
        return _load(self._package, self._where)

    def _validate(self, value: Any, info: ValidationInfo) -> BaseModel:
        return value if isinstance(value, BaseModel) else _make(self.kind, value, info)

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return its schema in place, not by a reference to `$defs`; this loads it."""
        return handler(self.kind.__pydantic_core_schema__)


def _make(kind: type[BaseModel], value: Any, info: ValidationInfo) -> BaseModel:
    if info.mode != "json":
        return kind.model_validate(value, context=info.context)
    # JSON input comes from a file and is validated strictly. Only JSON mode accepts text for
    # paths and lists for tuples then.
    return kind.model_validate_json(json.dumps(value), strict=True, context=info.context)


@cache
def _load(package: str, where: str) -> type[BaseModel]:
    module, _, name = where.partition(":")
    kind: type[BaseModel] = getattr(import_module(f"{package}.{module}"), name)
    return kind
