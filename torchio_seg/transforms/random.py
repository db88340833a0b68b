"""Our random changes as TorchIO transforms, which take any stock transform beside them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
import torchio as tio

from torchio_seg import components
from torchio_seg.errors import ConfigError
from torchio_seg.transforms.changes import Change, change
from torchio_seg.transforms.maps import Grid, Map
from torchio_seg.transforms.moves import Move, OneOf, draw
from torchio_seg.transforms.resampling import LINEAR, Interpolation, View


class RandomMove(tio.SpatialTransform):
    """Random moves, fused: images and labels of a subject move by one map, in one resampling.

    Beyond the patch images have each channel's minimum and labels 0. A sampler that has more than the patch calls
    `draw`, reads `interpolation.source_box` of the map, and hands both to `resampling.move`.
    """

    def __init__(self, moves: Sequence[Move], interpolation: Interpolation = LINEAR, **kwargs: Any) -> None:
        super().__init__(**{"copy": False, **kwargs})
        self.moves = tuple(moves)
        self.interpolation = interpolation
        self.args_names = ["moves", "interpolation"]

    @property
    def bends(self) -> bool:
        """Whether one of the moves may bend."""
        return any(each.bends for each in self.moves)

    def draw(self, generator: torch.Generator, grid: Grid) -> Map:
        """One map for all moves."""
        return draw(self.moves, generator, grid)

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        """A subject of its own, which shares with the given one what has not moved."""
        where = self.draw(_generator(), Grid(subject.spatial_shape, subject.spacing))
        view = View(where, self.interpolation, (0, 0, 0), torch.device("cpu"))

        def moved(image: tio.Image) -> torch.Tensor:
            return view.of_label(image.data) if isinstance(image, tio.LabelMap) else view.of_image(image.data)

        return _replaced(subject, self.get_images(subject), moved)


class RandomChange(tio.IntensityTransform):
    """Random changes of intensity, one after the other on one copy of the image."""

    def __init__(self, changes: Sequence[Change], **kwargs: Any) -> None:
        super().__init__(**{"copy": False, **kwargs})
        self.changes = tuple(changes)
        self.args_names = ["changes"]

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        """A subject of its own, which shares with the given one what has not changed."""
        generator = _generator()

        def changed(image: tio.Image) -> torch.Tensor:
            values = image.data if image.data.is_floating_point() else image.data.float()
            return change(values[None], self.changes, [image.spacing], generator)[0]

        return _replaced(subject, self.get_images(subject), changed)


def fused(transforms: Iterable[tio.Transform], interpolation: Interpolation = LINEAR) -> list[tio.Transform]:
    """The transforms with neighbours of ours made one; a second move that bends starts anew, or the sum could fold."""
    result: list[tio.Transform] = []
    for given in transforms:
        each = _with_interpolation(given, interpolation)
        last = result[-1] if result else None
        if isinstance(each, RandomMove) and isinstance(last, RandomMove) and not (each.bends and last.bends):
            result[-1] = RandomMove(last.moves + each.moves, interpolation)
        elif isinstance(each, RandomChange) and isinstance(last, RandomChange):
            result[-1] = RandomChange(last.changes + each.changes)
        else:
            result.append(each)
    return result


def one_of(
    kind: str, steps: Sequence[Mapping[str, Any]], weights: Sequence[float] | None, probability: float
) -> tio.Transform:
    """Steps of a kind, of which one is drawn each time, each as likely as its weight says."""
    weights = weights or [1.0] * len(steps)
    if len(weights) != len(steps) or not sum(weights) > 0:
        raise ConfigError(
            f"one_of has {len(steps)} steps and the weights {list(weights)}; give one weight for each step, at least "
            "one above 0, or null for equal ones"
        )
    built = [components.assemble(kind, step) for step in steps]
    ours = tuple(each.moves for each in built if isinstance(each, RandomMove))
    if len(ours) == len(built):
        return RandomMove([OneOf(probability, ours, tuple(weights))])
    return tio.OneOf(dict(zip(built, weights, strict=True)), p=probability)


def _with_interpolation(transform: tio.Transform, interpolation: Interpolation) -> tio.Transform:
    if isinstance(transform, RandomMove):
        return RandomMove(transform.moves, interpolation)
    if isinstance(transform, tio.OneOf):
        choices = {_with_interpolation(each, interpolation): p for each, p in transform.transforms_dict.items()}
        return tio.OneOf(choices, p=transform.probability)
    return transform


def _generator() -> torch.Generator:
    """One that starts where torch's own stands, which moves on by one number."""
    return torch.Generator().manual_seed(int(torch.randint(2**62, ())))


def _replaced(
    subject: tio.Subject, images: Iterable[tio.Image], new: Callable[[tio.Image], torch.Tensor]
) -> tio.Subject:
    """The subject with these images' voxels made new; the given one stays as it is."""
    result = copy.copy(subject)
    result.applied_transforms = list(subject.applied_transforms)
    wanted = {id(image) for image in images}
    for name, image in subject.get_images_dict(intensity_only=False).items():
        if id(image) in wanted:
            replaced = copy.copy(image)
            replaced.set_data(new(image))
            result[name] = replaced
    result.update_attributes()
    return result
