"""The patches of a training, any of which can be made by itself."""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torchio as tio
from torch.utils.data import get_worker_info

from torchio_seg.errors import DataError, TorchioSegError
from torchio_seg.sampling.samplers import STORED, CaseSampler, Piece, voxels_of
from torchio_seg.sampling.seeds import derive_seed, seeded
from torchio_seg.subjects import IMAGE, LABEL, part
from torchio_seg.transforms.maps import Box
from torchio_seg.transforms.random import RandomMove

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torchio_seg.sampling.choices import Choice
    from torchio_seg.store.store import Stored
    from torchio_seg.transforms.recipe import Recipe, Shape


@dataclass(frozen=True)
class PatchRecipe:
    """How a case becomes patches."""

    preprocessing: Recipe
    patch_size: tuple[int, int, int]
    patches_per_case: int
    choice: Choice
    augmentation: tio.Compose

    def parts(self) -> tuple[CaseSampler, tio.Compose]:
        """What cuts a patch, moving it where that comes first, and what is done to it afterwards."""
        steps = list(self.augmentation.transforms)
        moves = steps[0] if steps and isinstance(steps[0], RandomMove) else None
        sampler = CaseSampler(self.patch_size, self.choice, recipe=self.preprocessing, moves=moves)
        return sampler, tio.Compose(steps[1:] if moves else steps, copy=False)


class Patches(tio.SubjectsDataset):
    """The patches of all epochs; an item is one of them, asked for by epoch and position in the epoch's random order.

    An epoch has every case as often as patches are cut from it. A case's voxels are mapped from disk, so its patches
    need not be made one after the other, and those of all cases are mixed without a buffer.
    """

    def __init__(
        self, subjects: Sequence[tio.Subject], recipe: PatchRecipe, seed: int, *, in_pieces: bool = False
    ) -> None:
        super().__init__(subjects)
        self.recipe = recipe
        self.seed = seed
        self.in_pieces = in_pieces
        self.sampler, self.changes = recipe.parts()
        self._order: tuple[int, torch.Tensor] | None = None

    def __len__(self) -> int:
        """Of one epoch."""
        return len(self.dry_iter()) * self.recipe.patches_per_case

    def __getitem__(self, index: Any) -> Any:
        """A patch, or what it is to be made of, or the error that kept it from being made, raised where it is used.

        An error that a worker raised would reach the user as the text of a traceback.
        """
        epoch, position = index
        number = int(self.order(epoch)[position])
        subject = self.dry_iter()[number // self.recipe.patches_per_case]
        try:
            with one_thread(), seeded(self.seed, epoch, "patch", number):
                return self._piece(subject) if self.in_pieces else self._patch(subject)
        except TorchioSegError as error:
            return error
        except Exception as error:  # noqa: BLE001 (handed on, with the case's name)
            named = DataError(f"case {subject['case']}: {type(error).__name__}: {error}")
            named.add_note(traceback.format_exc())
            return named

    def __getitems__(self, indices: Sequence[Any]) -> Any:
        """A batch of patches, images and labels, or a list of what they are to be made of, or the first error.

        A worker makes it in memory that it shares with its parent, so that nothing is copied again.
        """
        with one_thread():
            return self._batch(indices)

    def _batch(self, indices: Sequence[Any]) -> Any:
        batch: list[torch.Tensor] = []
        pieces = []
        for number, index in enumerate(indices):
            patch = self[index]
            if isinstance(patch, Exception):
                return patch
            if self.in_pieces:
                pieces.append(patch)
                continue
            for position, name in enumerate((IMAGE, LABEL)):
                values = part(patch, name).data
                if number == 0:
                    batch.append(_new_batch(len(indices), values))
                batch[position][number] = values
        return pieces if self.in_pieces else tuple(batch)

    def case_of(self, index: tuple[int, int]) -> str:
        """Whose patch that is."""
        epoch, position = index
        return str(self.dry_iter()[int(self.order(epoch)[position]) // self.recipe.patches_per_case]["case"])

    def order(self, epoch: int) -> torch.Tensor:
        """Which patch, counted case by case, stands where in an epoch."""
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(derive_seed(self.seed, epoch, "order"))
            self._order = epoch, torch.randperm(len(self), generator=generator)
        return self._order[1]

    def _piece(self, subject: tio.Subject) -> tuple[Piece, int]:
        """What a patch is made of, and a seed for the rest."""
        [piece] = self.sampler.pieces(voxels_of(subject), 1)
        return piece, int(torch.randint(2**62, ()))

    def _patch(self, subject: tio.Subject) -> tio.Subject:
        [patch] = self.sampler(subject, 1)
        label_type = part(patch, LABEL).data.dtype
        changed = self.changes(patch)
        label = part(changed, LABEL)
        label.set_data(label.data.to(label_type))  # TorchIO's resampling leaves floats behind
        return changed


def _new_batch(size: int, sample: torch.Tensor) -> torch.Tensor:
    """Room for so many like this one; in a worker, where its parent can see it."""
    shape = (size, *sample.shape)
    if get_worker_info() is None:
        return sample.new_empty(shape)
    storage = sample.untyped_storage()._new_shared(size * sample.numel() * sample.element_size())  # noqa: SLF001
    return sample.new_empty(0).set_(storage, 0, shape, sample.new_empty(shape, device="meta").stride())


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute by one thread, here as in a worker: sums come out the same, and threads that wait take no time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def to_subject(stored: Stored, recipe: Recipe) -> tio.Subject:
    """A stored case as TorchIO knows it; nothing is read before it is needed, and by our samplers never the whole."""
    image = tio.ScalarImage(stored.folder / "image.npy", reader=_Whole(stored, recipe, IMAGE), verify_path=False)
    label = tio.LabelMap(stored.folder / "label.npy", reader=_Whole(stored, recipe, LABEL), verify_path=False)
    return tio.Subject(image=image, label=label, case=stored.record.case, **{STORED: stored})


@dataclass(frozen=True)
class _Whole:
    """Reads a stored volume whole, should a transform or sampler of TorchIO's ask for it."""

    stored: Stored
    recipe: Recipe
    name: str

    def __call__(self, _: object) -> tuple[torch.Tensor, Any]:
        voxels = self.stored.open()
        whole: Shape = self.stored.record.shape
        image, label = voxels.read(Box((0, 0, 0), whole), self.recipe)
        return image if self.name == IMAGE else label, voxels.affine
