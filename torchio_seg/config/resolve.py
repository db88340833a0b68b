"""From a file and the user's changes to one complete, checked experiment, and back to YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from torchio_seg import components
from torchio_seg.config.optimizations import OPTIMIZATIONS
from torchio_seg.config.reading import parse, read_mapping
from torchio_seg.config.sections import DatasetSection, Experiment
from torchio_seg.config.telling import sentences
from torchio_seg.errors import ConfigError

KINDS = {
    "dataset": "datasets",
    "network": "networks",
    "loss": "losses",
    "tracker": "trackers",
    "augmentation.spatial": "transforms.spatial",
    "augmentation.intensity": "transforms.intensity",
}
"""Where components stand in an experiment, and in which folder each is looked for."""
PRESET = "optimization"
"""The section that may be one of `OPTIMIZATIONS` by name."""


def shipped_folder() -> Path:
    """Where the shipped experiments lie: in the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def shipped() -> dict[str, Path]:
    """The shipped experiments by name."""
    return {path.stem: path for path in sorted(shipped_folder().glob("*.yaml"))}


def find_file(dataset: str | None, config: Path | None) -> Path:
    """The file that an experiment starts from: the user's own, or the shipped one of that name."""
    if config is not None:
        return config
    known = shipped()
    if dataset is not None and dataset in known:
        return known[dataset]
    names = tuple(sorted({*known, *components.names("datasets")}))
    if dataset is None:
        raise ConfigError(f"name an experiment or a layout: --dataset NAME ({', '.join(names)}) or --config FILE")
    raise ConfigError(f"no shipped experiment or layout '{dataset}'{components.suggestion(dataset, names)}")


def choose(dataset: str | None, config: Path | None, changes: Mapping[str, Any]) -> Experiment:
    """The experiment that the user names, changed; NAME:TASK names one task of a data set that has several."""
    if dataset is not None and config is not None:
        raise ConfigError("--dataset and --config each name an experiment; give one of them")
    name, colon, task = split_name(dataset)
    if colon and not task:
        raise ConfigError(f"--dataset {dataset}: name the task after the colon, as in decathlon:Task04")
    named = {"dataset.task": task} if colon else {}
    if config is None and is_layout(dataset):
        return resolve(_defaults(name), {**named, **changes}, f"the layout {name} with these options")
    return load(find_file(name or None, config), {**named, **changes})


def _defaults(layout: str) -> dict[str, Any]:
    """What an experiment on a layout says where nothing else is said."""
    return Experiment(name=layout or "none", dataset=DatasetSection(name=layout)).model_dump(mode="json")


def is_layout(dataset: str | None) -> bool:
    """Whether a name is that of a layout, ours or the user's own, with no experiment of that name."""
    name, _, _ = split_name(dataset)
    return name not in shipped() and (name in components.names("datasets") or _OWN_LAYOUT.fullmatch(name) is not None)


def split_name(dataset: str | None) -> tuple[str, str, str]:
    """An experiment's or layout's name, the colon and the task after it."""
    return (dataset or "").partition(":")


def load(file: Path, changes: Mapping[str, Any] | None = None) -> Experiment:
    """The experiment of a file with changes by dotted key; every mistake is listed in one error."""
    origin = f"{file} with these options" if changes else str(file)
    return resolve(read_mapping(file), changes or {}, origin)


def resolve(settings: Mapping[str, Any], changes: Mapping[str, Any], origin: str) -> Experiment:
    """Apply the changes, fill in every component's defaults, check everything."""
    data = _with_changes(settings, changes)
    data, problems = _complete_components(data)
    if isinstance(name := data.get(PRESET), str):
        hint = components.suggestion(name, tuple(OPTIMIZATIONS))
        problems.append(f"{PRESET}: no preset '{name}'{hint}; or give its keys, as in {PRESET}.optimizer=sgd")
        del data[PRESET]
    try:
        experiment = Experiment.model_validate_json(json.dumps(data))
    except ValidationError as error:
        problems += sentences(error, Experiment, "")
    else:
        if not problems:
            return experiment
    lines = "\n".join(f"  {problem}" for problem in dict.fromkeys(problems))
    raise ConfigError(f"{origin} cannot be used:\n{lines}\nSee: torchio-seg config show, torchio-seg config schema")


def named_code(settings: Mapping[str, Any]) -> list[str]:
    """The names in these settings that reach code outside the package, which resolving them would import."""
    names: list[str] = []
    for location in KINDS:
        section, _, key = location.partition(".")
        found = settings.get(section)
        names += _dotted_names((found.get(key) if isinstance(found, dict) else None) if key else found)
    return names


def _dotted_names(part: Any) -> Iterator[str]:
    """The dotted names of a component's section, of a list of them, and of whatever is nested in their options."""
    if isinstance(part, dict):
        name = part.get("name")
        if isinstance(name, str) and "." in name:
            yield name
        part = list(part.values())
    for inner in part if isinstance(part, list) else ():
        yield from _dotted_names(inner)


def parse_set(assignments: Sequence[str]) -> dict[str, Any]:
    """`--set section.key=value`, each value read as YAML."""
    changes = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {assignment}: write it as section.key=value, for instance training.epochs=10")
        try:
            changes[key.strip()] = parse(value, f"--set {key.strip()}")
        except ConfigError as error:
            quoted = f"--set '{key.strip()}=\"{value}\"'"
            raise ConfigError(f"{error}. Where the value is text, quote it twice: {quoted}") from error
    return changes


def _with_changes(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    data = cast("dict[str, Any]", json.loads(json.dumps(settings)))
    changes = dict(changes)
    if PRESET in changes:
        data[PRESET] = changes.pop(PRESET)
    if isinstance(name := data.get(PRESET), str) and name in OPTIMIZATIONS:
        data[PRESET] = OPTIMIZATIONS[name].model_dump(mode="json")
    renames = {key: value for key, value in changes.items() if key.removesuffix(".name") in KINDS}
    for key, value in renames.items():
        section = key.removesuffix(".name")
        earlier = data.get(section)
        earlier = earlier if isinstance(earlier, dict) else {}
        if key != section and value != earlier.get("name"):
            data[section] = {key: kept for key, kept in earlier.items() if key == "root"}
    for key, value in {**renames, **changes}.items():
        *path, last = key.split(".")
        place = data
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise ConfigError(f"--set {key}: '{part}' is {place!r}, it has no keys below it")
        place[last] = value
    return data


def _complete_components(data: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Replace each component's section by the complete one; say what is wrong with those that cannot be."""
    problems: list[str] = []
    defaults = _defaults("")
    for location, kind in KINDS.items():
        section, _, key = location.partition(".")
        if key:
            found = data.get(section)
            steps = found.get(key) if isinstance(found, dict) else None
            if isinstance(found, dict) and isinstance(steps, list):
                found[key] = [_complete(kind, step, f"{location}[{i}]", problems) for i, step in enumerate(steps)]
        elif section in data or section != "dataset":
            data[section] = _complete(kind, data.get(section, defaults[section]), location, problems)
    return data, problems


def _complete(kind: str, section: Any, location: str, problems: list[str]) -> Any:
    if not isinstance(section, dict) or not isinstance(section.get("name"), str):
        problems.append(f"{location}: got {section!r}; write it as {{name: NAME, option: value}}")
        return {"name": "?"}
    kept = {"root": section["root"]} if kind == "datasets" and "root" in section else {}
    options = {key: value for key, value in section.items() if key not in kept}
    try:
        options |= _complete_nested(kind, options, location, problems)
        return {"name": section["name"], **kept, **components.complete(kind, options)}
    except ConfigError as error:
        problems.append(f"{location}.name: {error}")
    except ValidationError as error:
        model = components.options_model(kind, section["name"])
        problems.extend(sentences(error, model, f"{location}."))
    return {"name": section["name"]}


def _complete_nested(kind: str, options: Mapping[str, Any], location: str, problems: list[str]) -> dict[str, list[Any]]:
    """Those options that hold sections of the same kind, each section complete."""
    found = {}
    for key, mark in components.nested(kind, options["name"]).items():
        inner = options.get(key)
        if isinstance(inner, list):
            found[key] = [
                _complete(kind, _with_default(kind, section, mark), f"{location}.{key}[{i}]", problems)
                for i, section in enumerate(inner)
            ]
    return found


def _with_default(kind: str, section: Any, mark: components.Nested) -> Any:
    """A nested section with what its place asks for, where its component has that option and it says nothing."""
    if not isinstance(section, dict) or not isinstance(section.get("name"), str):
        return section
    try:
        known = components.options_model(kind, section["name"]).model_fields
    except ConfigError:
        return section  # said when it is completed
    return {mark.option: mark.value, **section} if mark.option in known else section


_OWN_LAYOUT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
"""A module with build, or a function, on the Python path."""
