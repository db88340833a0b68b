"""The stream of patches: the same for any number of workers, and nothing but what the seed says."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import torchio as tio

from torchio_seg.config.sections import Sampling
from torchio_seg.errors import DataError
from torchio_seg.records import Case
from torchio_seg.sampling import ForegroundSampler, PatchRecipe, PatchStream, derive_seed, seeded, shrink
from torchio_seg.subjects import make_subject, to_subject
from torchio_seg.transforms import intensity, spatial
from torchio_seg.transforms.preprocessing import Recipe
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


def stream(cases: list[Case], *, num_workers: int = 0, seed: int = 0, augment: bool = True) -> PatchStream:
    steps = [spatial.flip(), spatial.affine(probability=0.5), intensity.noise(probability=0.5)] if augment else []
    recipe = PatchRecipe(RECIPE, SIZE, 4, 0.5, tio.Compose(steps))
    settings = Sampling(patches_per_case=4, queue_cases=2, num_workers=num_workers)
    subjects = tuple(to_subject(case, 1, (0, 1, 2)) for case in cases)
    return PatchStream(subjects, recipe, settings, batch_size=3, seed=seed)


def digest(batches: object) -> list[str]:
    return [hashlib.sha1(image.numpy().tobytes() + label.numpy().tobytes()).hexdigest() for image, label in batches]  # type: ignore[attr-defined]  # noqa: S324


def test_the_stream_is_the_same_for_any_number_of_workers_and_any_global_state(tmp_path: Path) -> None:
    cases = write_cases(tmp_path)
    alone = digest(stream(cases).epoch(3))
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert digest(stream(cases, num_workers=1).epoch(3)) == alone
    assert digest(stream(cases, num_workers=2).epoch(3)) == alone
    assert torch.equal(torch.get_rng_state(), before)
    assert len(alone) == stream(cases).batches_per_epoch == 6


def test_epochs_and_seeds_differ(tmp_path: Path) -> None:
    cases = write_cases(tmp_path)
    streams = [digest(stream(cases, seed=seed).epoch(epoch)) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(hashes) for hashes in streams}) == 3


def test_every_case_gives_the_same_number_of_patches(tmp_path: Path) -> None:
    """Each case's voxels have one constant value, by which its patches are known."""
    cases = []
    for number in range(4):
        path, label = tmp_path / f"{number}.nii.gz", tmp_path / f"{number}_l.nii.gz"
        create(path, np.full((9, 9, 9), number, np.int16), np.eye(4))
        create(label, np.full((9, 9, 9), number, np.uint8), np.eye(4))
        cases.append(Case(str(number), (path,), label))
    recipe = PatchRecipe(Recipe(None, None, "none"), SIZE, 3, 0.0, tio.Compose([]))
    settings = Sampling(queue_cases=3)
    subjects = tuple(to_subject(case, 1, range(4)) for case in cases)
    patches = PatchStream(subjects, recipe, settings, batch_size=1, seed=0)
    values = [int(image.unique().item()) for image, _ in patches.epoch(0)]
    assert sorted(values) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert values != sorted(values)


def test_labels_move_with_images_and_stay_integers(tmp_path: Path) -> None:
    """Image and label hold the same pattern, so after any spatial change they must still agree."""
    rng = np.random.default_rng(0)
    pattern = (rng.random((12, 12, 12)) > 0.5).astype(np.uint8)
    create(tmp_path / "i.nii.gz", pattern.astype(np.float32), np.eye(4))
    create(tmp_path / "l.nii.gz", pattern, np.eye(4))
    case = Case("c", (tmp_path / "i.nii.gz",), tmp_path / "l.nii.gz")
    recipe = PatchRecipe(Recipe(None, None, "none"), SIZE, 8, 0.3, tio.Compose([spatial.flip()]))
    patches = PatchStream((to_subject(case, 1, (0, 1)),), recipe, Sampling(), batch_size=8, seed=1)
    [(images, labels)] = list(patches.epoch(0))
    assert labels.dtype == torch.uint8
    assert torch.equal(images, labels.float())


def test_volumes_smaller_than_the_patch_are_padded_at_the_end(tmp_path: Path) -> None:
    cases = write_cases(tmp_path, 2, shape=(12, 7, 6))
    for images, labels in stream(cases, augment=False).epoch(0):
        assert images.shape[2:] == labels.shape[2:] == SIZE
        assert not images[..., 6:].any()
        assert not images[:, :, :, 7:].any()


def test_foreground_patches_hold_their_voxel_and_absent_foreground_falls_back() -> None:
    label = torch.zeros(1, 30, 30, 30, dtype=torch.uint8)
    label[0, 29, 0, 15] = 2
    subject = make_subject(torch.zeros(1, 30, 30, 30), label, np.eye(4), "c")
    empty = make_subject(torch.zeros(1, 30, 30, 30), torch.zeros_like(label), np.eye(4), "e")
    with seeded("test"):
        on = list(ForegroundSampler(SIZE, 1.0)(subject, 20))
        off = list(ForegroundSampler(SIZE, 0.0)(subject, 200))
        fallback = list(ForegroundSampler(SIZE, 1.0)(empty, 20))
    assert all((patch["label"].data == 2).any() for patch in on)
    assert sum(bool((patch["label"].data == 2).any()) for patch in off) < 20
    assert len({tuple(patch[tio.LOCATION].tolist()) for patch in fallback}) > 10


def test_uniform_patches_reach_every_border() -> None:
    subject = make_subject(torch.zeros(1, 10, 10, 10), torch.zeros(1, 10, 10, 10, dtype=torch.uint8), np.eye(4), "c")
    with seeded("borders"):
        starts = torch.stack([p[tio.LOCATION][:3] for p in ForegroundSampler(SIZE, 0.0)(subject, 100)])
    assert starts.min(dim=0).values.tolist() == [0, 0, 0]
    assert starts.max(dim=0).values.tolist() == [2, 2, 2]


def test_a_broken_case_is_named_whether_read_here_or_in_a_worker(tmp_path: Path) -> None:
    cases = write_cases(tmp_path)
    path = cases[3].images[0]
    path.write_bytes(path.read_bytes()[:-40])
    for num_workers in (0, 1):
        with pytest.raises(DataError, match=r"3\.nii\.gz") as raised:
            list(stream(cases, num_workers=num_workers).epoch(0))
        assert len(str(raised.value).splitlines()) == 1


class _StopsInWorker:
    def __call__(self, _: tio.Subject) -> tio.Subject:
        raise StopIteration


def test_a_stop_iteration_in_a_worker_does_not_end_the_epoch_quietly(tmp_path: Path) -> None:
    patches = stream(write_cases(tmp_path))
    recipe = PatchRecipe(RECIPE, SIZE, 4, 0.5, _StopsInWorker())
    broken = PatchStream(patches.subjects, recipe, patches.settings, batch_size=2, seed=0)
    with pytest.raises(DataError, match="case case"):
        list(broken.epoch(0))


class _DiesInWorker:
    def __call__(self, _: tio.Subject) -> tio.Subject:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def test_a_killed_worker_is_an_error(tmp_path: Path) -> None:
    patches = stream(write_cases(tmp_path), num_workers=1)
    recipe = PatchRecipe(RECIPE, SIZE, 4, 0.5, _DiesInWorker())
    broken = PatchStream(patches.subjects, recipe, patches.settings, batch_size=2, seed=0)
    with pytest.raises(RuntimeError, match="worker"):
        list(broken.epoch(0))


def test_a_patch_is_no_longer_than_the_longest_volume() -> None:
    assert shrink((64, 32, 64), [(40, 50, 30), (35, 60, 36)]) == (40, 32, 36)


def test_seeds_depend_on_every_part() -> None:
    seeds = {
        derive_seed(*parts) for parts in ((0, 1, "case", 2), (1, 0, "case", 2), (0, 1, "order"), (0, 12), (0, 1, 2))
    }
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_no_worker_outlives_an_epoch_that_failed(tmp_path: Path) -> None:
    cases = write_cases(tmp_path)
    cases[0].images[0].unlink()
    with pytest.raises(DataError):
        list(stream(cases, num_workers=2).epoch(0))
    assert multiprocessing.active_children() == []
