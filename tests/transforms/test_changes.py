"""Each change of intensities does what its options say, by statistics of what it did."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torchio as tio
from scipy import ndimage
from torch.nn import functional

from torchio_seg.transforms.changes import (
    BiasField,
    Blur,
    Brightness,
    Change,
    Contrast,
    Gamma,
    LowResolution,
    Noise,
    ScaleShift,
    change,
)

SPACING = (1.0, 0.8, 2.0)
ALL = {
    "noise": Noise(1.0, False, (0.1, 0.3)),
    "blur": Blur(1.0, False, (0.5, 1.5)),
    "low_resolution": LowResolution(1.0, False, (0.5, 0.9)),
    "gamma": Gamma(1.0, False, 0.4, 0.5, True),
    "bias_field": BiasField(1.0, False, 0.5, 3),
    "brightness": Brightness(1.0, False, (0.7, 1.3)),
    "contrast": Contrast(1.0, False, (0.7, 1.3)),
    "scale_shift": ScaleShift(1.0, 0.2, 0.3),
}


def batch(num_samples: int = 1, num_channels: int = 2, size: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(num_samples, num_channels, size, size + 2, size + 4, generator=generator)


def applied(
    each: Change, images: torch.Tensor, seed: int = 0, spacing: tuple[float, float, float] = SPACING
) -> torch.Tensor:
    return change(images, [each], [spacing] * len(images), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ALL)
def test_what_is_given_stays_as_it_is_and_the_generator_decides_alone(name: str) -> None:
    images = batch()
    before, state = images.clone(), torch.get_rng_state()
    first, again, other = (applied(ALL[name], images, seed) for seed in (0, 0, 1))
    assert torch.equal(images, before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, images)
    assert first.dtype == torch.float32
    assert bool(first.isfinite().all())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ALL)
def test_nothing_drawn_is_the_same_tensor(name: str) -> None:
    images = batch()
    assert applied(replace(ALL[name], probability=0.0), images) is images


@pytest.mark.parametrize("name", [name for name in ALL if name != "scale_shift"])
def test_channels_change_together_or_each_for_itself(name: str) -> None:
    """Of two equal channels; noise alone is drawn for each voxel anew."""
    images = batch(num_channels=1).expand(-1, 2, -1, -1, -1)
    for seed in range(5):
        first, second = applied(ALL[name], images, seed)[0]
        assert torch.allclose(first, second, atol=1e-5) or name == "noise"
    apart = [applied(replace(ALL[name], per_channel=True), images, seed)[0] for seed in range(5)]
    assert sum(not torch.allclose(first, second, atol=1e-5) for first, second in apart) >= 4
    half = replace(ALL[name], per_channel=True, probability=0.5)
    changed = [(applied(half, images, seed)[0] != images[0]).flatten(1).any(dim=1) for seed in range(100)]
    assert 70 < torch.stack(changed).sum() < 130
    assert len({tuple(each.tolist()) for each in changed}) == 4


def test_a_batch_draws_for_each_sample() -> None:
    images = batch(1).expand(3, -1, -1, -1, -1)
    changed = applied(ALL["brightness"], images)
    factors = (changed / images).flatten(1).median(dim=1).values
    assert len(set(factors.tolist())) == 3


def test_noise_has_the_deviation_that_is_drawn() -> None:
    stds = [(applied(ALL["noise"], batch(), seed) - batch()).std().item() for seed in range(100)]
    assert 0.095 < min(stds) < 0.12
    assert 0.28 < max(stds) < 0.31
    fixed = applied(Noise(1.0, False, (0.25, 0.25)), batch(size=40)) - batch(size=40)
    assert fixed.std() == pytest.approx(0.25, rel=0.01)
    assert fixed.mean() == pytest.approx(0, abs=0.005)


def test_blur_is_a_gaussian_in_millimetres() -> None:
    image = batch(1, 1, 30)
    blurred = applied(Blur(1.0, False, (1.5, 1.5)), image)[0, 0]
    widths = [1.5 / edge for edge in SPACING]
    expected = ndimage.gaussian_filter(image[0, 0].double().numpy(), widths, truncate=6)
    inside = (slice(9, -9), slice(15, -15), slice(6, -6))
    assert torch.allclose(blurred[inside].double(), torch.from_numpy(expected[inside]), atol=1e-4)
    flat = torch.full((1, 1, 9, 9, 9), 3.0)
    assert torch.allclose(applied(Blur(1.0, False, (2.0, 2.0)), flat), flat)
    assert torch.equal(applied(Blur(1.0, False, (0.0, 0.0)), image), image)


def test_each_sample_is_blurred_by_its_own_voxel_size() -> None:
    images = batch(1).expand(2, -1, -1, -1, -1)
    blur = Blur(1.0, False, (1.0, 1.0))
    fine, coarse = change(images, [blur], [(0.5, 0.5, 0.5), (2.0, 2.0, 2.0)], torch.Generator().manual_seed(0))
    assert torch.equal(fine, applied(blur, images[:1], spacing=(0.5, 0.5, 0.5))[0])
    assert torch.equal(coarse, applied(blur, images[:1], spacing=(2.0, 2.0, 2.0))[0])


def test_low_resolution_shows_fewer_voxels() -> None:
    image = batch(1, 1, 20)
    found = applied(LowResolution(1.0, False, (0.5, 0.5)), image)
    small = functional.interpolate(image, size=(10, 11, 12), mode="nearest-exact")
    assert torch.equal(found, functional.interpolate(small, size=image.shape[2:], mode="trilinear"))
    assert torch.equal(applied(LowResolution(1.0, False, (1.0, 1.0)), image), image)
    along_long_voxels = applied(LowResolution(1.0, False, (0.5, 0.5)), image, spacing=(1, 1, 5))
    kept = functional.interpolate(image, size=(10, 11, 24), mode="nearest-exact")
    assert torch.equal(along_long_voxels, functional.interpolate(kept, size=image.shape[2:], mode="trilinear"))


@pytest.mark.parametrize("inverted", [0.0, 1.0])
def test_gamma_is_a_power_of_each_channels_span(inverted: float) -> None:
    images = batch()
    images[:, 1] = images[:, 1] * 5 + 100
    changed = applied(Gamma(1.0, False, 0.5, inverted, False), images)[0].double()
    for before, after in zip(images[0].double(), changed, strict=True):
        assert torch.allclose(torch.stack(before.aminmax()), torch.stack(after.aminmax()), rtol=1e-4)
        share = [(each - before.min()) / (before.max() - before.min()) for each in (before, after)]
        share = [1 - each if inverted else each for each in share]
        middle = (share[0] > 0.1) & (share[0] < 0.9)
        powers = share[1][middle].log() / share[0][middle].log()
        assert powers.std() < 1e-3
        assert -0.5 <= powers.mean().log() <= 0.5
        assert powers.mean().log().abs() > 1e-3


def test_gamma_keeps_mean_and_deviation_where_asked() -> None:
    images = batch() * 3 + 2
    changed = applied(Gamma(1.0, True, 0.7, 0.5, True), images)
    assert torch.allclose(changed.mean(dim=(2, 3, 4)), images.mean(dim=(2, 3, 4)), atol=1e-3)
    assert torch.allclose(changed.std(dim=(2, 3, 4)), images.std(dim=(2, 3, 4)), rtol=1e-3)
    assert (changed - images).abs().max() > 0.1


def test_a_constant_channel_survives_gamma_and_contrast() -> None:
    flat = torch.full((1, 1, 5, 5, 5), 2.0)
    for each in (Gamma(1.0, False, 0.5, 0.5, False), Gamma(1.0, False, 0.5, 0.5, True), Contrast(1.0, False, (2, 2))):
        for seed in range(4):
            assert torch.allclose(applied(each, flat, seed), flat)


def test_the_bias_field_is_torchios() -> None:
    ones = torch.ones(1, 1, 10, 14, 8)
    field = applied(BiasField(1.0, False, 0.5, 2), ones, 3)
    drawn = torch.Generator().manual_seed(3)
    torch.rand((), generator=drawn)  # whether it happens
    cube = torch.rand(1, 3, 3, 3, generator=drawn, dtype=torch.float64)[0] - 0.5
    used = [cube[i, j, k].item() for i in range(3) for j in range(3 - i) for k in range(3 - i - j)]
    expected = tio.transforms.augmentation.intensity.random_bias_field.BiasField.generate_bias_field(ones[0], 2, used)
    assert torch.allclose(field[0, 0], torch.from_numpy(expected), rtol=1e-4)


def test_brightness_and_contrast_use_all_of_their_range() -> None:
    images = batch() + 10
    brighter = torch.stack([(applied(ALL["brightness"], images, s) / images).mean() for s in range(100)])
    assert brighter.min() == pytest.approx(0.7, abs=0.02)
    assert brighter.max() == pytest.approx(1.3, abs=0.02)
    mean = images.mean(dim=(2, 3, 4), keepdim=True)
    near = (images - mean).abs() < 1
    factors = []
    for seed in range(100):
        changed = applied(ALL["contrast"], images, seed)
        assert changed.amin() >= images.amin()
        assert changed.amax() <= images.amax()
        slopes = ((changed - mean) / (images - mean))[near & ((images - mean).abs() > 0.1)]
        assert slopes.std() < 1e-2
        factors.append(slopes.mean().item())
    assert min(factors) == pytest.approx(0.7, abs=0.02)
    assert max(factors) == pytest.approx(1.3, abs=0.02)
