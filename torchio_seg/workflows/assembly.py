"""From an experiment's words to the parts of a training: cases, split, preprocessing, patch size, network."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from math import prod
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
from torchio_seg.splits import divide
from torchio_seg.subjects import read_case_label, read_channels
from torchio_seg.targets import leave_out_ignored
from torchio_seg.transforms.preprocessing import (
    Grids,
    Recipe,
    find_grids,
    find_landmarks,
    histogram_percentiles,
    measure,
)
from torchio_seg.transforms.random import fused
from torchio_seg.transforms.resampling import Interpolation
from torchio_seg.volumes.nifti import read_geometry
from torchio_seg.workflows.cases import find_classes, load_dataset, load_known
from torchio_seg.workflows.check import check_dataset, require_sound
from torchio_seg.workflows.network import build_network, fit_network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from torchio_seg.config.sections import Experiment
    from torchio_seg.progress import Progress
    from torchio_seg.records import Case, Dataset, Split
    from torchio_seg.step import Loss
    from torchio_seg.transforms.preprocessing import Nonfinite

log = logging.getLogger(__name__)

FOREGROUND_SAMPLES_PER_CASE = 10_000
MOST_BYTES = 8 * 2**30
"""Of one resampled volume."""


@dataclass(frozen=True)
class Plan:
    """Everything about a training that follows from the settings and the files, before the first step."""

    dataset: Dataset
    split: Split
    recipe: Recipe
    patch_size: tuple[int, int, int]
    network: torch.nn.Module


def make_plan(experiment: Experiment, *, progress: Progress | None = None) -> Plan:
    """Find the cases, divide and check them, resolve preprocessing, and build a network that fits the patches."""
    dataset = load_dataset(experiment, progress=progress)
    _require_parts(experiment, dataset)
    split = divide(dataset, experiment.split, find_classes(dataset, progress=progress))
    require_sound(check_dataset(experiment, dataset, split, progress=progress), experiment)
    training = dataset.choose(split.training)
    recipe, grids = resolve_grids(experiment, dataset, training)
    network, patch_size = fit_network(experiment, dataset, [grid.model_shape for grid in grids])
    return Plan(dataset, split, learn(recipe, experiment, dataset, training), patch_size, network)


def recall_plan(experiment: Experiment, card: ModelCard, split: Split, *, progress: Progress | None = None) -> Plan:
    """The plan that an earlier training followed: what it learnt from its files is taken from its records."""
    dataset = load_known(experiment, card, progress=progress)
    for ids in (split.training, split.validation, split.test):
        dataset.choose(ids)
    require_sound(check_dataset(experiment, dataset, split, progress=progress), experiment)
    network = build_network(experiment, dataset, card.patch_size)
    return Plan(dataset, split, card.recipe, card.patch_size, network)


def resolve_grids(experiment: Experiment, dataset: Dataset, training: Sequence[Case]) -> tuple[Recipe, list[Grids]]:
    """The recipe as far as headers decide it, and each training case's grids under it."""
    settings = experiment.preprocessing
    normalization = settings.normalization
    if normalization == "auto":
        normalization = "percentile" if dataset.is_ct else "zscore"
    recipe = Recipe(
        None,
        settings.resize,
        normalization,
        settings.window,
        crop_or_pad=settings.crop_or_pad,
        nonfinite=settings.nonfinite,
    )
    geometries = [read_geometry(case.images[0]) for case in training]
    if settings.spacing == "median":
        turned = [find_grids(geometry.shape, geometry.affine, Recipe(None, None, "none")) for geometry in geometries]
        spacings = [np.linalg.norm(grid.affine[:3, :3], axis=0).tolist() for grid in turned]
        i, j, k = (round(median(axis), 6) for axis in zip(*spacings, strict=True))
        recipe = replace(recipe, spacing=(i, j, k))
        log.info("voxel size %.3g x %.3g x %.3g mm, the median of the training cases", i, j, k)
    elif settings.spacing != "native":
        recipe = replace(recipe, spacing=settings.spacing)
    grids = [find_grids(geometry.shape, geometry.affine, recipe) for geometry in geometries]
    for case, grid in zip(training, grids, strict=True):
        _require_room(case, grid.resampled_shape, len(dataset.channels))
    return recipe, grids


def _require_room(case: Case, shape: tuple[int, int, int], num_channels: int) -> None:
    """Refuse a volume that resampling would blow up, as one whose header counts in metres."""
    if (needed := 4 * num_channels * prod(shape)) > MOST_BYTES:
        raise DataError(
            f"case {case.id}: at the voxel size of the experiment it has {' x '.join(map(str, shape))} voxels, "
            f"{needed / 2**30:.0f} GiB; its header may be wrong (torchio-seg check tells), or set a larger "
            "preprocessing.spacing"
        )


def learn(recipe: Recipe, experiment: Experiment, dataset: Dataset, training: Sequence[Case]) -> Recipe:
    """The recipe with what normalisation takes from the training cases' voxels; they are read for it, one at a time."""
    if recipe.normalization == "percentile":
        return _learn_statistics(recipe, experiment, dataset, training)
    if recipe.normalization == "histogram":
        log.info("learning the mean histogram of %d training cases", len(training))
        images = (
            read_channels(case.images, len(dataset.channels), nonfinite=recipe.nonfinite).array for case in training
        )
        return replace(recipe, landmarks=find_landmarks([histogram_percentiles(image) for image in images]))
    return recipe


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
    return fuse(experiment, steps)


def fuse(experiment: Experiment, steps: Sequence[tio.Transform]) -> tio.Compose:
    """These steps in order, neighbouring ones of ours as one, interpolated as the experiment says."""
    chosen = experiment.augmentation
    return tio.Compose(fused(steps, Interpolation(chosen.image_interpolation, chosen.label_interpolation)), copy=False)


def make_patch_recipe(experiment: Experiment, plan: Plan) -> PatchRecipe:
    """How training cases become patches."""
    sampling = experiment.sampling
    fraction = sampling.foreground_fraction if sampling.mode == "foreground" else 0.0
    augmentation = make_augmentation(experiment)
    return PatchRecipe(
        plan.recipe,
        plan.patch_size,
        sampling.patches_per_case,
        fraction,
        augmentation,
        plan.dataset.labels.ignore,
    )


def build_loss(experiment: Experiment, dataset: Dataset) -> Loss:
    """The loss, blind to the voxels that the data set leaves open."""
    loss: Loss = components.assemble("losses", experiment.loss.section, dataset.labels.exclusive)
    return loss if dataset.labels.ignore is None else leave_out_ignored(loss)


def _require_parts(experiment: Experiment, dataset: Dataset) -> None:
    """Build everything once, so that what cannot be built or does not fit stops before volumes are read."""
    if experiment.sampling.mode != "whole":  # whose patch the headers decide
        network = build_network(experiment, dataset, experiment.sampling.patch_size)
        make_window(experiment, experiment.sampling.patch_size, sizes_of(network))
    make_augmentation(experiment)
    build_loss(experiment, dataset)


def _learn_statistics(recipe: Recipe, experiment: Experiment, dataset: Dataset, training: Sequence[Case]) -> Recipe:
    """Foreground intensities of the training cases, each case with the same weight."""
    samples = [_foreground_sample(dataset, case, recipe.nonfinite) for case in training]
    if not sum(sample.shape[1] for sample in samples):
        raise DataError("no training case has foreground, so preprocessing.normalization=percentile has nothing to use")
    return replace(recipe, statistics=measure(samples, experiment.preprocessing.percentiles))


def _foreground_sample(dataset: Dataset, case: Case, nonfinite: Nonfinite) -> NDArray[np.float32]:
    image = read_channels(case.images, len(dataset.channels), nonfinite=nonfinite).array
    label = read_case_label(case, sorted(dataset.labels.names)).array[0]
    foreground = np.flatnonzero((label != 0) & (label != dataset.labels.ignore))
    chosen = np.random.default_rng(0).choice(
        foreground, min(len(foreground), FOREGROUND_SAMPLES_PER_CASE), replace=False
    )
    sample: NDArray[np.float32] = image.reshape(len(image), -1)[:, chosen].astype(np.float32)
    return sample
