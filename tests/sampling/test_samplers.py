"""Where patches are cut: of the right classes, with the right chances, up to every border."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import torchio as tio

from torchio_seg.records import Case
from torchio_seg.sampling.choices import ANYWHERE, Balanced, Choice, Foreground, Uniform, Weighted
from torchio_seg.sampling.patches import to_subject
from torchio_seg.sampling.samplers import CENTRE, CaseSampler
from torchio_seg.sampling.seeds import seeded
from torchio_seg.store.laying import Layout
from torchio_seg.store.preparing import prepare
from torchio_seg.store.store import Store
from torchio_seg.subjects import make_subject, part
from torchio_seg.transforms import spatial
from torchio_seg.transforms.maps import Map
from torchio_seg.transforms.random import RandomMove
from torchio_seg.transforms.recipe import Recipe
from torchio_seg.volumes.nifti import create

SIZE = (8, 8, 8)
PLAIN = Recipe(None, None, "none")


def subject_of(label: torch.Tensor) -> tio.Subject:
    """Its image is 1 everywhere, so that nothing of it is empty."""
    return make_subject(torch.ones(1, *label.shape), label[None].to(torch.uint8), np.eye(4), "c")


def draw(subject: tio.Subject, choice: Choice, number: int, size: tuple[int, int, int] = SIZE) -> list[tio.Subject]:
    with seeded("test"):
        return list(CaseSampler(size, choice)(subject, number))


def starts(patches: list[tio.Subject]) -> torch.Tensor:
    return torch.stack([patch[tio.LOCATION][:3] for patch in patches])


def test_foreground_patches_hold_their_class_and_absent_foreground_falls_back() -> None:
    label = torch.zeros(30, 30, 30)
    label[29, 0, 15] = 2
    label[4:9, 4:9, 4:9] = 1
    on = draw(subject_of(label), Foreground(1.0), 60)
    assert all((patch["label"].data == patch[CENTRE]).any() for patch in on)
    counts = Counter(patch[CENTRE] for patch in on)
    assert min(counts[1], counts[2]) > 15, "each class is as likely, however small it is"
    only = draw(subject_of(label), Foreground(1.0, (2,)), 20)
    assert {patch[CENTRE] for patch in only} == {2}
    for fallback in (
        draw(subject_of(label), Foreground(1.0, (3,)), 20),
        draw(subject_of(0 * label), Foreground(1.0), 20),
    ):
        assert {patch[CENTRE] for patch in fallback} == {ANYWHERE}
        assert len(starts(fallback).unique(dim=0)) > 10


def test_the_share_of_foreground_patches_is_the_one_asked_for() -> None:
    label = torch.zeros(20, 20, 20)
    label[3, 3, 3] = 1
    values = [patch[CENTRE] for patch in draw(subject_of(label), Foreground(0.34), 600)]
    assert abs(values.count(1) / 600 - 0.34) < 0.06


def test_balanced_draws_every_class_alike_with_background() -> None:
    label = torch.zeros(16, 16, 16)
    label[2:14, 2:14, 2:14] = 1
    label[7, 7, 7] = 3
    patches = draw(subject_of(label), Balanced(), 300, (2, 2, 2))
    counts = Counter(patch[CENTRE] for patch in patches)
    assert set(counts) == {0, 1, 3}
    assert all(abs(count / 300 - 1 / 3) < 0.1 for count in counts.values())
    assert all((patch["label"].data == patch[CENTRE]).any() for patch in patches)
    scarce = torch.ones(9, 9, 9)
    scarce[4, 4, 4] = 0
    assert 0 in {patch[CENTRE] for patch in draw(subject_of(scarce), Balanced(), 20, (2, 2, 2))}
    assert {patch[CENTRE] for patch in draw(subject_of(label), Balanced((0, 3)), 40)} == {0, 3}


def test_every_voxel_of_a_class_is_as_likely_up_to_the_border() -> None:
    """Those at the border are not left out, as samplers do that only take centres around which a patch fits."""
    label = torch.zeros(12, 12, 12)
    label[:, 6, 6] = 1
    patches = draw(subject_of(label), Foreground(1.0), 1200, (3, 3, 3))
    counts = Counter(starts(patches)[:, 0].tolist())
    assert set(counts) == set(range(10))
    ends = (counts.pop(0) + counts.pop(9)) / 4  # centres 0 and 1, 10 and 11
    assert abs(ends - 100) < 30
    assert all(abs(count - 100) < 40 for count in counts.values())


def test_uniform_patches_are_alike_at_every_place_from_border_to_border() -> None:
    counts = Counter(map(tuple, starts(draw(subject_of(torch.zeros(9, 8, 10)), Uniform(), 1200)).tolist()))
    assert set(counts) == {(i, 0, k) for i in range(2) for k in range(3)}
    assert all(abs(count - 200) < 60 for count in counts.values())


def test_uniform_patches_lie_in_what_is_not_empty_or_around_it() -> None:
    image = torch.zeros(1, 30, 30, 30)
    image[:, 10:22, 4:7, 28:30] = 5
    subject = make_subject(image, torch.zeros(1, 30, 30, 30, dtype=torch.uint8), np.eye(4), "c")
    first = starts(draw(subject, Uniform(), 300))
    assert first.amin(dim=0).tolist() == [10, 0, 22]
    assert first.amax(dim=0).tolist() == [14, 4, 22]


@pytest.mark.parametrize("shape", [(5, 20, 20), (20, 3, 8), (7, 7, 7)])
def test_a_volume_shorter_than_the_patch_is_filled_at_its_end(shape: tuple[int, int, int]) -> None:
    label = torch.ones(shape)
    for patch in draw(subject_of(label), Foreground(0.5), 10):
        image = patch["image"].data
        assert image.shape == (1, *SIZE)
        i, j, k = (min(n, size) for n, size in zip(shape, SIZE, strict=True))
        assert image[:, :i, :j, :k].all()
        assert int(image.sum()) == i * j * k


def write_case(folder: Path, label: np.ndarray, weights: np.ndarray | None = None) -> Case:
    rng = np.random.default_rng(0)
    create(folder / "c.nii.gz", rng.integers(1, 1000, label.shape).astype(np.int16), np.diag([1, 1, 2, 1.0]))
    create(folder / "c_label.nii.gz", label.astype(np.uint8), np.diag([1, 1, 2, 1.0]))
    if weights is not None:
        create(folder / "c_map.nii.gz", weights.astype(np.float32), np.diag([1, 1, 2, 1.0]))
    return Case("c", (folder / "c.nii.gz",), folder / "c_label.nii.gz")


def stored(folder: Path, case: Case, *, has_map: bool = False) -> tio.Subject:
    layout = Layout(1, (0, 1, 2), PLAIN, map=str(folder / "{case}_map.nii.gz") if has_map else None)
    return to_subject(prepare(Store(folder / "store"), [case], layout)[0], PLAIN)


def test_weighted_patches_follow_the_map(tmp_path: Path) -> None:
    weights = np.zeros((12, 10, 9))
    weights[2, 3, 4], weights[9, 8, 1] = 3, 1
    label = np.zeros((12, 10, 9))
    label[9, 8, 1] = 2
    subject = stored(tmp_path, write_case(tmp_path, label, weights), has_map=True)
    patches = draw(subject, Weighted(), 400, (1, 1, 1))
    counts = Counter(map(tuple, starts(patches).tolist()))
    assert set(counts) == {(2, 3, 4), (9, 8, 1)}
    assert abs(counts[2, 3, 4] / 400 - 0.75) < 0.08
    assert {patch[CENTRE] for patch in patches if patch["label"].data.any()} == {2}


def test_a_patch_is_the_same_from_memory_and_from_the_store(tmp_path: Path) -> None:
    label = np.zeros((20, 18, 16))
    label[3:9, 4:9, 2:7] = 1
    subject = stored(tmp_path, write_case(tmp_path, label))
    whole = make_subject(subject["image"].data, subject["label"].data, subject["image"].affine, "c")
    for one, other in zip(draw(subject, Foreground(0.5), 20), draw(whole, Foreground(0.5), 20), strict=True):
        assert torch.equal(one["image"].data, other["image"].data)
        assert torch.equal(one["label"].data, other["label"].data)
        assert np.array_equal(one["image"].affine, other["image"].affine)


def test_a_patch_lies_in_the_world_where_its_voxels_lay(tmp_path: Path) -> None:
    subject = stored(tmp_path, write_case(tmp_path, np.zeros((20, 18, 16))))
    whole = subject["image"]
    for patch in draw(subject, Uniform(), 5):
        first = patch[tio.LOCATION][:3].tolist()
        assert np.allclose(patch["image"].affine @ [0, 0, 0, 1], whole.affine @ [*first, 1])
        i, j, k = first
        assert torch.equal(patch["image"].data, whole.data[:, i : i + 8, j : j + 8, k : k + 8])


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_a_moved_patch_is_the_one_cut_from_the_moved_volume(tmp_path: Path, interpolation: str) -> None:
    """What lies beyond the patch moves into it: nothing is filled but what is beyond the volume."""
    from torchio_seg.transforms.resampling import Interpolation, move

    label = np.zeros((30, 30, 30))
    label[10:20, 10:20, 10:20] = 1
    subject = stored(tmp_path, write_case(tmp_path, label))
    chosen = Interpolation(interpolation)  # type: ignore[arg-type]
    affine = spatial.affine(probability=1.0, degrees=30.0, scale=0.3)
    bent = spatial.elastic(probability=1.0)
    assert isinstance(affine, RandomMove)
    assert isinstance(bent, RandomMove)
    moves = RandomMove([*affine.moves, *bent.moves], chosen)
    with seeded("moved"):
        sampler = CaseSampler(SIZE, Foreground(1.0), moves=moves)
        pieces = list(sampler.pieces(subject["stored"].open(), 12))
    assert any(piece.start != (0, 0, 0) for piece in pieces)
    image, labels = part(subject, "image").data, part(subject, "label").data
    for piece in pieces:
        first = tuple(-start for start in piece.first)
        expected = move(image[None], labels[None], [piece.where], start=first, fill=[0.0], interpolation=chosen)  # type: ignore[arg-type]
        patch = sampler.finish(piece, subject["stored"].open())
        assert torch.allclose(patch["image"].data, expected[0][0], atol=0.2)
        assert torch.equal(patch["label"].data, expected[1][0])


def test_a_sampler_without_moves_leaves_every_voxel_as_it_is(tmp_path: Path) -> None:
    subject = stored(tmp_path, write_case(tmp_path, np.zeros((20, 18, 16))))
    [piece] = CaseSampler(SIZE, Uniform()).pieces(subject["stored"].open(), 1)
    assert piece.where.is_exact
    assert torch.equal(piece.where.matrix, Map.identity(SIZE).matrix)
