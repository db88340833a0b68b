"""What networks say about sizes, and what a user is told about a wrong one."""

import itertools
import subprocess
import sys
from types import SimpleNamespace

import pytest

from torchio_seg.errors import ConfigError
from torchio_seg.network_sizes import Sizes, check_patch_size, declare, fit, sizes_of

SIXTEEN = Sizes((16, 16, 16), min_cells=2)


def test_a_network_says_what_was_declared() -> None:
    sizes = Sizes((16, 16, 8), (32, 32, 16), 2)
    assert sizes_of(declare(SimpleNamespace(), sizes)) == sizes


def test_a_network_that_says_nothing_takes_every_size() -> None:
    assert sizes_of(object()) == Sizes((1, 1, 1), None, 1)
    check_patch_size((1, 7, 13), sizes_of(object()), "own")


def test_the_names_alone_are_enough_in_a_users_own_network() -> None:
    assert sizes_of(SimpleNamespace(multiple_of=[4, 4, 2])) == Sizes((4, 4, 2))


@pytest.mark.parametrize("wrong", [16, (16, 16), (16, 16, 0), (16, 16, 1.5), "abc"])
def test_a_network_that_says_nonsense_is_an_error(wrong: object) -> None:
    with pytest.raises(ConfigError, match=r"multiple_of is .*; it must be three whole numbers above 0"):
        sizes_of(SimpleNamespace(multiple_of=wrong))


@pytest.mark.parametrize(
    ("patch_size", "sizes", "end"),
    [
        ((50, 50, 50), SIXTEEN, "each side must be a multiple of 16: use 48 x 48 x 48"),
        ((63, 8, 1), SIXTEEN, "each side must be a multiple of 16: use 64 x 16 x 16"),
        ((17, 17, 17), SIXTEEN, "each side must be a multiple of 16: use 32 x 16 x 16"),
        ((16, 16, 16), SIXTEEN, "2 voxels must be left at its coarsest level, not 1: use 32 x 16 x 16"),
        ((20, 20, 20), Sizes((8, 8, 1)), "a multiple of 8 x 8 x 1, axis by axis: use 24 x 24 x 20"),
        ((64, 64, 64), Sizes((16, 16, 16), (96, 96, 96)), "which takes one size only: use 96 x 96 x 96"),
    ],
)
def test_a_wrong_patch_size_is_answered_with_a_right_one(
    patch_size: tuple[int, int, int], sizes: Sizes, end: str
) -> None:
    given = " x ".join(map(str, patch_size))
    with pytest.raises(ConfigError) as error:
        check_patch_size(patch_size, sizes, "unet with 4 halvings")
    assert str(error.value).startswith(f"sampling.patch_size {given} does not fit unet with 4 halvings; ")
    assert str(error.value).endswith(end)
    words = str(error.value).rsplit("use ", 1)[1].split(" x ")
    check_patch_size((int(words[0]), int(words[1]), int(words[2])), sizes, "unet")


def test_the_setting_at_fault_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^prediction\.patch_size 8 x 8 x 8 does not fit unet"):
        check_patch_size((8, 8, 8), SIXTEEN, "unet", setting="prediction.patch_size")


@pytest.mark.parametrize("sizes", [SIXTEEN, Sizes(), Sizes((4, 8, 2), min_cells=2), Sizes((2, 2, 2), min_cells=9)])
def test_fit_gives_the_smallest_admissible_size_that_covers(sizes: Sizes) -> None:
    for size in ((1, 1, 1), (16, 16, 16), (17, 3, 30), (5, 1, 1)):
        fitted = fit(size, sizes)
        check_patch_size(fitted, sizes, "network")
        assert all(side >= wanted for side, wanted in zip(fitted, size, strict=True))
        for smaller in itertools.product(*(range(wanted, side + 9) for wanted, side in zip(size, fitted, strict=True))):
            if smaller[0] * smaller[1] * smaller[2] < fitted[0] * fitted[1] * fitted[2]:
                with pytest.raises(ConfigError):
                    check_patch_size(smaller, sizes, "network")


def test_fit_gives_the_only_size_where_it_is_fixed() -> None:
    assert fit((100, 20, 20), Sizes((16, 16, 16), (96, 96, 96))) == (96, 96, 96)


def test_names_options_and_sizes_are_known_without_torch() -> None:
    code = (
        "import sys; from torchio_seg import components, network_sizes\n"
        "for kind in ('networks', 'losses'):\n"
        "    for name in components.names(kind): components.complete(kind, {'name': name})\n"
        "print(sorted({'torch', 'monai', 'torchio', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
