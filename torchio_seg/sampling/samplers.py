"""Cut patches from a case, reading of it only what each patch is made of."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torchio as tio

from torchio_seg.sampling.choices import Centre, Choice
from torchio_seg.store.laying import Layout, of_tensors
from torchio_seg.store.voxels import Voxels
from torchio_seg.subjects import IMAGE, LABEL, make_subject, part
from torchio_seg.transforms.maps import Box, Grid, Map, Spacing
from torchio_seg.transforms.random import RandomMove
from torchio_seg.transforms.recipe import Recipe, Shape
from torchio_seg.transforms.resampling import View

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from torchio_seg.store.store import Stored

STORED = "stored"
"""Where a subject has its stored case."""
CENTRE = "centre"
"""Where a patch has the class of the voxel that it was cut around."""
AS_STORED = Recipe(None, None, "none")


@dataclass(frozen=True)
class Piece:
    """A patch before it is moved: the box of the volume that its map looks at."""

    image: torch.Tensor
    """C I J K, normalised."""
    label: torch.Tensor
    """1 I J K."""
    where: Map
    start: Shape
    """Of the box, counted from the patch's first voxel."""
    first: Shape
    """The patch's first voxel on the model's grid."""
    value: int
    """Class of the voxel that the patch was cut around."""
    spacing: Spacing


class CaseSampler(tio.data.PatchSampler):
    """Patches of a stored case, or of any subject with an image and a label.

    Where a random move is given, it is drawn first and tells which box to read, so that what moves into the patch is
    there. A patch around a voxel has it in its middle unless that would reach beyond the volume; then the patch is
    shifted inside. A volume shorter than the patch is filled at its end.
    """

    def __init__(
        self, patch_size: Shape, choice: Choice, *, recipe: Recipe = AS_STORED, moves: RandomMove | None = None
    ) -> None:
        super().__init__(patch_size)
        self.choice = choice
        self.recipe = recipe
        self.moves = moves

    def __call__(self, subject: tio.Subject, num_patches: int | None = None) -> Generator[tio.Subject]:
        """So many patches, or without end."""
        return self._generate_patches(subject, num_patches)

    def _generate_patches(self, subject: tio.Subject, num_patches: int | None = None) -> Generator[tio.Subject]:
        voxels = voxels_of(subject)
        for piece in self.pieces(voxels, num_patches):
            yield self.finish(piece, voxels)

    def pieces(self, voxels: Voxels, num_patches: int | None = None) -> Iterator[Piece]:
        """What patches are made of."""
        size = tuple_of(self.patch_size)
        spacing = tuple_of(np.linalg.norm(voxels.affine[:3, :3], axis=0), float)
        for _ in count() if num_patches is None else range(num_patches):
            centre = self.choice(voxels)
            first = place(voxels, centre, size)
            where, box = Map.identity(size), Box((0, 0, 0), size)
            if self.moves is not None:
                seed = int(torch.randint(2**62, ()))
                where = self.moves.draw(torch.Generator().manual_seed(seed), Grid(size, spacing))
                box = self.moves.interpolation.source_box(where)
            wanted = Box(tuple_of(np.add(first, box.start)), box.size)
            image, label = voxels.read(wanted, self.recipe)
            yield Piece(image, label, where, box.start, first, centre.value, spacing)

    def moved(self, piece: Piece, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Image and label of the patch, 1 C I J K, made on a device."""
        images, labels = piece.image[None].to(device), piece.label[None].to(device)
        if self.moves is None:
            return images, labels
        view = View(piece.where, self.moves.interpolation, piece.start, device)
        return view.of_image(images[0])[None], view.of_label(labels[0])[None]

    def finish(self, piece: Piece, voxels: Voxels) -> tio.Subject:
        """The patch as a subject."""
        images, labels = self.moved(piece, torch.device("cpu"))
        affine = voxels.affine
        affine[:3, 3] += affine[:3, :3] @ np.array(piece.first)
        patch = make_subject(images[0], labels[0], affine, voxels.record.case)
        last = np.add(piece.first, self.patch_size).tolist()
        patch[tio.LOCATION] = torch.tensor([*piece.first, *last])
        patch[CENTRE] = piece.value
        return patch


def place(voxels: Voxels, centre: Centre, patch_size: Shape) -> Shape:
    """The first voxel of a patch around the centre, or anywhere, each place of the patch being as likely."""
    first = []
    for axis, (low, high) in enumerate(_places(voxels, patch_size)):
        if centre.voxel is None:
            first.append(low + int(torch.randint(high - low + 1, ())))
        else:
            first.append(min(max(centre.voxel[axis] - patch_size[axis] // 2, low), high))
    return tuple_of(first)


def _places(voxels: Voxels, patch_size: Shape) -> Iterator[tuple[int, int]]:
    """The lowest and highest first voxel on each axis: within the box that is not empty, or around it if it fits."""
    for start, kept, n, size in zip(voxels.record.start, voxels.size, voxels.record.shape, patch_size, strict=True):
        if kept >= size:
            yield start, start + kept - size
        elif n >= size:
            yield max(0, start + kept - size), min(start, n - size)
        else:
            yield 0, 0


def voxels_of(subject: tio.Subject) -> Voxels:
    """Those that are stored, or of the subject's own images."""
    if STORED in subject:
        return cast("Stored", subject[STORED]).open()
    image, label = part(subject, IMAGE), part(subject, LABEL)
    layout = Layout(image.num_channels, (), AS_STORED, "float32")
    return of_tensors(image.data.float(), label.data, image.affine, str(subject.get("case", "")), layout=layout)


def tuple_of(values: Any, kind: type = int) -> tuple[Any, Any, Any]:
    """Three numbers of Python's."""
    i, j, k = (kind(value) for value in values)
    return i, j, k
