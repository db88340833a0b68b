"""TorchIO's queue over the patches of a training."""

from __future__ import annotations

import atexit
import ctypes
import gc
import re
import signal
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, tee
from typing import TYPE_CHECKING, Any

import torch
import torchio as tio
from torch.utils.data import DataLoader, Sampler

from torchio_seg.errors import TrainingError

if TYPE_CHECKING:
    from torchio_seg.sampling.patches import Patches

WORKER_TIMEOUT_S = 600
"""A worker that gives nothing for so long is taken for hung."""
WORKER_GRACE_S = 20
_BATCHES_AHEAD = 2
_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


class _HandOut(tio.data.PatchSampler):
    """What the queue calls a sampler: passes on the batch, or the error, that a worker has handed over."""

    def __call__(self, batch: Any, num_patches: int | None = None) -> Any:  # noqa: ARG002
        if isinstance(batch, Exception):
            raise batch
        return iter((batch,))


class _InTurn(Sampler[list[Any]]):
    """Which patches each batch is to have, without end."""

    def __init__(self, batches: Iterable[list[tuple[int, int]]]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[list[Any]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return sys.maxsize


class PatchQueue(tio.Queue):
    """TorchIO's queue with batches in place of volumes: workers make them, it holds one, others are on the way.

    The order is the data set's, so nothing is shuffled here, and it has no end: the workers live as long as the
    training and make the first patches of an epoch while the last ones of the one before are learnt from.
    """

    def __init__(self, patches: Patches, batches: Iterable[list[tuple[int, int]]], *, num_workers: int) -> None:
        wanted, self._awaited = tee(batches)
        self._case_of = patches.case_of
        super().__init__(
            patches,
            max_length=1,
            samples_per_volume=1,
            sampler=_HandOut(patches.recipe.patch_size),
            subject_sampler=_InTurn(wanted),
            num_workers=num_workers,
            shuffle_subjects=False,
            shuffle_patches=False,
            start_background=False,
        )
        atexit.register(self.close)  # else workers would be waited for where the program ends in between

    @property
    def iterations_per_epoch(self) -> int:
        """Without end."""
        return sys.maxsize

    def close(self) -> None:
        """End the workers, which an error's traceback would otherwise keep until the process waits for them."""
        atexit.unregister(self.close)
        workers, self._subjects_iterable = self._subjects_iterable, None
        if self.num_workers and workers is not None:
            workers._shutdown_workers()  # noqa: SLF001 (torch offers no other way)

    def _get_next_subject(self) -> Any:
        """The next batch; an error where the workers give none any more, and then none of them is left."""
        try:
            batch = super()._get_next_subject()
        except RuntimeError as error:  # torch has no other type for it
            for worker in getattr(self._subjects_iterable, "_workers", []):
                worker.kill()
                worker.join()
            at_work = islice(self._awaited, self.num_workers)
            cases = {self._case_of(index) for indices in at_work for index in indices}
            raise TrainingError(_explain(error, sorted(cases))) from error
        next(self._awaited)
        return batch

    def _get_subjects_iterable(self) -> Iterator[Any]:
        self._num_sampled_subjects = 0
        if not self.num_workers:
            return iter(self._make_loader())
        gc.collect()
        gc.freeze()  # what workers share with us is not theirs to look through, which would copy it
        try:
            with warnings.catch_warnings():  # of more workers than processors, which is the user's choice
                warnings.filterwarnings("ignore", message="This DataLoader will create")
                return iter(self._make_loader())
        finally:
            gc.unfreeze()

    def _make_loader(self) -> DataLoader[Any]:
        return DataLoader(
            self.subjects_dataset,
            num_workers=self.num_workers,
            batch_sampler=self.subject_sampler,
            collate_fn=_as_it_is,
            timeout=WORKER_TIMEOUT_S if self.num_workers else 0,
            worker_init_fn=_start_worker,
            prefetch_factor=max(1, _BATCHES_AHEAD // self.num_workers) if self.num_workers else None,
            generator=torch.Generator().manual_seed(0),
        )


def _as_it_is(batch: Any) -> Any:
    """The data set has made a batch already."""
    return batch


def _explain(error: RuntimeError, cases: Sequence[str]) -> str:
    """What happened to the workers, which had patches of these cases to make."""
    workers, said = f"workers at patches of case {' or '.join(cases)}", " ".join(str(error).split())
    if "timed out" in said:
        return (
            f"{workers} gave none for {WORKER_TIMEOUT_S} s, so they were ended; a file system that hangs may be the "
            "cause, or a step of augmentation that never ends"
        )
    if re.search("killed by signal|exited unexpectedly", said):
        return (
            f"one of the {workers} ended without a word ({said}); go on with torchio-seg train --resume RUN, and where "
            "the system ends processes for lack of memory, with fewer of them: --set sampling.num_workers=1"
        )
    return f"{workers} failed: {said}"


def _start_worker(_: int) -> None:
    """A worker ends with its parent, leaves the answer to signals to it, and hands batches over by the name of a file.

    A SIGTERM sent to the whole group must not end a worker before its parent has finished the step and saved. Torch's
    other way of handing over has the parent ask a thread of the worker for each tensor, which waits until the patch at
    work lets it run: tens of milliseconds a batch.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(WORKER_GRACE_S))
    if sys.platform == "linux":
        torch.multiprocessing.set_sharing_strategy("file_system")
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if hasattr(libc, "mallopt"):  # memory that the last patch took is kept for the next, which saves a tenth
            libc.mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
            libc.mallopt(_M_TRIM_THRESHOLD, 256 * 2**20)
