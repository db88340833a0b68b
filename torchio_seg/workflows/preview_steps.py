"""A patch as the network sees it: as it is, as training draws it, and after each step of augmentation alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torchio as tio

from torchio_seg import components
from torchio_seg.config.sections import Experiment
from torchio_seg.config.values import Component
from torchio_seg.reports.sheet import Block, Panel, Section
from torchio_seg.reports.slices import Paint, Plane, Window, cut, draw, find_window
from torchio_seg.sampling.seeds import seeded
from torchio_seg.subjects import IMAGE, LABEL, part
from torchio_seg.workflows.patches import fuse, make_augmentation

NUM_DRAWS = 2
"""Patches shown as training will change them."""
GREY_PERCENTILES = (0.5, 99.5)
_PANEL_EDGE = 154


def patch_sections(
    experiment: Experiment, patch: tio.Subject, channel: str, paints: Sequence[Paint]
) -> tuple[Section, ...]:
    """The patch as it is and as training draws it, then after each step alone; of its channels the first."""
    window = find_window(part(patch, IMAGE).data[0].numpy(), GREY_PERCENTILES)
    block = partial(_patch_block, window=window, paints=paints)
    size = " x ".join(map(str, patch.spatial_shape))
    blocks = [block("unchanged", f"{size} voxels of {in_mm(patch.spacing)} of case {patch['case']}", patch)]
    steps = (*experiment.augmentation.spatial, *experiment.augmentation.intensity)
    for number in range(NUM_DRAWS if steps else 0):
        with seeded(experiment.seed, "preview", number):
            changed = make_augmentation(experiment)(patch)
        blocks.append(block(f"as training may draw it ({number + 1})", "every step, as likely as it is set", changed))
    alone = partial(_step_section, patch=patch, experiment=experiment, block=block)
    return (
        Section("A patch", f"Channel {channel}; all patches in the same grey.", tuple(blocks)),
        alone("spatial", experiment.augmentation.spatial, "Image and labels move together."),
        alone("intensity", experiment.augmentation.intensity, "The image changes, the labels stay where they are."),
    )


def _step_section(
    part_of: str,
    sections: Sequence[Component],
    note: str,
    *,
    patch: tio.Subject,
    experiment: Experiment,
    block: Callable[[str, str, tio.Subject], Block],
) -> Section:
    """The patch after each of these steps."""
    kind = f"transforms.{part_of}"
    blocks = []
    for number, (name, section) in enumerate(_steps(kind, sections)):
        with seeded(experiment.seed, "preview", kind, number):
            step = fuse(experiment, [components.assemble(kind, section)])
            blocks.append(block(name, _options(section), step(patch)))
    heading = f"{part_of.capitalize()} steps, each alone"
    return Section(heading, note if blocks else "The experiment has none.", tuple(blocks))


def make_panel(
    plane: Plane, channel: int, paints: Sequence[Paint], planes: Sequence[Plane], *, edge: int, filled: bool = False
) -> Panel:
    """One plane, at the scale at which the longest of all the planes is as long as a panel's edge."""
    scale = edge / max(each.longest_mm for each in planes)
    return Panel(draw(plane, channel, paints, scale=scale, filled=filled), plane.caption, plane.sides)


def in_mm(spacing: Sequence[float]) -> str:
    return f"{' x '.join(f'{edge:.3g}' for edge in spacing)} mm"


def _patch_block(name: str, details: str, patch: tio.Subject, *, window: Window, paints: Sequence[Paint]) -> Block:
    labels = np.rint(part(patch, LABEL).data[0].numpy()).astype(np.int64)
    image = part(patch, IMAGE).data[:1].numpy()
    planes = cut(image, labels, patch.spacing, windows=[window], paints=paints)
    return Block(name, details, (tuple(make_panel(plane, 0, paints, planes, edge=_PANEL_EDGE) for plane in planes),))


def _steps(kind: str, sections: Sequence[Component | Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each step by name and with its probability set to 1; in the place of one that holds others, those."""
    for section in sections:
        options = dict(section.section if isinstance(section, Component) else section)
        inside = components.nested(kind, options["name"])
        for key in inside:
            for name, inner in _steps(kind, options[key]):
                yield f"{options['name']}: {name}", inner
        if not inside:
            yield options["name"], options | {key: 1.0 for key in ("probability", "p") if key in options}


def _options(section: Mapping[str, Any]) -> str:
    return " · ".join(f"{key} {value}" for key, value in section.items() if key not in {"name", "probability", "p"})
