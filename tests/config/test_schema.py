"""The schema that editors read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from torchio_seg import components
from torchio_seg.config.optimizations import OPTIMIZATIONS
from torchio_seg.config.resolve import KINDS
from torchio_seg.config.schema import to_schema
from torchio_seg.config.sections import Augmentation, Experiment

SCHEMA = to_schema()


def references(node: Any) -> Iterator[str]:
    """Every $ref below a node."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key == "$ref" else references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def field_of(location: str) -> dict[str, Any]:
    section, _, key = location.partition(".")
    field: dict[str, Any] = SCHEMA["$defs"]["Augmentation"]["properties"][key] if key else SCHEMA["properties"][section]
    return field


def choices(location: str) -> list[dict[str, Any]]:
    field = field_of(location)
    found: list[dict[str, Any]] = field["items"]["anyOf"] if "items" in field else field["anyOf"]
    return found


def test_the_schema_is_json_and_says_which_dialect() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_it_knows_every_section() -> None:
    assert set(SCHEMA["properties"]) == set(Experiment.model_fields)


def test_optimization_is_a_section_or_the_name_of_a_preset() -> None:
    section, names = SCHEMA["properties"]["optimization"]["anyOf"]
    assert section == {"$ref": "#/$defs/Optimization"}
    assert names == {"enum": list(OPTIMIZATIONS)}


@pytest.mark.parametrize(("location", "kind"), KINDS.items())
def test_every_shipped_component_is_a_choice_that_needs_its_name(location: str, kind: str) -> None:
    *shipped, own = choices(location)
    assert tuple(choice["properties"]["name"]["const"] for choice in shipped) == components.names(kind)
    assert own["properties"]["name"]["pattern"] == r"\."
    for choice in (*shipped, own):
        assert "name" in choice["required"]
    for choice in shipped:
        options = set(components.options_model(kind, choice["title"]).model_fields)
        assert set(choice["properties"]) - {"root"} == options
        assert choice["additionalProperties"] is False


@pytest.mark.parametrize("location", KINDS)
def test_a_component_keeps_the_words_of_its_field(location: str) -> None:
    section, _, key = location.partition(".")
    described = (Augmentation.model_fields[key] if key else Experiment.model_fields[section]).description
    assert field_of(location)["description"] == described


def test_only_datasets_have_a_root() -> None:
    for location in KINDS:
        assert {"root" in choice["properties"] for choice in choices(location)[:-1]} == {location == "dataset"}


def test_definitions_are_those_that_are_used() -> None:
    assert {reference.split("/")[2] for reference in references(SCHEMA)} == set(SCHEMA["$defs"])


@pytest.mark.parametrize("location", [location for location in KINDS if "." in location])
def test_a_step_inside_a_step_is_any_step_of_its_kind(location: str) -> None:
    [one_of] = [choice for choice in choices(location)[:-1] if choice["title"] == "one_of"]
    found: Any = SCHEMA
    for part in one_of["properties"]["steps"]["items"]["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    assert found["anyOf"] == choices(location)
