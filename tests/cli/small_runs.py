"""A small experiment for the tests of the command line, and what a called command left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SETTINGS = (
    "dataset.cases=8",
    "dataset.shape=[32,32,32]",
    "sampling.patch_size=[32,32,32]",
    "sampling.patches_per_case=2",
    "training.epochs=2",
    "training.precision=fp32",
    "device=cpu",
)
OWN_NETWORK = [word for setting in SETTINGS for word in ("--set", setting)]
TINY = [*OWN_NETWORK, "--set", "network.channels=[8,16]"]


@dataclass
class Result:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


Call = Callable[..., Result]
