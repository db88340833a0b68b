import nibabel as nib
import numpy as np
import pytest

from torchio_seg.phantoms.scanner import SPACING_MM, place, rician, stored

SHAPE = (24, 20, 16)
FILL = (0.9, 0.9, 0.9)


def millimetres(affine: np.ndarray, voxel: tuple[int, ...]) -> np.ndarray:
    return affine[:3, :3] @ np.asarray(voxel) + affine[:3, 3]


@pytest.mark.parametrize("seed", range(8))
def test_storage_order_moves_voxels_but_not_millimetres(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pose = place(SHAPE, rng, fill=FILL)
    label = np.zeros(SHAPE, np.uint8)
    label[3, 15, 11] = 1
    phantom = stored(np.stack([label, 7.0 * label]).astype(np.float32), label, pose.affine, rng)
    (found,) = np.argwhere(phantom.label)
    np.testing.assert_allclose(millimetres(phantom.affine, tuple(found)), millimetres(pose.affine, (3, 15, 11)))
    np.testing.assert_array_equal(phantom.image[1], 7 * phantom.label)


def test_axis_orders_and_directions_vary() -> None:
    codes = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        pose = place(SHAPE, rng, fill=FILL)
        codes.add(
            nib.aff2axcodes(
                stored(np.zeros((1, *SHAPE), np.float32), np.zeros(SHAPE, np.uint8), pose.affine, rng).affine
            )
        )
    assert len({tuple(sorted(code)) for code in codes}) == 8
    assert len(codes) > 20


def test_grid_is_oblique_without_shear_and_spacing_is_within_bounds() -> None:
    for seed in range(10):
        linear = place(SHAPE, np.random.default_rng(seed), fill=FILL).affine[:3, :3]
        spacing = np.linalg.norm(linear, axis=0)
        assert SPACING_MM[0] - 1e-9 <= spacing.min() <= spacing.max() <= SPACING_MM[1] + 1e-9
        np.testing.assert_allclose((linear / spacing).T @ (linear / spacing), np.eye(3), atol=1e-9)
        assert np.abs(linear[~np.eye(3, dtype=bool)]).max() > 0.01


def test_body_coordinates_point_right_front_and_up() -> None:
    pose = place(SHAPE, np.random.default_rng(0), fill=FILL)
    for axis in range(3):
        low, high = [np.take(pose.body.coordinates[axis], end, axis).mean() for end in (0, -1)]
        assert low < -0.9
        assert high > 0.9


def test_too_small_a_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        place((64, 64, 8), np.random.default_rng(0), fill=FILL)


def test_noise_is_never_negative_and_lifts_the_dark() -> None:
    rng = np.random.default_rng(0)
    dark, bright = rician(np.zeros(10_000, np.float32), rng, 0.1), rician(np.ones(10_000, np.float32), rng, 0.1)
    assert dark.min() >= 0
    np.testing.assert_allclose(dark.mean(), 0.1 * np.sqrt(np.pi / 2), rtol=0.05)
    np.testing.assert_allclose([bright.mean(), bright.std()], [1.005, 0.1], rtol=0.05)
