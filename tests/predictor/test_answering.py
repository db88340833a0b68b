"""A network whose answer is not what its model's record says is refused, whatever it stands behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from torchio_seg.errors import TorchioSegError
from torchio_seg.predictor.budget import measure_patch
from torchio_seg.predictor.mirroring import Mirrored
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.predictor.skipping import Skipping
from torchio_seg.predictor.uncertainty import MEASURES
from torchio_seg.predictor.window import Window
from torchio_seg.records import Labels
from torchio_seg.transforms.recipe import Recipe

LABELS = Labels.of_classes({0: "background", 1: "lesion"})
IMAGE = np.random.default_rng(0).random((1, 9, 8, 13), np.float32)
IMAGE[..., -6:] = 0  # so that there are patches to skip, alone and beside others

Network = Callable[[torch.Tensor], Any]


def two(images: torch.Tensor) -> torch.Tensor:
    return torch.cat([images, 0.5 - images], dim=1)


ANSWERS: dict[str, tuple[Network, str]] = {
    "one channel": (lambda images: images, r"x 1 x 6 x 6 x 6 values where \d x 2 x 6 x 6 x 6 are due"),
    "three channels": (lambda images: images.repeat(1, 3, 1, 1, 1), r"x 3 x 6 x 6 x 6 values where \d x 2 x 6"),
    "a short batch": (lambda images: two(images)[:-1], r"answered with \d x 2 x 6 x 6 x 6 values where \d x"),
    "fewer voxels": (lambda images: two(images)[..., 1:], r"x 6 x 6 x 5 values where \d x (2|channels) x 6 x 6 x 6"),
    "one axis less": (lambda images: two(images)[..., 0], r"x 6 x 6 values where"),
    "a number": (lambda images: images.mean(), "values where"),
    "a list": (lambda images: [two(images), two(images)], "with a list, not with one tensor"),
    "a tuple": (lambda images: (two(images),), "with a tuple, not with one tensor"),
    "nothing": (lambda _: None, "with a NoneType"),
}
BEHIND: dict[str, Callable[[Network], Network]] = {
    "itself": lambda network: network,
    "mirrored": lambda network: Mirrored(network, (0,), LABELS.exclusive),
    "skipping": Skipping,
    "both": lambda network: Skipping(Mirrored(network, (0, 2), LABELS.exclusive)),
}


def made(network: Network) -> Predictor:
    window = Window((6, 6, 6), 0.5, 2, "hann")
    return Predictor(network, LABELS, Recipe(None, None, "none"), window, torch.device("cpu"), "fp32")


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
@pytest.mark.parametrize(("network", "message"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_of_another_kind_is_an_error_that_says_what_came(
    network: Network, message: str, behind: Callable[[Network], Network]
) -> None:
    asked = made(behind(network))
    for attempt in (lambda: asked(IMAGE, np.eye(4)), lambda: measure_patch(asked, 1)):
        with pytest.raises(TorchioSegError, match=message):
            attempt()
    assert np.unique(made(behind(two))(IMAGE, np.eye(4)).label_map).tolist() == [0, 1]


def test_the_channel_of_disagreement_is_due_where_it_is_told_and_only_there() -> None:
    mirrored = Mirrored(two, (0,), LABELS.exclusive)
    telling = replace(made(replace(mirrored, tells_disagreement=True)), measure=MEASURES["disagreement"])
    assert telling(IMAGE, np.eye(4)).uncertainty is not None
    assert measure_patch(telling, 1).num_channels == 3
    for wrong in (replace(telling, network=mirrored), replace(telling, measure=None)):
        with pytest.raises(TorchioSegError, match="channels by the labels in the model's record"):
            wrong(IMAGE, np.eye(4))
