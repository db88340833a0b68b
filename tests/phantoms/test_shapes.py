import numpy as np

from torchio_seg.phantoms.shapes import Body, smooth_field, threads


def body(size: int = 41) -> Body:
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    return Body(np.stack(np.meshgrid(axis, axis, axis, indexing="ij")), np.full(3, (size - 1) / 2))


def test_fields_have_mean_zero_and_deviation_one_everywhere() -> None:
    fields = np.stack([smooth_field((12, 10, 8), np.random.default_rng(seed), 4.0) for seed in range(400)])
    assert fields.shape == (400, 12, 10, 8)
    np.testing.assert_allclose(fields.mean(axis=0), 0, atol=0.3)
    np.testing.assert_allclose(fields.std(axis=0), 1, atol=0.25)


def test_fields_with_fewer_waves_are_smoother() -> None:
    steps = [np.abs(np.diff(smooth_field((40, 40, 40), np.random.default_rng(0), w), axis=0)).mean() for w in (3, 9)]
    assert 2 * steps[0] < steps[1]


def test_ellipsoids_are_negative_inside_and_zero_on_the_surface() -> None:
    level = body().ellipsoid((0.5, 0, 0), (0.25, 0.5, 0.5))
    assert level[30, 20, 20] == -1
    assert abs(level[35, 20, 20]) < 1e-5
    assert level[20, 20, 20] > 0


def test_pairs_are_symmetric() -> None:
    level = body().pair((0.5, 0.1, 0), (0.25, 0.5, 0.5))
    np.testing.assert_allclose(level, level[::-1], atol=1e-6)


def test_distances_are_in_voxels() -> None:
    distance = body().ball(np.zeros(3), np.ones(3))
    np.testing.assert_allclose(distance[20, 20, 20:], np.arange(21), atol=1e-4)


def test_threads_are_thin() -> None:
    inside = threads((40, 40, 40), np.random.default_rng(0), 6.0, 0.15)
    assert 0 < inside.mean() < 0.05
