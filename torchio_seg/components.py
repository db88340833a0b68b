"""From a name in the configuration to code: a module in a folder, its `build`, its options.

`network: {name: unet, dropout: 0.1}` is `torchio_seg/networks/unet.py`, whose `build` is called with what the
workflow supplies (`SUPPLIED`) and with the options, which are checked against its signature. A name with a dot is
the user's own: `my.module` (its `build`) or `my.module.function`, imported from the Python path.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError

from torchio_seg.errors import ConfigError

SUPPLIED: dict[str, tuple[str, ...]] = {
    "datasets": ("root",),
    "networks": ("in_channels", "out_channels", "patch_size"),
    "losses": ("exclusive",),
    "trackers": ("run",),
    "transforms.spatial": (),
    "transforms.intensity": (),
}
"""The kinds of components, and the arguments of `build` that are not the user's to set."""
OFFERED: dict[str, tuple[str, ...]] = {"losses": ("pool",)}
"""Further ones that a `build` may have: of losses, what sums a tensor over all processes that train together."""


@dataclass(frozen=True)
class Nested:
    """Marks an option that holds sections of components of its own component's kind."""

    option: str
    value: float
    """What that option is in such a section where nothing is said, in the place of its own default."""


Steps = Annotated[tuple[dict[str, Any], ...], Field(min_length=1), Nested("probability", 1.0)]
"""Sections of steps inside a step; each is applied whenever it is reached, unless it says otherwise."""


def names(kind: str) -> tuple[str, ...]:
    """What is shipped of a kind, sorted: its folder's modules, or the public functions of its module."""
    home = importlib.import_module(f"torchio_seg.{kind}")
    if hasattr(home, "__path__"):
        return tuple(sorted(module.name for module in pkgutil.iter_modules(home.__path__)))
    return tuple(sorted(home.__all__))


def find(kind: str, name: str) -> Callable[..., Any]:
    """The `build` function behind a name."""
    if "." in name:
        return _find_own(kind, name)
    if name not in (shipped := names(kind)):
        raise ConfigError(f"unknown name '{name}'{suggestion(name, shipped)}; own code is reached as 'module.name'")
    home = importlib.import_module(f"torchio_seg.{kind}")
    if hasattr(home, "__path__"):
        return _callable(importlib.import_module(f"torchio_seg.{kind}.{name}").build, name)
    return _callable(getattr(home, name), name)


def options_model(kind: str, name: str) -> type[BaseModel]:
    """The options of a component as a strict pydantic model, read off the signature of its `build`."""
    build = find(kind, name)
    fields: dict[str, Any] = {}
    for parameter in _parameters(build):
        if parameter.kind is parameter.VAR_KEYWORD or parameter.kind is parameter.VAR_POSITIONAL:
            raise ConfigError(f"'{name}': build() takes *{parameter.name}; name every option so that it can be checked")
        if parameter.name not in (*SUPPLIED[kind], *OFFERED.get(kind, ())):
            annotation = Any if parameter.annotation is parameter.empty else parameter.annotation
            fields[parameter.name] = (annotation, ... if parameter.default is parameter.empty else parameter.default)
    strict = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)
    strict["validate_default"] = not inspect.isclass(build)  # classes are other people's, and so are their defaults
    fields["name"] = (Literal[name], name)
    try:
        return create_model(name, __config__=strict, __module__=build.__module__, **fields)
    except PydanticUserError as error:
        raise ConfigError(f"'{name}' has an option whose type cannot be read from YAML: {error.message}") from error


def nested(kind: str, name: str) -> dict[str, Nested]:
    """The options of a component that hold sections of components of the same kind."""
    marks = {
        key: next((mark for mark in field.metadata if isinstance(mark, Nested)), None)
        for key, field in options_model(kind, name).model_fields.items()
    }
    return {key: mark for key, mark in marks.items() if mark is not None}


def complete(kind: str, section: Mapping[str, Any]) -> dict[str, Any]:
    """The section with every option given, defaults included; raises pydantic's error where one is wrong."""
    model = options_model(kind, section["name"])
    return model.model_validate_json(json.dumps(dict(section))).model_dump(mode="json")


def assemble(kind: str, section: Mapping[str, Any], *supplied: Any, **offered: Any) -> Any:
    """Build the component with what the workflow supplies, in the order of `SUPPLIED`, and what its `build` accepts."""
    name = section["name"]
    try:
        options = options_model(kind, name).model_validate_json(json.dumps(dict(section)))
    except ValidationError as error:
        raise ConfigError(f"{kind} '{name}': {error}") from error
    chosen = {key: getattr(options, key) for key in type(options).model_fields if key != "name"}
    accepted = {key: value for key, value in offered.items() if accepts(kind, name, key)}
    return find(kind, name)(**dict(zip(SUPPLIED[kind], supplied, strict=True)), **accepted, **chosen)


def accepts(kind: str, name: str, argument: str) -> bool:
    """Whether the `build` of a component has an argument of this name."""
    return argument in inspect.signature(find(kind, name)).parameters


def suggestion(given: str, allowed: tuple[str, ...]) -> str:
    """How a message goes on after a wrong name: the nearest right one, and all of them."""
    close = difflib.get_close_matches(given, allowed, 1)
    return (f", did you mean '{close[0]}'?" if close else "") + f" (allowed: {', '.join(allowed)})"


def _parameters(build: Callable[..., Any]) -> Iterable[inspect.Parameter]:
    """What a function or a class takes; of the `**options` that a class hands on, a TorchIO transform's `p` alone."""
    own = inspect.signature(build).parameters.values()
    named = [parameter for parameter in own if parameter.kind is not parameter.VAR_KEYWORD]
    for base in build.__mro__[1:] if inspect.isclass(build) and len(named) < len(own) else ():
        if (probability := inspect.signature(base).parameters.get("p")) is not None:
            return [*named, probability.replace(annotation=Annotated[float, Field(ge=0, le=1)])]
    return own


def _find_own(kind: str, name: str) -> Callable[..., Any]:
    attempts = [(name, "build"), tuple(name.rsplit(".", 1))]
    for module_name, attribute in attempts:
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and not f"{module_name}.".startswith(f"{error.name}."):
                raise ConfigError(f"'{name}' needs a module that is not installed: {error.name}") from error
            continue
        if hasattr(module, attribute):
            return _callable(getattr(module, attribute), name)
    raise ConfigError(
        f"'{name}' is neither a module with build() nor a function of one; shipped {kind}: {', '.join(names(kind))}. "
        "Own modules must be on the Python path: PYTHONPATH=FOLDER torchio-seg ..."
    )


def _callable(candidate: Any, name: str) -> Callable[..., Any]:
    if not callable(candidate):
        raise ConfigError(f"'{name}' is {type(candidate).__name__}, not a function")
    build: Callable[..., Any] = candidate
    return build
