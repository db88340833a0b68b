"""Weights that were trained elsewhere as a model: network and preprocessing are an experiment's."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from torchio_seg import components, devices
from torchio_seg.checkpoint import ModelCard
from torchio_seg.errors import ConfigError, UsageError
from torchio_seg.listings.values import declare
from torchio_seg.metrics import DICE_ONLY, Measures
from torchio_seg.network_sizes import sizes_of
from torchio_seg.predictor.mirroring import Mirrored
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.records import Dataset, Split
from torchio_seg.splits import divide
from torchio_seg.weights.fitting import fit, give
from torchio_seg.weights.reading import Weights, read
from torchio_seg.workflows.assembly import learn, make_window, resolve_grids
from torchio_seg.workflows.cases import find_classes, load_dataset
from torchio_seg.workflows.evaluate import Evaluation, evaluate_cases
from torchio_seg.workflows.evaluate_run import about_model, choose_part, recorded
from torchio_seg.workflows.models import LoadedModel
from torchio_seg.workflows.opening import ready, trained_axes
from torchio_seg.workflows.provenance import versions
from torchio_seg.workflows.storing import prepare_cases

if TYPE_CHECKING:
    from torchio_seg.config.sections import Experiment
    from torchio_seg.progress import Progress
    from torchio_seg.transforms.recipe import Recipe

log = logging.getLogger(__name__)

LEARNT = {"percentile", "histogram"}
"""Normalisations that take something from the voxels of training cases."""


@dataclass(frozen=True)
class Foreign:
    """A file of weights, and the experiment whose network and preprocessing they are to be used with."""

    weights: Path
    experiment: Experiment
    trust: bool = False
    mirror: bool = False
    local_rank: int | None = None


def open_weights(foreign: Foreign, *, progress: Progress | None = None) -> LoadedModel:
    """The model, without a look at the data where the experiment says all that there is to know of it."""
    weights = read(foreign.weights, trust=foreign.trust)
    dataset = declared(foreign.experiment)
    if dataset is not None:
        return _assemble(foreign, weights, dataset, resolve_grids(foreign.experiment, dataset, ())[0])
    dataset = load_dataset(foreign.experiment, progress=progress)
    return _assemble(foreign, weights, dataset, _recipe(foreign.experiment, dataset, progress=progress))


def evaluate_weights(
    foreign: Foreign,
    part: str = "validation",
    *,
    progress: Progress | None = None,
    measures: Measures = DICE_ONLY,
    output: Path | None = None,
) -> tuple[LoadedModel, Evaluation]:
    """The model and its scores on one part of the cases, as the experiment divides them; a record in `output`."""
    weights = read(foreign.weights, trust=foreign.trust)
    dataset = load_dataset(foreign.experiment, progress=progress)
    split = _divided(foreign.experiment, dataset, progress=progress)
    part, ids = choose_part(split, part, "the data set")
    model = _assemble(foreign, weights, dataset, _recipe(foreign.experiment, dataset, split, progress=progress))
    log.info("%d %s cases, as %s: %s", len(ids), part, split.origin, ", ".join(ids))
    [predictor] = model.members
    with nullcontext(_nowhere) if output is None else recorded(output, part, _nowhere) as note:
        scores = evaluate_cases(
            *(predictor, dataset.choose(ids), dataset),
            progress=progress,
            on_prediction=lambda predicted: note(predicted.record),
            measures=measures,
        )
        evaluation = Evaluation(part, scores, measures)
        settings = foreign.experiment.model_dump(mode="json")
        note(evaluation.record | about_model(model.card, settings, measures))
    return model, evaluation


def _nowhere(record: Mapping[str, Any]) -> None:
    """Nobody is told."""


def declared(experiment: Experiment) -> Dataset | None:
    """The data set without its cases, where the settings name channels and labels and nothing is learnt from voxels."""
    options = experiment.dataset.options
    names, channels = options.get("labels"), options.get("channels")
    if not channels or not isinstance(channels, list | tuple) or not isinstance(names, dict):
        return None  # the phantom's channels are a number
    values = {int(value): name for value, name in names.items()}
    labels = declare(values, regions=options.get("regions"), ignore=options.get("ignore"))
    dataset = Dataset(experiment.name, tuple(channels), labels, ())
    return None if _learns(experiment, dataset) else dataset


def _recipe(
    experiment: Experiment, dataset: Dataset, split: Split | None = None, *, progress: Progress | None
) -> Recipe:
    """As a training on these cases would have it."""
    if not _learns(experiment, dataset):
        return resolve_grids(experiment, dataset, ())[0]
    split = split or _divided(experiment, dataset, progress=progress)
    training = dataset.choose(split.training)
    recipe, _ = resolve_grids(experiment, dataset, training)
    if recipe.normalization not in LEARNT:
        return recipe
    stored = prepare_cases(experiment, dataset, training, recipe, progress=progress)
    return learn(recipe, experiment, (each.open() for each in stored))


def _learns(experiment: Experiment, dataset: Dataset) -> bool:
    """Whether preprocessing takes something from training cases."""
    settings = experiment.preprocessing
    is_percentile = settings.normalization == "auto" and dataset.is_ct
    return is_percentile or settings.normalization in LEARNT or settings.spacing == "median"


def _divided(experiment: Experiment, dataset: Dataset, *, progress: Progress | None) -> Split:
    return divide(dataset, experiment.split, find_classes(dataset, progress=progress))


def _assemble(foreign: Foreign, weights: Weights, dataset: Dataset, recipe: Recipe) -> LoadedModel:
    experiment = foreign.experiment
    device = devices.choose(experiment.device, foreign.local_rank)
    patch_size = _patch_size(experiment)
    network: Any = components.assemble(
        "networks", experiment.network.section, len(dataset.channels), dataset.labels.num_channels, patch_size
    )
    initial = _fill(network, weights)
    card = ModelCard(
        experiment=experiment.model_dump(mode="json"),
        dataset=dataset.name,
        channels=dataset.channels,
        is_ct=dataset.is_ct,
        labels=dataset.labels,
        recipe=recipe,
        patch_size=patch_size,
        versions=versions(),
        initial=initial,
        sha256=weights.sha256,
    )
    window = make_window(experiment, patch_size, sizes_of(network))
    answer: Any = ready(network, experiment, device)
    if foreign.mirror:
        answer = Mirrored(answer, trained_axes(foreign.weights, experiment), dataset.labels.exclusive)
    recipe = replace(recipe, nonfinite=experiment.preprocessing.nonfinite)
    predictor = Predictor(answer, dataset.labels, recipe, window, device, experiment.training.precision)
    return LoadedModel(foreign.weights, card, experiment, predictor)


def _patch_size(experiment: Experiment) -> tuple[int, int, int]:
    """The training's, or that of prediction where training sees whole volumes."""
    if experiment.sampling.mode != "whole":
        return experiment.sampling.patch_size
    if experiment.prediction.patch_size is None:
        raise ConfigError(
            f"experiment {experiment.name} trains on whole volumes, so that it names no size of patches; give "
            "--patch-size, the one that the weights were trained with"
        )
    return experiment.prediction.patch_size


def _fill(network: torch.nn.Module, weights: Weights) -> dict[str, Any]:
    """Give the network the weights, of which none may be missing, and return what is worth knowing about them."""
    try:
        fitted = fit(weights, network, {})  # no layer may begin anew
    except UsageError as error:
        raise UsageError(
            f"{error}\nA model is tested whole: a first or last layer for other channels or labels is no exception. "
            "Set dataset.channels and dataset.labels as they were in its training"
        ) from error
    give(network, fitted)
    log.info("%s: %s, %d tensors, sha256 %s...", weights.name, weights.kind, len(fitted.taken), weights.sha256[:12])
    if fitted.renamed:
        old, new = next(iter(fitted.renamed.items()))
        log.info("%d of them by earlier names, as %s, now %s", len(fitted.renamed), old, new)
    if fitted.left:
        log.info("not used: %s", ", ".join(fitted.left))
    return {
        "path": weights.name,
        "kind": weights.kind,
        "sha256": weights.sha256,
        "num_tensors": len(fitted.taken),
        "renamed": len(fitted.renamed),
        "not_used": list(fitted.left),
    }
