"""From an experiment's words to the parts of a training: cases, split, preprocessing, patch size, network."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch
import torchio as tio

from torchio_seg import components
from torchio_seg.checkpoint import ModelCard
from torchio_seg.errors import DataError
from torchio_seg.network_sizes import Sizes, check_patch_size, sizes_of
from torchio_seg.predictor.grid import Window
from torchio_seg.sampling import PatchRecipe
from torchio_seg.splits import hold_out
from torchio_seg.subjects import read_case_label, read_channels
from torchio_seg.transforms.preprocessing import Grids, Recipe, Statistics, find_grids, measure
from torchio_seg.volumes.nifti import read_geometry
from torchio_seg.workflows.cases import find_root, load_dataset, require_root
from torchio_seg.workflows.network import build_network, fit_network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from torchio_seg.config.sections import Experiment
    from torchio_seg.records import Case, Dataset, Split

log = logging.getLogger(__name__)

FOREGROUND_SAMPLES_PER_CASE = 10_000


@dataclass(frozen=True)
class Plan:
    """Everything about a training that follows from the settings and the files, before the first step."""

    dataset: Dataset
    split: Split
    recipe: Recipe
    patch_size: tuple[int, int, int]
    network: torch.nn.Module


def make_plan(experiment: Experiment) -> Plan:
    """Find the cases, divide them, resolve preprocessing, and build a network that fits the patches."""
    dataset = load_dataset(experiment)
    settings = experiment.split
    ids = [case.id for case in dataset.cases]
    split = hold_out(ids, validation=settings.validation, test=settings.test, seed=settings.seed)
    training = dataset.choose(split.training)
    _require_parts(experiment, dataset)
    recipe, grids = resolve_preprocessing(experiment, dataset, training)
    network, patch_size = fit_network(experiment, dataset, [grid.model_shape for grid in grids])
    return Plan(dataset, split, recipe, patch_size, network)


def recall_plan(experiment: Experiment, card: ModelCard, split: Split) -> Plan:
    """The plan that an earlier training followed: what it learnt from its files is taken from its records."""
    require_root(experiment)
    dataset = load_dataset(experiment)
    if (dataset.channels, dataset.labels) != (card.channels, card.labels):
        raise DataError(
            f"{find_root(experiment)} has other channels or labels than when training began; start a new one"
        )
    for ids in (split.training, split.validation, split.test):
        dataset.choose(ids)
    network = build_network(experiment, dataset, card.patch_size)
    return Plan(dataset, split, card.recipe, card.patch_size, network)


def resolve_preprocessing(
    experiment: Experiment, dataset: Dataset, training: Sequence[Case]
) -> tuple[Recipe, list[Grids]]:
    """The recipe with what the training cases decide filled in, and each training case's grids under it."""
    settings = experiment.preprocessing
    normalization = settings.normalization
    if normalization == "auto":
        normalization = "percentile" if dataset.is_ct else "zscore"
    recipe = Recipe(None, settings.resize, normalization, settings.window)
    geometries = [read_geometry(case.images[0]) for case in training]
    if settings.spacing == "median":
        turned = [find_grids(geometry.shape, geometry.affine, Recipe(None, None, "none")) for geometry in geometries]
        spacings = [np.linalg.norm(grid.affine[:3, :3], axis=0).tolist() for grid in turned]
        i, j, k = (round(median(axis), 6) for axis in zip(*spacings, strict=True))
        recipe = replace(recipe, spacing=(i, j, k))
        log.info("voxel size %.3g x %.3g x %.3g mm, the median of the training cases", i, j, k)
    elif settings.spacing != "native":
        recipe = replace(recipe, spacing=settings.spacing)
    if normalization == "percentile":
        recipe = replace(recipe, statistics=learn_statistics(dataset, training, settings.percentiles))
    return recipe, [find_grids(geometry.shape, geometry.affine, recipe) for geometry in geometries]


def learn_statistics(
    dataset: Dataset, training: Sequence[Case], percentiles: tuple[float, float]
) -> tuple[Statistics, ...]:
    """Foreground intensities of the training cases, each case with the same weight."""
    samples = [_foreground_sample(dataset, case) for case in training]
    if not sum(sample.shape[1] for sample in samples):
        raise DataError("no training case has foreground, so preprocessing.normalization=percentile has nothing to use")
    return measure(samples, percentiles)


def make_window(experiment: Experiment, patch_size: tuple[int, int, int], sizes: Sizes) -> Window:
    """How volumes are predicted: as the settings say, with the training's patch where they say nothing."""
    settings = experiment.prediction
    chosen = settings.patch_size or patch_size
    check_patch_size(chosen, sizes, experiment.network.name, setting="prediction.patch_size")
    return Window(chosen, settings.overlap, settings.batch_size, settings.blending)


def make_augmentation(experiment: Experiment) -> tio.Compose:
    """The random changes of a patch, spatial ones first."""
    steps = [
        components.assemble(f"transforms.{part}", step.section)
        for part, section in (
            ("spatial", experiment.augmentation.spatial),
            ("intensity", experiment.augmentation.intensity),
        )
        for step in section
    ]
    return tio.Compose(steps)


def make_patch_recipe(experiment: Experiment, plan: Plan) -> PatchRecipe:
    """How training cases become patches."""
    sampling = experiment.sampling
    fraction = sampling.foreground_fraction if sampling.sampler == "foreground" else 0.0
    augmentation = make_augmentation(experiment)
    return PatchRecipe(plan.recipe, plan.patch_size, sampling.patches_per_case, fraction, augmentation)


def _require_parts(experiment: Experiment, dataset: Dataset) -> None:
    """Build everything once, so that what cannot be built or does not fit stops before volumes are read."""
    network = build_network(experiment, dataset, experiment.sampling.patch_size)
    make_window(experiment, experiment.sampling.patch_size, sizes_of(network))
    make_augmentation(experiment)
    components.assemble("losses", experiment.loss.section, dataset.labels.exclusive)


def _foreground_sample(dataset: Dataset, case: Case) -> NDArray[np.float32]:
    image = read_channels(case.images, len(dataset.channels)).array
    label = read_case_label(case, sorted(dataset.labels.names)).array[0]
    foreground = np.flatnonzero(label)
    chosen = np.random.default_rng(0).choice(
        foreground, min(len(foreground), FOREGROUND_SAMPLES_PER_CASE), replace=False
    )
    sample: NDArray[np.float32] = image.reshape(len(image), -1)[:, chosen].astype(np.float32)
    return sample
