"""Intensity changes leave labels bit-equal; spatial ones move images and labels alike."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
import torchio as tio
from torch.nn import functional

from torchio_seg import components
from torchio_seg.errors import ConfigError, DataError
from torchio_seg.sampling.seeds import seeded
from torchio_seg.subjects import make_subject

KINDS = ("transforms.spatial", "transforms.intensity")
INSIDE = {
    "transforms.spatial": [{"name": "affine", "probability": 1.0}, {"name": "elastic", "probability": 1.0}],
    "transforms.intensity": [{"name": "gamma", "probability": 1.0}, {"name": "motion", "probability": 1.0}],
}
STEPS = [(kind, name) for kind in KINDS for name in components.names(kind)]


def always(kind: str, name: str, **options: Any) -> tio.Transform:
    """The step with these options, applied every time."""
    inside = {"steps": INSIDE[kind]} if name == "one_of" else {}
    step: tio.Transform = components.assemble(kind, {"name": name, "probability": 1.0, **inside, **options})
    return step


def subject() -> tio.Subject:
    generator = torch.Generator().manual_seed(0)
    label = (torch.rand(1, 20, 20, 20, generator=generator) > 0.5).to(torch.uint8)
    return make_subject(torch.randn(2, 20, 20, 20, generator=generator), label, np.eye(4), "c")


@pytest.mark.parametrize("name", components.names("transforms.intensity"))
def test_intensity_changes_touch_images_only(name: str) -> None:
    original = subject()
    transform = always("transforms.intensity", name)
    with seeded(name):
        changed = transform(original)
    assert torch.equal(changed["label"].data, original["label"].data)
    assert changed["label"].data.dtype == torch.uint8
    assert not torch.equal(changed["image"].data, original["image"].data)
    assert bool(changed["image"].data.isfinite().all())


@pytest.mark.parametrize("name", components.names("transforms.spatial"))
def test_spatial_changes_move_images_and_labels_alike(name: str) -> None:
    """A smooth ball is image and, above one half, label: afterwards the image must still tell the label."""
    places = torch.stack(torch.meshgrid(*[torch.arange(32.0)] * 3, indexing="ij"))
    distance = (places - torch.tensor([13.0, 17.0, 15.0]).view(3, 1, 1, 1)).norm(dim=0)[None]
    image = torch.sigmoid((8 - distance) / 1.5)
    original = make_subject(image, (image > 0.5).to(torch.uint8), np.eye(4), "c")
    transform = always("transforms.spatial", name)
    with seeded(name):
        changed = transform(original)
    moved, label = changed["image"].data, changed["label"].data > 0.5
    assert not torch.equal(moved, image)
    sure = (moved - 0.5).abs() > 0.25
    assert torch.equal((moved > 0.5)[sure], label[sure])


def test_scale_shift_is_one_linear_map_a_channel() -> None:
    transform = components.assemble("transforms.intensity", {"name": "scale_shift", "scale": 0.1, "shift": 0.2})
    original = subject()
    with seeded("linear"):
        changed = transform(original)
    for before, after in zip(original["image"].data, changed["image"].data, strict=True):
        slope, offset = np.polyfit(before.flatten().numpy(), after.flatten().numpy(), 1)
        assert 0.9 <= slope <= 1.1
        assert -0.2 <= offset <= 0.2
        assert torch.allclose(after, before * slope + offset, atol=1e-5)


def coloured(
    spacing: tuple[float, float, float] = (1, 1, 1), shape: tuple[int, int, int] = (32, 32, 32)
) -> tio.Subject:
    """Four different boxes, each voxel of the image as bright as its label says."""
    label = torch.zeros(1, *shape, dtype=torch.int32)
    label[:, 8:16, 8:16, 8:16], label[:, 17:24, 9:16, 10:22] = 2, 5
    label[:, 9:15, 18:25, 9:20], label[:, 18:24, 18:24, 18:24] = 7, 300
    return make_subject(label * 10.0, label, np.diag([*spacing, 1.0]), "case_7")


@pytest.mark.parametrize("name", components.names("transforms.spatial"))
def test_every_label_goes_where_its_part_of_the_image_goes(name: str) -> None:
    with seeded("colours", name):
        changed = always("transforms.spatial", name)(coloured())
    label = changed["label"].data.float()
    assert set(label.unique().tolist()) == {0, 2, 5, 7, 300}
    low, high = -functional.max_pool3d(-label, 3, 1, 1), functional.max_pool3d(label, 3, 1, 1)
    inside = (low == high) & (label > 0)
    assert inside.sum() > 200
    assert torch.allclose(changed["image"].data[inside], label[inside] * 10, rtol=0.01)


@pytest.mark.parametrize(("kind", "name"), STEPS)
def test_what_a_step_draws_depends_on_torch_alone(kind: str, name: str) -> None:
    """Not on numpy's or python's generator, so that a case's patches follow from seed, epoch and case."""
    results = []
    for state, drawn in ((0, "same"), (1, "same"), (0, "other")):
        np.random.seed(state)  # noqa: NPY002 (the global one is what is tested)
        random.seed(state)
        with seeded(drawn):
            results.append([always(kind, name)(subject()) for _ in range(6)])
    for part in ("image", "label"):
        first, again, other = ([patch[part].data for patch in patches] for patches in results)
        assert all(map(torch.equal, first, again))
        if part == "image" and name != "flip":  # always along every axis
            assert not all(map(torch.equal, first, other))


@pytest.mark.parametrize("num_movements", range(1, 11))
def test_any_allowed_number_of_movements_works(num_movements: int) -> None:
    changed = always("transforms.intensity", "motion", num_movements=num_movements)(subject())
    assert changed["image"].data.shape == (2, 20, 20, 20)


def test_a_quarter_turn_moves_voxels_and_interpolates_none() -> None:
    original = subject()
    rotations = [torch.rot90(original["image"].data, turns, [1, 2]) for turns in (1, 2, 3)]
    step = always("transforms.spatial", "rotate90", axes=[2])
    seen = set()
    with seeded("turns"):
        for _ in range(30):
            moved = step(original)["image"].data
            seen |= {turns for turns, rotated in enumerate(rotations, 1) if torch.equal(moved, rotated)}
    assert seen == {1, 2, 3}


@pytest.mark.parametrize(
    ("spacing", "shape", "words"),
    [
        ((1, 1, 3), (32, 32, 32), ["32 x 32 voxels of 1 x 3 mm", "preprocessing.spacing"]),
        ((1, 1, 1), (32, 32, 40), ["32 x 40 voxels of 1 x 1 mm", "sampling.patch_size"]),
    ],
)
def test_a_quarter_turn_that_cannot_work_is_refused(
    spacing: tuple[float, float, float], shape: tuple[int, int, int], words: list[str]
) -> None:
    patch = coloured(spacing, shape)
    always("transforms.spatial", "rotate90", axes=[2])(patch)
    with pytest.raises(DataError) as raised:
        always("transforms.spatial", "rotate90", axes=[2, 0])(patch)
    assert all(word in str(raised.value) for word in ["rotate90 about axis 0", *words])


def test_one_of_applies_exactly_one_step_as_often_as_its_weight_says() -> None:
    shift = {"name": "scale_shift", "scale": 0.0, "probability": 1.0}
    steps = [{**shift, "shift": 0.5}, {"name": "gamma", "log_gamma": 0.0, "probability": 1.0}]
    transform = always("transforms.intensity", "one_of", steps=steps, weights=[3, 1])
    original = subject()
    before = original["image"].data
    with seeded("weights"):
        shifted = sum(not torch.allclose(transform(original)["image"].data, before, atol=1e-5) for _ in range(200))
    assert 130 < shifted < 170


@pytest.mark.parametrize("weights", [[1.0], [0.0, 0.0]])
def test_weights_that_choose_nothing_are_refused(weights: list[float]) -> None:
    with pytest.raises(ConfigError, match="one_of has 2 steps and the weights"):
        always("transforms.spatial", "one_of", weights=weights)


def test_a_stock_transform_of_torchio_is_a_step_of_its_own() -> None:
    section = components.complete("transforms.intensity", {"name": "torchio.RandomAnisotropy", "downsampling": [3, 3]})
    assert section["p"] == 1.0
    assert section["axes"] == [0, 1, 2]
    transform = components.assemble("transforms.intensity", section)
    changed = transform(subject())
    assert not torch.equal(changed["image"].data, subject()["image"].data)
    assert torch.equal(changed["label"].data, subject()["label"].data)
    never = components.assemble("transforms.intensity", {**section, "p": 0.0})
    assert torch.equal(never(subject())["image"].data, subject()["image"].data)


@pytest.mark.parametrize("name", [name for name in dir(tio) if name.startswith("Random")])
def test_stock_random_transforms_have_options_that_can_be_written_and_read(name: str) -> None:
    section = components.complete("transforms.intensity", {"name": f"torchio.{name}"})
    assert components.complete("transforms.intensity", section) == section
