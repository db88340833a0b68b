"""From cases to a stream of batches of patches, the same for any number of workers.

Everything random is drawn from (seed, epoch, case), never from torch's global generator: a worker reads a case,
cuts and augments its patches, and hands over only those; the queue mixes the patches of several cases.
"""

from __future__ import annotations

import ctypes
import hashlib
import signal
import sys
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
import torchio as tio
from torch.utils.data import DataLoader, Sampler

from torchio_seg.errors import DataError, TorchioSegError
from torchio_seg.subjects import IMAGE, LABEL, make_subject, part, preprocess
from torchio_seg.transforms.preprocessing import Recipe, pad_to

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from torchio_seg.config.sections import Sampling

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images B C I J K, float32, and label values B 1 I J K, integers."""
WORKER_TIMEOUT_S = 600
"""A worker that gives nothing for so long is taken for hung."""
WORKER_GRACE_S = 20
_PR_SET_PDEATHSIG = 1


def derive_seed(*parts: object) -> int:
    """A seed from anything printable; the same parts give the same seed on every machine."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@contextmanager
def seeded(*parts: object) -> Iterator[None]:
    """Draw from a generator of these parts inside the block, and leave the global one untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(*parts))
        yield


class ForegroundSampler(tio.data.PatchSampler):
    """Patches anywhere, a share of them around a random voxel of a random class that the case has."""

    def __init__(self, patch_size: tuple[int, int, int], fraction: float, ignore: int | None = None) -> None:
        super().__init__(patch_size)
        self.fraction = fraction
        self.ignore = ignore

    def _generate_patches(self, subject: tio.Subject, num_patches: int | None = None) -> Generator[tio.Subject]:
        label_map = part(subject, LABEL).data[0]
        room = [n - int(size) for n, size in zip(label_map.shape, self.patch_size, strict=True)]
        found = label_map.unique().tolist() if self.fraction > 0 else []
        present = [value for value in found if value not in {0, self.ignore}]
        voxels = {value: (label_map == value).flatten().nonzero()[:, 0] for value in present}
        for _ in range(num_patches) if num_patches is not None else iter(int, 1):
            on_foreground = bool(torch.rand(()) < self.fraction)
            start = [int(torch.randint(n + 1, ())) for n in room]
            if on_foreground and present:
                candidates = voxels[present[int(torch.randint(len(present), ()))]]
                flat = int(candidates[torch.randint(len(candidates), ())])
                centre = torch.unravel_index(torch.tensor(flat), label_map.shape)
                offsets = (int(c) - int(size) // 2 for c, size in zip(centre, self.patch_size, strict=True))
                start = [min(max(offset, 0), n) for offset, n in zip(offsets, room, strict=True)]
            yield self.extract_patch(subject, (start[0], start[1], start[2]))


@dataclass(frozen=True)
class PatchRecipe:
    """How a case becomes patches."""

    preprocessing: Recipe
    patch_size: tuple[int, int, int]
    patches_per_case: int
    foreground_fraction: float
    augmentation: Callable[[tio.Subject], tio.Subject]
    ignore: int | None = None
    """The label value around which no patch is centred."""


class CaseDataset(tio.SubjectsDataset):
    """Each item is one case's patches, cut and augmented; what is random in them depends on the key and the case."""

    def __init__(self, subjects: Sequence[tio.Subject], recipe: PatchRecipe, key: tuple[int, int]) -> None:
        super().__init__(subjects)
        self.recipe = recipe
        self.key = key

    def __getitem__(self, index: int) -> Any:
        """A list of subjects, or the error that kept them from being made, which is raised where they are used.

        An error that a worker raised would reach the user as the text of a traceback.
        """
        case = self.dry_iter()[index]["case"]
        try:
            with seeded(*self.key, "case", int(index)):
                return self._cut(super().__getitem__(index))
        except TorchioSegError as error:
            return error
        except Exception as error:  # noqa: BLE001 (handed on, with the case's name)
            named = DataError(f"case {case}: {type(error).__name__}: {error}")
            named.add_note(traceback.format_exc())
            return named

    def _cut(self, subject: tio.Subject) -> list[tio.Subject]:
        recipe = self.recipe
        prepared = preprocess(subject, recipe.preprocessing)
        image = pad_to(part(prepared, IMAGE).data, recipe.patch_size, recipe.preprocessing)
        label = pad_to(part(prepared, LABEL).data, recipe.patch_size)
        padded = make_subject(image, label, part(prepared, IMAGE).affine, str(prepared["case"]))
        sampler = ForegroundSampler(recipe.patch_size, recipe.foreground_fraction, recipe.ignore)
        patches = sampler(padded, recipe.patches_per_case)
        return [self._augmented(patch, label.dtype) for patch in patches]

    def _augmented(self, patch: tio.Subject, label_type: torch.dtype) -> tio.Subject:
        changed = self.recipe.augmentation(patch)
        label = part(changed, LABEL)
        label.set_data(label.data.to(label_type))  # TorchIO's resampling leaves floats behind
        return changed


class _HandOut(tio.data.PatchSampler):
    """What the queue calls a sampler: passes on the patches, or the error, that the worker has handed over."""

    def __call__(self, subject: Any, num_patches: int | None = None) -> Any:
        if isinstance(subject, Exception):
            raise subject
        return islice(subject, num_patches)


class _Order(Sampler[int]):
    """The cases of one epoch in its random order."""

    def __init__(self, num_cases: int, key: tuple[int, int]) -> None:
        generator = torch.Generator().manual_seed(derive_seed(*key, "order"))
        self.order = torch.randperm(num_cases, generator=generator).tolist()

    def __iter__(self) -> Iterator[int]:
        return iter(self.order)

    def __len__(self) -> int:
        return len(self.order)


class EpochQueue(tio.Queue):
    """TorchIO's queue for one epoch: mixes patches by a generator of its own and gives up on a worker that hangs."""

    def __init__(self, dataset: CaseDataset, *, queue_cases: int, num_workers: int) -> None:
        per_case = dataset.recipe.patches_per_case
        super().__init__(
            dataset,
            max_length=queue_cases * per_case,  # a multiple, so that no case is cut in two
            samples_per_volume=per_case,
            sampler=_HandOut(dataset.recipe.patch_size),
            subject_sampler=_Order(len(dataset), dataset.key),
            num_workers=num_workers,
            shuffle_subjects=False,
            start_background=False,
        )
        self._generator = torch.Generator().manual_seed(derive_seed(*dataset.key, "mix"))

    def close(self) -> None:
        """End the workers, which an error's traceback would otherwise keep until the process waits for them."""
        workers, self._subjects_iterable = self._subjects_iterable, None
        if self.num_workers and workers is not None:
            workers._shutdown_workers()  # noqa: SLF001 (torch offers no other way)

    def _shuffle_patches_list(self) -> None:
        order = torch.randperm(self.num_patches, generator=self._generator).tolist()
        self.patches_list = [self.patches_list[i] for i in order]

    def _get_subjects_iterable(self) -> Iterator[Any]:
        self._num_sampled_subjects = 0
        loader = DataLoader(
            self.subjects_dataset,
            num_workers=self.num_workers,
            batch_size=1,
            collate_fn=self._get_first_item,
            sampler=self.subject_sampler,
            timeout=WORKER_TIMEOUT_S if self.num_workers else 0,
            worker_init_fn=_start_worker,
            generator=torch.Generator().manual_seed(0),
        )
        return iter(loader)


@dataclass(frozen=True)
class PatchStream:
    """The batches of any epoch."""

    subjects: tuple[tio.Subject, ...]
    recipe: PatchRecipe
    settings: Sampling
    batch_size: int
    seed: int

    @property
    def batches_per_epoch(self) -> int:
        """Whole batches only, unless there are too few patches for one."""
        return max(1, len(self.subjects) * self.recipe.patches_per_case // self.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, from a fresh queue."""
        dataset = CaseDataset(self.subjects, self.recipe, (self.seed, number))
        queue = EpochQueue(dataset, queue_cases=self.settings.queue_cases, num_workers=self.settings.num_workers)
        generator = torch.Generator().manual_seed(0)
        loader = tio.SubjectsLoader(queue, batch_size=self.batch_size, num_workers=0, generator=generator)
        try:
            for batch in islice(loader, self.batches_per_epoch):
                yield batch[IMAGE][tio.DATA], batch[LABEL][tio.DATA]
        finally:
            queue.close()


def shrink(patch_size: Sequence[int], shapes: Sequence[Sequence[int]]) -> tuple[int, int, int]:
    """The patch size, an axis on which every volume is shorter shortened to the longest volume."""
    i, j, k = (min(size, max(lengths)) for size, lengths in zip(patch_size, zip(*shapes, strict=True), strict=True))
    return i, j, k


def _start_worker(_: int) -> None:
    """A worker computes on one core, ends with its parent, and leaves the answer to signals to it.

    A SIGTERM sent to the whole group must not end a worker before its parent has finished the step and saved.
    """
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(WORKER_GRACE_S))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
