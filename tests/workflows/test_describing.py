"""What a training says of itself before it begins."""

from __future__ import annotations

import pytest

from torchio_seg.workflows.describing import _counted


@pytest.mark.parametrize(
    ("number", "said"), [(812, "812"), (18_364, "18,364"), (999_999, "999,999"), (4.8e6, "4.8 million")]
)
def test_a_small_network_has_thousands_of_parameters_not_no_millions(number: int, said: str) -> None:
    assert _counted(number) == said
