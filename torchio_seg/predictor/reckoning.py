"""What the parts of a prediction take of memory: bytes from the shapes that the code allocates, each an upper bound."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod
from typing import TYPE_CHECKING

from torchio_seg.predictor.held import UNMEASURED
from torchio_seg.predictor.own_grid import KEPT_BYTES
from torchio_seg.predictor.predictor import meet_early
from torchio_seg.predictor.skipping import Skipping
from torchio_seg.predictor.streaming import PLANES
from torchio_seg.transforms.prepared import CHUNK_BYTES
from torchio_seg.volumes.source import SLAB_BYTES
from torchio_seg.volumes.writing import ACROSS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from torchio_seg.predictor.predictor import Predictor, Way

FLOAT = 4
_HISTOGRAM = 48
"""Bytes a voxel while intensities are moved to landmarks, in double precision."""
_CHUNKS = 6
"""Of planes on their way through turning, resampling and cutting."""


@dataclass(frozen=True)
class PatchCost:
    """What one patch takes while a network answers for it, images and logits included; measured."""

    num_channels: int
    """Of the logits."""
    ram: int
    vram: int = 0


@dataclass(frozen=True)
class Image:
    """A volume that is to be predicted."""

    channels: int
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    held: int
    """Bytes that the process has in memory before it begins, weights of all networks, and the volume if it is there."""
    held_vram: int = 0
    """Bytes of tensors on the GPU likewise."""
    is_in_memory: bool = False
    is_laid_out: bool = False
    """Whether it is float32 and turned already, so that no copy is made for that."""


@dataclass(frozen=True)
class Part:
    """One member, what a patch costs it, and its way through the volume."""

    member: Predictor
    cost: PatchCost
    way: Way

    @property
    def patch(self) -> int:
        return prod(self.member.window.patch_size)

    @property
    def logits(self) -> int:
        """Bytes of those of a batch."""
        return FLOAT * self.cost.num_channels * self.patch * self.member.window.batch_size

    @property
    def has_histogram(self) -> bool:
        return self.member.recipe.normalization == "histogram"

    def is_long(self, channels: int) -> bool:
        """Whether the volume is seen a window at a time."""
        most = max(prod(self.way.patches.shape), prod(self.way.grids.turned_shape))
        return FLOAT * channels * most > self.member.held_bytes


def volumes(parts: Sequence[Part], image: Image) -> tuple[int, int]:
    """Bytes of the image as the networks see it, and the most that is taken until it is."""
    held = most = 0
    seen: list[Part] = []
    for part in parts:
        if part.is_long(image.channels):
            held += _window(part, image)
            continue
        if not any(part.way.is_on_grid_of(other.way) for other in seen):
            made, meanwhile = _made(part, image)
            most = max(most, held + meanwhile)
            held += made
        seen.append(part)
        if part.member.recipe.normalization not in UNMEASURED:
            most = max(most, held + (FLOAT + 1) * prod(part.way.grids.model_shape) + 2 * CHUNK_BYTES)
    return held, max(most, held)


def _made(part: Part, image: Image) -> tuple[int, int]:
    """Bytes of the whole volume on a member's grid, and of all that it is made from."""
    grids = part.way.grids
    own, resampled, model = (
        FLOAT * image.channels * prod(shape) for shape in (grids.turned_shape, grids.resampled_shape, grids.model_shape)
    )
    read = 0 if image.is_in_memory else own + 2 * SLAB_BYTES
    turned = 0 if image.is_in_memory and image.is_laid_out else own
    is_resampled, is_cut = grids.resampled_shape != grids.turned_shape, grids.model_shape != grids.resampled_shape
    is_averaged = grids.averaged_shape != grids.turned_shape  # axis by axis, in two parts of half the volume at most
    steps = (turned, own * is_averaged, resampled * is_resampled, model * is_cut)
    made = model if is_cut else resampled if is_resampled else turned
    return made, read + sum(steps)


def _window(part: Part, image: Image) -> int:
    """Bytes of the planes that patches are cut from, while what is kept of them is moved, and of those on the way."""
    patches, grids = part.way.patches, part.way.grids
    axis = patches.axis
    per_plane = FLOAT * image.channels * prod(patches.shape) // patches.shape[axis]
    plane = max(prod(shape) // shape[axis] for shape in (grids.turned_shape, grids.resampled_shape, patches.shape))
    chunk = max(CHUNK_BYTES, FLOAT * image.channels * plane)
    histogram = chunk * _HISTOGRAM // (FLOAT * image.channels) if part.has_histogram else 0
    return per_plane * (max(patches.lengths) + max(patches.carried)) + _CHUNKS * chunk + histogram


def images(part: Part, channels: int) -> int:
    """Bytes of the patches of a batch beside the batch itself, and of the one that is normalised."""
    one = FLOAT * channels * part.patch
    return one * (part.member.window.batch_size + 2) + (_HISTOGRAM * part.patch if part.has_histogram else 0)


def kept_logits(parts: Sequence[Part]) -> int:
    """Bytes that members keep of the answers for patches in which nothing is, and while they put a batch together."""
    skipping = [part for part in parts if isinstance(part.member.network, Skipping)]
    kept = sum(part.logits // part.member.window.batch_size for part in skipping)
    return kept + max((part.logits for part in skipping), default=0)


def waiting_answers(parts: Sequence[Part]) -> int:
    """Bytes of the logits that each member but the one at work holds."""
    answers = [part.logits for part in parts]
    return sum(answers) - max(answers)


def sums(part: Part) -> int:
    """Bytes of what waits for patches, and of the weights of one."""
    patches = part.way.patches
    a_voxel = FLOAT * part.cost.num_channels
    bar, waiting = a_voxel * prod(patches.bar_shape), a_voxel * prod(patches.waiting_shape)
    storage = part.member.storage
    if storage.sums.type == "cpu" and storage.sums_in_file and patches.has_bars:
        rows = patches.axes[1]  # as much of it as a bar reads or writes is in memory
        waiting = waiting * patches.patch_size[rows] // patches.shape[rows]
    return bar + waiting + FLOAT * part.patch


def strips(parts: Sequence[Part]) -> int:
    """Bytes of what is finished and under way to the label map."""
    is_early = meet_early([part.way for part in parts])
    return sum(_strips_of(part, is_early=is_early) for part in parts) + 3 * longest_strip(parts)


def longest_strip(parts: Sequence[Part]) -> int:
    """Bytes of the largest piece of a plane that goes into the label map at once."""
    return max(FLOAT * part.cost.num_channels * max(_areas(part)) for part in parts)


def _areas(part: Part) -> tuple[int, int]:
    """Voxels of a strip on the model's grid, and of the strips that are made of it for the volume's own."""
    grids, patches = part.way.grids, part.way.patches
    _, rows, along = patches.axes
    bar = max(end - row for row, end in patches.bars)
    if grids.turned_shape == grids.model_shape:
        return bar * patches.shape[along], 0
    length = grids.turned_shape[rows]
    if grids.resampled_shape[rows] == grids.model_shape[rows]:  # else what was cut away may come with any bar
        length = min(length, ceil((bar + 2) * length / grids.resampled_shape[rows]) + 1)
    return bar * patches.shape[along], max(length, bar + 1) * max(grids.turned_shape[along], patches.shape[along])


def _strips_of(part: Part, *, is_early: bool) -> int:
    """Some planes of a bar, a few strips, and the last plane and rows that others are interpolated from."""
    grids, patches, channels = part.way.grids, part.way.patches, part.cost.num_channels
    planes, rows, along = patches.axes
    own, turned = _areas(part)
    finished = PLANES * own
    voxels = (2 if planes == 2 else 1) * finished + 4 * own + 6 * turned
    plane = grids.turned_shape[rows] * grids.turned_shape[along]
    if turned:
        voxels += plane + max(patches.lengths) * grids.turned_shape[along]
    if not is_early:
        voxels += plane * _waiting_planes(part)
    return FLOAT * (channels * voxels + finished)


def _waiting_planes(part: Part) -> int:
    """Of the volume's own grid, that wait for the last bar of their slab where members meet plane by plane."""
    grids, patches = part.way.grids, part.way.patches
    planes = patches.axis
    if len(patches.bars) == 1:
        return 1
    if grids.resampled_shape[planes] != grids.model_shape[planes]:
        return grids.turned_shape[planes]
    done = max(end - first for first, end in patches.slabs)
    return min(grids.turned_shape[planes], ceil(done * grids.turned_shape[planes] / grids.resampled_shape[planes]) + 2)


def outputs(parts: Sequence[Part], image: Image, *, kept: bool) -> dict[str, int]:
    """Bytes of the label map, and of what else is kept on the volume's own grid."""
    held, most = parts[0].member.held_bytes, KEPT_BYTES + longest_strip(parts)
    sizes = _sizes(parts[0].member, image, kept=kept)
    return {what: size if size <= held else min(size, most) for what, size in sizes.items()}


def writing(first: Predictor, image: Image, *, kept: bool) -> int:
    """Bytes of slabs on their way into files, of which the least is a plane with all its channels."""
    plane = FLOAT * image.shape[0] * image.shape[1] * (first.labels.num_channels if kept else 1)
    is_in_file = max(_sizes(first, image, kept=kept).values()) > first.held_bytes
    return 3 * max(plane, SLAB_BYTES) + ACROSS * SLAB_BYTES * is_in_file


def _sizes(first: Predictor, image: Image, *, kept: bool) -> dict[str, int]:
    """Bytes of what is made of a volume, wherever it lies."""
    own, value = prod(image.shape), max(region.value for region in first.labels.regions)
    sizes = {"label map": own * (1 if value <= 255 else FLOAT)}
    if kept:
        sizes["probabilities"] = FLOAT * first.labels.num_channels * own
    if first.measure is not None:
        sizes["uncertainty"] = FLOAT * own
    return sizes
