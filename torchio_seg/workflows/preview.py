"""`torchio-seg preview`: what goes into a training, on one sheet, before it is trained.

Headers and label maps of all cases are looked at (the latter once, then remembered); images only of those shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torchio as tio

from torchio_seg.config.sections import Experiment
from torchio_seg.errors import UsageError
from torchio_seg.files import write_bytes
from torchio_seg.progress import Progress, Silent
from torchio_seg.records import Case, Dataset
from torchio_seg.reports.sheet import Block, Section, compose, to_png
from torchio_seg.reports.slices import UNLABELLED, Paint, Window, color_of, cut, find_foreground, find_window
from torchio_seg.sampling.choices import Foreground
from torchio_seg.sampling.samplers import CaseSampler
from torchio_seg.sampling.seeds import seeded
from torchio_seg.splits import divide
from torchio_seg.store.laying import lay_out
from torchio_seg.subjects import read_case_label, read_channels
from torchio_seg.volumes.geometry import Orientation, spacing_of
from torchio_seg.workflows.assembly import Plan, learn, resolve_grids
from torchio_seg.workflows.cases import find_classes, load_dataset
from torchio_seg.workflows.network import fit_network
from torchio_seg.workflows.preview_steps import GREY_PERCENTILES, in_mm, make_panel, patch_sections
from torchio_seg.workflows.storing import make_layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_CHANNELS = 4
_CASE_PIXELS = 1430
"""Across all the panels of cases that stand side by side."""
_LARGEST_PANEL = 280
_CT_PERCENTILES, _CT_MARGIN, _NARROWEST_CT = (5.0, 95.0), 0.25, 400.0
"""A CT is shown from and to these of the labelled tissue, a share of that more, and over so many Hounsfield units."""


@dataclass(frozen=True)
class Preview:
    """A sheet that was written, and what is on it."""

    path: Path
    size: tuple[int, int]
    cases: tuple[str, ...]
    patch_size: tuple[int, int, int]
    steps: tuple[str, ...]


def make_preview(
    experiment: Experiment,
    path: Path,
    *,
    num_cases: int = 3,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Preview:
    """Draw some training cases, and a patch of the first one before and after each step of augmentation."""
    _require_free(path, overwrite=overwrite)
    progress = progress or Silent()
    plan, shown = _plan(experiment, num_cases, progress)
    paints = choose_paints(plan.dataset)
    cases = _case_section(shown, plan, paints, window=experiment.preprocessing.window, progress=progress)
    patch = _cut_patch(experiment, plan, shown[0])
    unchanged, *changed = patch_sections(experiment, patch, plan.dataset.channels[0], paints)
    sections = [cases, replace(unchanged, note=f"{_normalized(plan, shown)} {unchanged.note}"), *changed]
    legend = {paint.name: paint.color for paint in paints}
    sheet = compose(experiment.name, _summary(plan), legend, sections)
    write_bytes(path, to_png(sheet))
    steps = tuple(block.name for section in changed for block in section.blocks)
    return Preview(path, sheet.size, tuple(case.id for case in shown), plan.patch_size, steps)


def choose_paints(dataset: Dataset) -> list[Paint]:
    """A colour for each region in the order in which they are written; grey first for what nobody labelled."""
    labels = dataset.labels
    paints = [Paint(region.name, region.labels, color_of(n)) for n, region in enumerate(labels.regions)]
    if labels.ignore is None:
        return paints
    name = f"{labels.names.get(labels.ignore, 'unlabelled')} (ignored)"
    return [Paint(name, (labels.ignore,), UNLABELLED, is_foreground=False), *paints]


def _require_free(path: Path, *, overwrite: bool) -> None:
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path}: the sheet is a PNG; give a name that ends in .png")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}; make it, or name another with -o")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already; name another file with -o, or add --overwrite")


def _plan(experiment: Experiment, num_cases: int, progress: Progress) -> tuple[Plan, list[Case]]:
    """What the training would follow, and the cases to show; what it learns of images is taken from those only."""
    dataset = load_dataset(experiment)
    classes = find_classes(dataset, progress=progress)
    split = divide(dataset, experiment.split, classes)
    training = dataset.choose(split.training)
    recipe, grids = resolve_grids(experiment, dataset, training)
    network, patch_size = fit_network(experiment, dataset, [grid.model_shape for grid in grids])
    nothing = {0, dataset.labels.ignore}
    shown = sorted(training, key=lambda case: (-len(classes[case.id] - nothing), case.id))[:num_cases]
    layout = make_layout(experiment, dataset, recipe)
    recipe = learn(recipe, experiment, (lay_out(case, layout) for case in shown))
    return Plan(dataset, split, recipe, patch_size, network), shown


def _case_section(
    shown: Sequence[Case], plan: Plan, paints: Sequence[Paint], *, window: Window | None, progress: Progress
) -> Section:
    """The cases one after the other, of which one at a time is in memory."""
    blocks = []
    progress.start("drawing cases", len(shown))
    try:
        for case in shown:
            blocks.append(_case_block(case, plan, paints, window))
            progress.advance()
    finally:
        progress.finish()
    note = (
        f"{len(shown)} of {len(plan.split.training)} training cases, those with most classes first, as they are "
        "stored; each plane is the one with most foreground. R and L are the patient's right and left, A front, P back."
    )
    return Section("Cases", note, tuple(blocks))


def _case_block(case: Case, plan: Plan, paints: Sequence[Paint], window: Window | None) -> Block:
    """A case as it is stored: each channel with outlines, then the first with filled labels."""
    dataset = plan.dataset
    volume = read_channels(case.images, len(dataset.channels), nonfinite=plan.recipe.nonfinite)
    label_map = read_case_label(case, sorted(dataset.labels.names)).array
    orientation = Orientation.to_ras(volume.affine)
    spacing = spacing_of(orientation.apply_affine(volume.affine, volume.shape))
    image, labels = orientation.apply(volume.array[:MOST_CHANNELS]), orientation.apply(label_map)[0]
    windows = [window or window_of(channel, labels, paints, is_ct=dataset.is_ct) for channel in image]
    planes = cut(image, labels, spacing, windows=windows, paints=paints)
    names = [*dataset.channels[:MOST_CHANNELS], "labels"]
    edge = min(_LARGEST_PANEL, _CASE_PIXELS // (len(names) * max(1, 6 // len(names))))
    rows = []
    for plane in planes:
        panels = [make_panel(plane, channel, paints, planes, edge=edge) for channel in range(len(image))]
        rows.append((*panels, make_panel(plane, 0, paints, planes, edge=edge, filled=True)))
    details = f"{' x '.join(map(str, labels.shape))} voxels of {in_mm(spacing)}; {_presence(labels, paints)}"
    return Block(case.id, details, tuple(rows), tuple(names))


def _presence(labels: NDArray[Any], paints: Sequence[Paint]) -> str:
    regions = [paint for paint in paints if paint.is_foreground]
    missing = [paint.name for paint in regions if not np.isin(labels, paint.values).any()]
    return f"without {', '.join(missing)}" if missing else f"each of the {len(regions)} regions"


def window_of(channel: NDArray[Any], labels: NDArray[Any], paints: Sequence[Paint], *, is_ct: bool) -> Window:
    """What is black and white: CT around what is labelled, whose intensities mean something; others over all but 0."""
    if not is_ct:
        return find_window(channel[channel != 0], GREY_PERCENTILES)
    labelled = find_foreground(labels, paints)
    if not labelled.any():
        return find_window(channel, GREY_PERCENTILES)
    return find_window(channel[labelled], _CT_PERCENTILES, margin=_CT_MARGIN, narrowest=_NARROWEST_CT)


def _cut_patch(experiment: Experiment, plan: Plan, case: Case) -> tio.Subject:
    """A patch around foreground, cut as training cuts it."""
    sampler = CaseSampler(plan.patch_size, Foreground(1.0), recipe=plan.recipe)
    voxels = lay_out(case, make_layout(experiment, plan.dataset, plan.recipe))
    with seeded(experiment.seed, "preview", case.id):
        [piece] = sampler.pieces(voxels, 1)
    return sampler.finish(piece, voxels)


def _normalized(plan: Plan, shown: Sequence[Case]) -> str:
    recipe = plan.recipe
    if recipe.statistics or recipe.landmarks:
        whose = f"by the {len(shown)} cases shown alone; training takes all {len(plan.split.training)}"
        return f"Preprocessed, normalised ({recipe.normalization}) {whose}."
    return f"Preprocessed, normalised ({recipe.normalization}), as the network sees it."


def _summary(plan: Plan) -> str:
    split, dataset = plan.split, plan.dataset
    counts = f"{len(split.training)} training, {len(split.validation)} validation, {len(split.test)} test cases"
    more = f" (shown: the first {MOST_CHANNELS})" if len(dataset.channels) > MOST_CHANNELS else ""
    return f"{dataset.name} · {counts} · channels {', '.join(dataset.channels)}{more}"
