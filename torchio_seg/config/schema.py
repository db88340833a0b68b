"""The JSON schema of an experiment, from which editors complete and check YAML."""

from __future__ import annotations

from typing import Any

from torchio_seg import components
from torchio_seg.config.optimizations import OPTIMIZATIONS
from torchio_seg.config.resolve import KINDS, PRESET
from torchio_seg.config.sections import DatasetSection, Experiment
from torchio_seg.config.values import Component

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PLACES = {
    kind: f"#/$defs/{location.split('.')[0].capitalize()}/properties/{location.split('.')[1]}/items"
    for location, kind in KINDS.items()
    if "." in location
}
"""Where the schema says what a step of a kind may be, for the steps inside steps."""


def to_schema() -> dict[str, Any]:
    """JSON schema of an experiment, every shipped component's options included."""
    schema = Experiment.model_json_schema()
    definitions = schema["$defs"]
    for location, kind in KINDS.items():
        section, _, key = location.partition(".")
        if key:
            definitions[section.capitalize()]["properties"][key]["items"] = _choice(kind)
        else:
            field = schema["properties"][section]
            del field["$ref"]
            field.update(_choice(kind))
    section_or_name = schema["properties"][PRESET]
    section_or_name["anyOf"] = [{"$ref": section_or_name.pop("$ref")}, {"enum": list(OPTIMIZATIONS)}]
    for replaced in (Component, DatasetSection):
        del definitions[replaced.__name__]
    return {"$schema": DIALECT, **schema}


def _choice(kind: str) -> dict[str, Any]:
    """Any shipped component of a kind, or one of the user's own."""
    return {"anyOf": [*(_shipped(kind, name) for name in components.names(kind)), _own()]}


def _shipped(kind: str, name: str) -> dict[str, Any]:
    schema = components.options_model(kind, name).model_json_schema()
    if kind == "datasets":
        schema["properties"]["root"] = DatasetSection.model_json_schema()["properties"]["root"]
    for key in components.nested(kind, name):
        schema["properties"][key]["items"] = {"$ref": _PLACES[kind]}
    schema["required"] = ["name", *schema.get("required", ())]
    return schema


def _own() -> dict[str, Any]:
    name = {"type": "string", "pattern": r"\.", "description": "module.function of your own"}
    return {"type": "object", "properties": {"name": name}, "required": ["name"]}
