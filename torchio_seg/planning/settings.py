"""A plan in the words of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torchio_seg.config.optimizations import OPTIMIZATIONS, Optimization
from torchio_seg.planning.families import Changes
from torchio_seg.planning.ladder import Candidate
from torchio_seg.planning.schedule import OVERLAP, SHORT, Schedule
from torchio_seg.planning.spacing import Spacing
from torchio_seg.planning.topology import NETWORK

ATTENTIVE = ("unetr", "swinunetr")
"""Networks with attention, which large steps upset."""
ATTENTIVE_RATE = 2e-4


@dataclass(frozen=True)
class Surroundings:
    """The machine that a plan is for, as settings say it."""

    precision: Literal["fp32", "bf16", "fp16"]
    num_workers: int
    is_gpu: bool
    max_time: str | None
    """As somebody gave it."""


def preprocessing_of(spacing: Spacing, is_ct: bool, nonfinite: str) -> dict[str, Any]:
    """The grid and the intensities."""
    normalization = "percentile" if is_ct else "zscore"
    return {
        "spacing": list(spacing),
        "antialias": True,
        "normalization": normalization,
        "percentiles": [0.5, 99.5],
        "nonfinite": nonfinite,
    }


def candidate_settings(candidate: Candidate, surroundings: Surroundings) -> dict[str, Any]:
    """The sections that decide what a step costs."""
    return {
        "sampling": {
            "patch_size": list(candidate.patch_size),
            "mode": "foreground",
            "foreground_fraction": 0.34,
            "num_workers": surroundings.num_workers,
        },
        "network": network_of(candidate),
        "loss": {"name": "dice_ce"},
        "optimization": optimization_of(candidate.space.network, short=True),
        "training": {
            "batch_size": candidate.batch_size,
            "precision": surroundings.precision,
            "clip_norm": 12.0,
        },
        "prediction": {"overlap": OVERLAP, "batch_size": min(candidate.batch_size, 4) if surroundings.is_gpu else 1},
    }


def whole_settings(
    candidate: Candidate, schedule: Schedule, surroundings: Surroundings, changes: Changes
) -> dict[str, Any]:
    """All that is planned but preprocessing, which was settled before."""
    settings = candidate_settings(candidate, surroundings)
    settings["sampling"]["patches_per_case"] = schedule.patches_per_case
    settings["optimization"] = optimization_of(candidate.space.network, short=schedule.steps < SHORT)
    settings["training"] |= {
        "epochs": schedule.epochs,
        "steps": None if surroundings.max_time or schedule.is_in_epochs else schedule.steps,
        "max_time": surroundings.max_time,
        "validation_every": schedule.validation_every,
    }
    settings["augmentation"] = {"spatial": list(changes.spatial), "intensity": list(changes.intensity)}
    return settings


def network_of(candidate: Candidate) -> dict[str, Any]:
    """The network with its levels, or as it comes."""
    name, levels = candidate.space.network, candidate.levels
    if not candidate.space.has_levels:
        return {"name": name}
    return {
        "name": name,
        "channels": list(levels.channels),
        "strides": [list(strides) for strides in levels.strides],
        "kernel_sizes": [list(kernel) for kernel in levels.kernel_sizes],
        "deep_supervision": True,
        **({"residual": False} if name == NETWORK else {}),
    }


def optimization_of(network: str, *, short: bool) -> dict[str, Any]:
    """nnU-Net's, or AdamW where there is little time or much attention; all fall by the same polynomial."""
    rule = OPTIMIZATIONS["nnunet_sgd"]
    if network in ATTENTIVE:
        rule = Optimization(optimizer="adamw", learning_rate=ATTENTIVE_RATE, schedule="poly")
    elif short:
        rule = Optimization(optimizer="adamw", learning_rate=2e-3, schedule="poly")
    return rule.model_dump(mode="json")


def merged(settings: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of both; where one is in both, the keys of both, and the later ones win."""
    joined = dict(settings)
    for section, values in more.items():
        joined[section] = {**joined.get(section, {}), **values}
    return joined
