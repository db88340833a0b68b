"""The weights that a training begins with where they are not random: read, held against its network, told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from torchio_seg import checkpoint, components
from torchio_seg.checkpoint import ModelCard
from torchio_seg.config.sections import Experiment
from torchio_seg.errors import ConfigError, UsageError
from torchio_seg.records import Dataset
from torchio_seg.transforms.recipe import Recipe
from torchio_seg.weights.fitting import Fit, fit, give
from torchio_seg.weights.reading import BUNDLED, Weights, read
from torchio_seg.workflows.runs import find_checkpoint

log = logging.getLogger(__name__)

Size = tuple[int, int, int]

_COMPARED = ("spacing", "resize", "crop_or_pad", "normalization", "window")
_SHOWN = 5


@dataclass(frozen=True)
class Pretrained:
    """Weights that `init_from` names, and the card beside them where they are a model of ours."""

    weights: Weights
    card: ModelCard | None = None


@dataclass(frozen=True)
class Beginner:
    """A network before its training, and what it was built from."""

    experiment: Experiment
    dataset: Dataset
    recipe: Recipe
    network: torch.nn.Module
    patch_size: Size


def read_pretrained(experiment: Experiment, *, trust: bool = False) -> Pretrained | None:
    """What `init_from` names, if it names anything."""
    path = experiment.init_from
    if path is None:
        return None
    if not path.exists():
        raise UsageError(f"init_from: {path} is not there; name a run, a file of weights or a MONAI bundle")
    if not path.is_dir() or (path / BUNDLED.parent).is_dir():
        return Pretrained(read(path, trust=trust))
    try:
        folder = find_checkpoint(path)
    except UsageError as error:
        raise UsageError(
            f"init_from: {path} holds no weights: no model of ours, no MONAI bundle's {BUNDLED}"
        ) from error
    card = checkpoint.read_card(folder)
    network = ", ".join(f"network.{key}={value}" for key, value in card.experiment["network"].items())
    tensors = checkpoint.read_weights(folder, card)
    return Pretrained(Weights(str(folder), tensors, "model of ours", card.sha256, network=network), card)


def begin_with(pretrained: Pretrained, beginner: Beginner) -> dict[str, Any]:
    """Give the network these weights, say so, and return what the run keeps about it."""
    weights, card = pretrained.weights, pretrained.card
    fitted = fit(weights, beginner.network, _variants(beginner))
    give(beginner.network, fitted)
    differences = [] if card is None else list(_differences(card, beginner.dataset, beginner.recipe))
    _say(weights, fitted, differences)
    return {
        "path": weights.name,
        "kind": weights.kind,
        "sha256": weights.sha256,
        "num_tensors": len(fitted.taken),
        "begun_anew": list(fitted.renewed),
        "not_used": list(fitted.left),
        "differences": differences,
    }


def _say(weights: Weights, fitted: Fit, differences: list[str]) -> None:
    named = f"{weights.name} ({weights.kind}, sha256 {weights.sha256[:12]}...)"
    log.info("begins with %d tensors of %s", len(fitted.taken), named)
    if fitted.renamed:
        log.info(
            "%d of them have earlier names, as %s, now %s", len(fitted.renamed), *next(iter(fitted.renamed.items()))
        )
    for layer in fitted.renewed:
        log.info("begins anew: %s", layer)
    if fitted.left:
        log.info("not used: %s%s", ", ".join(fitted.left[:_SHOWN]), ", ..." if len(fitted.left) > _SHOWN else "")
    for difference in differences:
        log.info("trained before with other %s", difference)


def _differences(card: ModelCard, dataset: Dataset, recipe: Recipe) -> Iterator[str]:
    """What the model was trained on and this training is not: legal, and worth knowing."""
    if card.channels != dataset.channels:
        yield f"channels: {', '.join(card.channels)} there, {', '.join(dataset.channels)} here"
    before, after = ([region.name for region in labels.regions] for labels in (card.labels, dataset.labels))
    if before != after:
        yield f"labels: {', '.join(before)} there, {', '.join(after)} here"
    for key in _COMPARED:
        there, here = getattr(card.recipe, key), getattr(recipe, key)
        if there != here:
            yield f"{key}: {_text(there)} there, {_text(here)} here"


def _text(value: Any) -> str:
    return " x ".join(f"{side:g}" for side in value) if isinstance(value, tuple) else str(value or "as it is")


def _variants(beginner: Beginner) -> dict[str, Callable[[], torch.nn.Module]]:
    """The same network for one more channel, and for one more label."""
    channels, labels = len(beginner.dataset.channels), beginner.dataset.labels.num_channels

    def build(in_channels: int, out_channels: int) -> torch.nn.Module:
        section = beginner.experiment.network.section
        try:
            with torch.random.fork_rng():
                supplied = (in_channels, out_channels, beginner.patch_size)
                network: torch.nn.Module = components.assemble("networks", section, *supplied)
        except Exception as error:
            raise ConfigError(
                f"network '{section['name']}' cannot be built for {in_channels} channels and {out_channels} outputs, "
                f"which would tell its first and last layer, and the given weights do not fit it as it is: {error}"
            ) from error
        return network

    return {"first": partial(build, channels + 1, labels), "last": partial(build, channels, labels + 1)}
