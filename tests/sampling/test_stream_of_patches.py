"""The stream of patches: the same for any number of workers, and nothing but what the seed says."""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torchio as tio

from torchio_seg.errors import ConfigError, DataError, TrainingError
from torchio_seg.records import Case
from torchio_seg.sampling import queue
from torchio_seg.sampling.choices import Foreground, Uniform
from torchio_seg.sampling.finishing import require_ours
from torchio_seg.sampling.patches import Patches, PatchRecipe, to_subject
from torchio_seg.sampling.seeds import derive_seed, seeded
from torchio_seg.sampling.stream import Feed, PatchStream, shrink
from torchio_seg.store.laying import Layout
from torchio_seg.store.preparing import prepare
from torchio_seg.store.store import Store
from torchio_seg.transforms import intensity, spatial
from torchio_seg.transforms.random import fused
from torchio_seg.transforms.recipe import Recipe
from torchio_seg.volumes.nifti import create

RECIPE = Recipe(spacing=None, resize=None, normalization="zscore")
SIZE = (8, 8, 8)


def write_cases(folder: Path, num_cases: int = 5, shape: tuple[int, int, int] = (12, 10, 9)) -> list[Case]:
    cases = []
    for number in range(num_cases):
        rng = np.random.default_rng(number)
        label = np.zeros(shape, np.uint8)
        label[2:5, 3:6, 1:4] = 1 + number % 2
        create(folder / f"{number}.nii.gz", rng.normal(number, 1, shape).astype(np.float32), np.eye(4))
        create(folder / f"{number}_label.nii.gz", label, np.eye(4))
        cases.append(Case(f"case{number}", (folder / f"{number}.nii.gz",), folder / f"{number}_label.nii.gz"))
    return cases


def subjects_of(cases: list[Case], folder: Path, recipe: Recipe = RECIPE) -> tuple[tio.Subject, ...]:
    layout = Layout(1, tuple(range(4)), recipe, "float32")
    return tuple(to_subject(stored, recipe) for stored in prepare(Store(folder / "store"), cases, layout))


def stream(
    cases: list[Case],
    folder: Path,
    *,
    num_workers: int = 0,
    seed: int = 0,
    augment: bool = True,
    batch_size: int = 3,
    ranks: tuple[int, int] = (0, 1),
) -> PatchStream:
    steps = [spatial.flip(), spatial.affine(probability=0.5), intensity.noise(probability=0.5)] if augment else []
    recipe = PatchRecipe(RECIPE, SIZE, 4, Foreground(0.5), tio.Compose(fused(steps)))
    rank, num_ranks = ranks
    return PatchStream(
        subjects_of(cases, folder), recipe, batch_size, seed, num_workers, rank=rank, num_ranks=num_ranks
    )


def digest(batches: object) -> list[str]:
    return [hashlib.sha1(image.numpy().tobytes() + label.numpy().tobytes()).hexdigest() for image, label in batches]  # type: ignore[attr-defined]  # noqa: S324


def test_the_stream_is_the_same_for_any_number_of_workers_and_any_global_state(tmp_path: Path) -> None:
    cases = write_cases(tmp_path)
    alone = digest(stream(cases, tmp_path).epoch(3))
    torch.manual_seed(99)
    before = torch.get_rng_state()
    for num_workers in (1, 2, 4):
        assert digest(stream(cases, tmp_path, num_workers=num_workers).epoch(3)) == alone
    assert torch.equal(torch.get_rng_state(), before)
    assert len(alone) == stream(cases, tmp_path).batches_per_epoch == 6


def test_without_workers_what_a_host_program_has_frozen_stays_so(tmp_path: Path) -> None:
    patches = stream(write_cases(tmp_path, 1), tmp_path)
    gc.freeze()
    try:
        assert digest(patches.epoch(0))
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_an_epoch_goes_on_at_any_batch_and_makes_none_of_those_before(tmp_path: Path) -> None:
    cases = write_cases(tmp_path)
    whole = digest(stream(cases, tmp_path).epoch(1))
    for num_workers in (0, 2):
        patches = stream(cases, tmp_path, num_workers=num_workers)
        with closing(patches.batches(1, first=4)) as batches:
            assert digest(islice(batches, 2)) == whole[4:]
            assert digest(islice(batches, 6)) == digest(patches.epoch(2)), "the next epoch follows"


def test_a_feed_gives_each_epoch_whole_and_keeps_its_workers(tmp_path: Path) -> None:
    cases = write_cases(tmp_path)
    patches = stream(cases, tmp_path, num_workers=1)
    expected = [digest(patches.epoch(number)) for number in range(3)]
    feed = Feed(stream(cases, tmp_path, num_workers=1))
    assert digest(feed.epoch(0)) == expected[0]
    workers = {child.pid for child in multiprocessing.active_children()}
    assert digest(feed.epoch(1)) == expected[1]
    assert {child.pid for child in multiprocessing.active_children()} == workers != set()
    assert digest(islice(feed.epoch(2), 3)) == expected[2][:3]
    assert digest(feed.epoch(2, 3)) == expected[2][3:]
    assert digest(feed.epoch(0)) == expected[0], "any other place is gone to"
    feed.close()
    assert multiprocessing.active_children() == []


PARENT = """
import multiprocessing, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_stream_of_patches import Feed, stream, write_cases

feed = Feed(stream(write_cases(Path(sys.argv[2])), Path(sys.argv[2]), num_workers=2))
next(iter(feed.epoch(0)))
print(*(child.pid for child in multiprocessing.active_children()), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
def test_no_worker_outlives_a_killed_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(Path(__file__).parent), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = parent.stdout.readline().split()
        parent.kill()
    assert len(workers) == 2
    deadline = time.monotonic() + 120
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_ranks_without_a_patch_each_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="2 processes with batches of 3 need 6 patches, an epoch has 4"):
        stream(write_cases(tmp_path, 1), tmp_path, ranks=(1, 2))


def test_other_generators_are_seeded_too_and_left_as_they_were() -> None:
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    untouched = random.random(), np.random.rand()  # noqa: NPY002, S311
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    drawn = []
    for _ in range(2):
        with seeded("a", 1):
            drawn.append((random.random(), float(np.random.rand()), float(torch.rand(()))))  # noqa: NPY002, S311
    assert drawn[0] == drawn[1]
    assert (random.random(), np.random.rand()) == untouched  # noqa: NPY002, S311


def test_an_epoch_with_too_few_patches_for_a_batch_is_one_smaller_batch(tmp_path: Path) -> None:
    feed = Feed(stream(write_cases(tmp_path, 1), tmp_path, batch_size=7))
    epochs = [list(feed.epoch(number)) for number in range(2)]
    feed.close()
    assert [[len(images) for images, _ in epoch] for epoch in epochs] == [[4], [4]]


def test_ranks_share_the_batches_of_one(tmp_path: Path) -> None:
    cases = write_cases(tmp_path)
    alone = list(stream(cases, tmp_path, batch_size=4).epoch(0))
    parts = [list(stream(cases, tmp_path, batch_size=2, ranks=(rank, 2)).epoch(0)) for rank in range(2)]
    assert len(alone) == len(parts[0]) == len(parts[1]) == 5
    for (images, labels), first, second in zip(alone, *parts, strict=True):
        assert torch.equal(images, torch.cat([first[0], second[0]]))
        assert torch.equal(labels, torch.cat([first[1], second[1]]))


def test_epochs_and_seeds_differ(tmp_path: Path) -> None:
    cases = write_cases(tmp_path)
    streams = [digest(stream(cases, tmp_path, seed=seed).epoch(epoch)) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(hashes) for hashes in streams}) == 3


def test_every_case_gives_the_same_number_of_patches_and_all_are_mixed(tmp_path: Path) -> None:
    """Each case's voxels have one constant value, by which its patches are known."""
    cases = []
    for number in range(1, 5):
        path, label = tmp_path / f"{number}.nii.gz", tmp_path / f"{number}_l.nii.gz"
        create(path, np.full((9, 9, 9), number, np.int16), np.eye(4))
        create(label, np.full((9, 9, 9), number % 4, np.uint8), np.eye(4))
        cases.append(Case(str(number), (path,), label))
    plain = Recipe(None, None, "none")
    recipe = PatchRecipe(plain, SIZE, 3, Uniform(), tio.Compose([]))
    patches = PatchStream(subjects_of(cases, tmp_path, plain), recipe, batch_size=1, seed=0)
    values = [int(image.unique().item()) for image, _ in patches.epoch(0)]
    assert sorted(values) == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert sum(before == after for before, after in pairwise(values)) < 6


def test_labels_move_with_images_and_stay_integers(tmp_path: Path) -> None:
    """Image and label hold the same pattern, so after any spatial change they must still agree."""
    rng = np.random.default_rng(0)
    pattern = (rng.random((12, 12, 12)) > 0.5).astype(np.uint8)
    create(tmp_path / "i.nii.gz", pattern.astype(np.float32), np.eye(4))
    create(tmp_path / "l.nii.gz", pattern, np.eye(4))
    case = Case("c", (tmp_path / "i.nii.gz",), tmp_path / "l.nii.gz")
    plain = Recipe(None, None, "none")
    recipe = PatchRecipe(plain, SIZE, 8, Foreground(0.3), tio.Compose(fused([spatial.flip()])))
    patches = PatchStream(subjects_of([case], tmp_path, plain), recipe, batch_size=8, seed=1)
    [(images, labels)] = list(patches.epoch(0))
    assert labels.dtype == torch.uint8
    assert torch.equal(images, labels.float())


def test_volumes_smaller_than_the_patch_are_padded_at_the_end(tmp_path: Path) -> None:
    cases = write_cases(tmp_path, 2, shape=(12, 7, 6))
    for images, labels in stream(cases, tmp_path, augment=False).epoch(0):
        assert images.shape[2:] == labels.shape[2:] == SIZE
        assert not images[..., 6:].any()
        assert not images[:, :, :, 7:].any()
        assert images[:, :, :, :7, :6].all()


def test_stock_transforms_stand_beside_ours_in_any_order(tmp_path: Path) -> None:
    cases = write_cases(tmp_path, 2)
    steps = fused([tio.RandomFlip(axes=0), spatial.affine(probability=1.0), tio.RandomAffine(), tio.RandomNoise()])
    recipe = PatchRecipe(RECIPE, SIZE, 2, Uniform(), tio.Compose(steps))
    patches = PatchStream(subjects_of(cases, tmp_path), recipe, 2, 0)
    again = PatchStream(patches.subjects, recipe, 2, 0, num_workers=2)
    assert digest(patches.epoch(0)) == digest(again.epoch(0))
    assert all(labels.dtype == torch.uint8 for _, labels in patches.epoch(0))


def test_a_batch_made_on_a_device_is_the_one_that_workers_make(tmp_path: Path) -> None:
    """Of changes that draw nothing; a device draws its noise by itself."""
    cases = write_cases(tmp_path)
    moves = [spatial.flip(), spatial.affine(probability=0.7), spatial.elastic(probability=0.5)]
    changes = [intensity.brightness(probability=1.0, factor=(1.3, 1.3)), intensity.contrast(probability=1.0)]
    recipe = PatchRecipe(RECIPE, SIZE, 4, Foreground(0.5), tio.Compose(fused([*moves, changes[0]])))
    by_workers = PatchStream(subjects_of(cases, tmp_path), recipe, 3, 0, num_workers=2)
    on_device = replace(by_workers, device=torch.device("cpu"))
    assert digest(on_device.epoch(1)) == digest(by_workers.epoch(1))
    drawn = replace(on_device, recipe=replace(recipe, augmentation=tio.Compose(fused(changes))))
    assert digest(drawn.epoch(0)) == digest(replace(drawn, num_workers=0).epoch(0))
    with pytest.raises(ConfigError, match="RandomNoise runs in the workers only"):
        require_ours(tio.Compose(fused([*moves, tio.RandomNoise()])))
    with pytest.raises(ConfigError, match="a second step that bends"):
        require_ours(tio.Compose(fused([*moves, spatial.elastic()])))
    require_ours(tio.Compose(fused([*moves, *changes])))


def test_what_a_worker_needs_can_be_sent_to_one_that_is_not_forked(tmp_path: Path) -> None:
    """As on macOS and Windows, where a worker starts from nothing."""
    patches = stream(write_cases(tmp_path), tmp_path)
    here = Patches(patches.subjects, patches.recipe, 0)
    there: Patches = pickle.loads(pickle.dumps(here))  # noqa: S301 (our own)
    for position in (0, 7, 19):
        assert torch.equal(here[2, position]["image"].data, there[2, position]["image"].data)


def test_a_stored_case_is_a_whole_subject_to_torchio(tmp_path: Path) -> None:
    [case] = write_cases(tmp_path, 1)
    [subject] = subjects_of([case], tmp_path)
    image = subject["image"].data
    assert image.shape == (1, 12, 10, 9)
    assert abs(float(image.mean())) < 1e-5
    assert subject["label"].data.dtype == torch.uint8
    assert next(iter(tio.LabelSampler(4)(subject, 1)))["label"].data.any()


def test_a_case_that_vanished_from_the_store_is_named_whether_read_here_or_in_a_worker(tmp_path: Path) -> None:
    cases = write_cases(tmp_path)
    for num_workers in (0, 1):
        patches = stream(cases, tmp_path, num_workers=num_workers)
        (patches.subjects[3]["stored"].folder / "image.npy").unlink()
        with pytest.raises(DataError, match="case case3: what the store holds of it is gone") as raised:
            list(patches.epoch(0))
        assert len(str(raised.value).splitlines()) == 1


def broken(patches: PatchStream, step: object) -> PatchStream:
    recipe = replace(patches.recipe, augmentation=tio.Compose([step]))
    return replace(patches, recipe=recipe)


class _InWorker(tio.IntensityTransform):
    def __init__(self, action: str) -> None:
        super().__init__(copy=False)
        self.action = action

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        if self.action == "stop":
            raise StopIteration
        if self.action == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.action == "hang":
            time.sleep(600)
        return subject


def test_a_stop_iteration_in_a_worker_does_not_end_the_epoch_quietly(tmp_path: Path) -> None:
    patches = broken(stream(write_cases(tmp_path), tmp_path), _InWorker("stop"))
    with pytest.raises(DataError, match="case case"):
        list(patches.epoch(0))


def test_a_killed_worker_is_an_error(tmp_path: Path) -> None:
    patches = broken(stream(write_cases(tmp_path), tmp_path, num_workers=1), _InWorker("die"))
    with pytest.raises(TrainingError, match=r"one of the workers at patches of case case\d.* ended without"):
        list(patches.epoch(0))
    assert multiprocessing.active_children() == []


def test_a_worker_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "WORKER_TIMEOUT_S", 2)
    patches = broken(stream(write_cases(tmp_path), tmp_path, num_workers=2), _InWorker("hang"))
    with pytest.raises(TrainingError, match=r"workers at patches of case case\d or .* gave none for 2 s"):
        list(patches.epoch(0))
    assert multiprocessing.active_children() == []


def test_a_patch_is_no_longer_than_the_longest_volume() -> None:
    assert shrink((64, 32, 64), [(40, 50, 30), (35, 60, 36)]) == (40, 32, 36)


def test_seeds_depend_on_every_part() -> None:
    seeds = {
        derive_seed(*parts) for parts in ((0, 1, "case", 2), (1, 0, "case", 2), (0, 1, "order"), (0, 12), (0, 1, 2))
    }
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_no_worker_outlives_an_epoch_that_failed(tmp_path: Path) -> None:
    patches = stream(write_cases(tmp_path), tmp_path, num_workers=2)
    shutil.rmtree(patches.subjects[0]["stored"].folder)
    with pytest.raises(DataError):
        list(patches.epoch(0))
    assert multiprocessing.active_children() == []
