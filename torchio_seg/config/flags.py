"""The settings that have a flag of their own, judged in the flag's name before anything else is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from torchio_seg import components
from torchio_seg.config.resolve import KINDS
from torchio_seg.config.sections import Experiment
from torchio_seg.config.telling import sentences
from torchio_seg.config.values import check_device
from torchio_seg.errors import ConfigError

FLAGS = {
    "sampling.patch_size": "--patch-size",
    "prediction.patch_size": "--patch-size",
    "training.batch_size": "--batch-size",
    "prediction.batch_size": "--batch-size",
    "training.max_time": "--max-time",
    "training.precision": "--precision",
    "prediction.overlap": "--overlap",
    "prediction.blending": "--blending",
    "preprocessing.nonfinite": "--nonfinite",
    "split.fold": "--fold",
    "tracker.mode": "--wandb",
}
"""By dotted key."""


def require_values(flags: Mapping[str, Any]) -> None:
    """Hold that each flag's value is one that its setting can have, whatever the other settings are."""
    problems: list[str] = []
    for key in FLAGS:
        section, _, name = key.partition(".")
        if flags.get(key) is None:
            continue
        try:
            _model(section, flags).model_validate_json(json.dumps({name: flags[key]}))
        except ValidationError as error:
            problems += [_as_flag(key, sentence) for sentence in sentences(error, Experiment, f"{section}.")]
    if (device := flags.get("device")) is not None:
        try:
            check_device(device)
        except ValueError as error:
            problems.append(f"--device: got '{device}'; {error}")
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


def _model(section: str, flags: Mapping[str, Any]) -> type[BaseModel]:
    """What checks a section; of a component, by the name that a flag gives it."""
    if section in KINDS:
        return components.options_model(KINDS[section], flags[f"{section}.name"])
    return cast("type[BaseModel]", Experiment.model_fields[section].annotation)


def _as_flag(key: str, sentence: str) -> str:
    """A sentence on a setting, or on one of its numbers, with the flag in the key's place."""
    return FLAGS[key] + ": " + sentence.partition(": ")[2]
