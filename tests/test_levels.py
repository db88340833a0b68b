"""How levels follow from a patch, and what is refused."""

import pytest

from torchio_seg.errors import ConfigError
from torchio_seg.levels import plan_levels
from torchio_seg.network_sizes import Size, Sizes, fit

TWICE = (2, 2, 2)


def halvings_of(strides: tuple[Size, ...]) -> list[int]:
    return [sum(stride[axis] > 1 for stride in strides) for axis in range(3)]


@pytest.mark.parametrize(
    ("patch_size", "halvings"),
    [
        *(((128, 128, 128), [5, 5, 5]), ((64, 128, 40), [4, 4, 3]), ((8, 4, 16), [1, 0, 1])),
        *(((96, 160, 112), [4, 4, 4]), ((96, 192, 112), [4, 5, 4]), ((8, 8, 128), [1, 1, 4])),
    ],
)
def test_each_side_is_halved_while_four_voxels_are_left_and_alone_while_six_are(
    patch_size: Size, halvings: list[int]
) -> None:
    levels = plan_levels(patch_size, None, None, None, name="net")
    assert halvings_of(levels.strides) == halvings
    left = [side // 2**number for side, number in zip(patch_size, halvings, strict=True)]
    assert min(left) >= 4
    assert all(side < 8 for side in left) or [side >= 8 for side in left].count(True) == 1
    assert max(left) < 12
    assert levels.sizes == Sizes(tuple(2**number for number in halvings), min_cells=2)
    assert len(levels.channels) == 1 + max(halvings)


def test_channels_are_those_of_nnunet() -> None:
    assert plan_levels((128,) * 3, None, None, None, name="net").channels == (32, 64, 128, 256, 320, 320)


def test_fewer_levels_than_the_patch_has_room_for_are_as_many_as_asked_for() -> None:
    levels = plan_levels((64, 64, 64), (8, 16, 32), None, None, name="net")
    assert levels.strides == ((1, 1, 1), TWICE, TWICE)


def test_a_patch_that_was_shrunk_to_its_volumes_still_fits() -> None:
    """The sizes of the patch that was asked for lead to the smaller one, for which levels are planned anew."""
    wanted = plan_levels((64, 96, 128), None, None, None, name="net").sizes
    for shape in ((35, 51, 30), (9, 96, 100), (64, 17, 128)):
        patch_size = fit(shape, wanted)
        found = plan_levels(patch_size, None, None, None, name="net").sizes.multiple_of
        assert all(side <= most for side, most in zip(found, wanted.multiple_of, strict=True))


def test_kernels_of_given_strides_are_those_of_nnunet() -> None:
    """Its plan for a prostate of 20 x 320 x 256 voxels of 3 x 0.6 x 0.6 mm."""
    strides = ((1, 1, 1), (1, 2, 2), (1, 2, 2), TWICE, TWICE, (1, 2, 2), (1, 2, 2))
    levels = plan_levels((20, 320, 256), None, strides, None, name="net")
    assert levels.kernel_sizes == ((1, 3, 3), (1, 3, 3), *[(3, 3, 3)] * 5)


def test_a_short_side_that_is_never_halved_is_no_reason_for_flat_kernels() -> None:
    assert set(plan_levels((4, 64, 64), None, None, None, name="net").kernel_sizes) == {(3, 3, 3)}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (((4, 8), ((1, 1, 1), TWICE, TWICE), None), "2 in channels, 3 in strides, 3 in kernel_sizes"),
        (((4, 8), (TWICE, TWICE), None), r"the first of strides is \[2, 2, 2\].*use \[1, 1, 1\]"),
        (((4, 8), None, ((3, 3, 3), (3, 2, 3))), r"kernel_sizes has \[3, 2, 3\]; sizes must be odd"),
        (((4, 8, 16, 32, 64), None, None), "channels names 5 levels, and a patch of 32 x 32 x 32 .* has room for 4,"),
        (((4, 8), ((1, 1, 1), (3, 3, 3)), None), "multiple of 3: use 33 x 33 x 33$"),
    ],
)
def test_options_that_do_not_agree_are_errors(options: tuple[object, ...], words: str) -> None:
    channels, strides, kernel_sizes = options
    with pytest.raises(ConfigError, match=words):
        plan_levels((32, 32, 32), channels, strides, kernel_sizes, name="net")  # type: ignore[arg-type]


def test_a_patch_without_room_for_two_levels_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"channels is null, and a patch of 7 x 4 x 4 voxels .*use a larger patch"):
        plan_levels((7, 4, 4), None, None, None, name="net")
