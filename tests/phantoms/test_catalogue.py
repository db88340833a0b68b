import subprocess
import sys

import numpy as np
import pytest

from torchio_seg.phantoms.catalogue import KINDS, random_numbers


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_case_has_the_declared_channels_and_labels(kind: str) -> None:
    drawn = KINDS[kind].draw((32, 32, 24), 0, 0, len(KINDS[kind].channels))
    assert len(drawn.image) == len(KINDS[kind].channels)
    assert set(np.unique(drawn.label)) <= set(KINDS[kind].labels)


def test_cases_and_seeds_have_numbers_of_their_own() -> None:
    first = {random_numbers(seed, index).integers(2**60) for seed in range(3) for index in range(3)}
    assert len(first) == 9


def test_importing_needs_neither_torch_nor_nibabel() -> None:
    code = "import sys, torchio_seg.phantoms.catalogue; print({'torch', 'torchio', 'nibabel'} & set(sys.modules))"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "set()"
