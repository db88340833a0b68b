"""What to do about a training that waits for its patches."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from torchio_seg.errors import ConfigError
from torchio_seg.sampling.finishing import require_ours
from torchio_seg.workflows.patches import make_augmentation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torchio_seg.config.sections import Experiment

log = logging.getLogger(__name__)

TOLERATED = 0.2
"""Share of an epoch."""


class Adviser:
    """Watches the records of a training, and says once which setting would shorten its waiting.

    The first epoch is left out: while it begins, workers start.
    """

    def __init__(self, experiment: Experiment, device: str, num_processors: int) -> None:
        self.advice = advise(experiment, device, num_processors)
        self._has_spoken = False
        self._has_begun = False

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Look at one record; only those of whole epochs tell anything."""
        if record["kind"] != "epoch":
            return
        if self._has_begun and record["waiting"] > TOLERATED and not self._has_spoken:
            self._has_spoken = True
            log.info("%.0f %% of the epoch went by waiting for patches: %s", 100 * record["waiting"], self.advice)
        self._has_begun = True


def advise(experiment: Experiment, device: str, num_processors: int) -> str:
    """The setting that helps most of those that are left to turn."""
    workers, augmentation = experiment.sampling.num_workers, experiment.augmentation
    if workers < num_processors:
        more = min(num_processors, max(1, 2 * workers))
        return (
            f"more workers make them faster, --set sampling.num_workers={more} (there are {num_processors} processors)"
        )
    if device == "cuda" and augmentation.device == "cpu" and _can_move(experiment):
        return "the GPU can augment them, --set augmentation.device=cuda"
    if augmentation.image_interpolation == "cubic":
        return "cubic interpolation is the slowest step, --set augmentation.image_interpolation=linear"
    if augmentation.label_interpolation == "linear":
        return "labels are interpolated one by one, --set augmentation.label_interpolation=nearest"
    shared = " that training needs too" if device == "cpu" else ""
    return (
        f"the workers have all {num_processors} processors{shared}; what makes patches faster now is less augmentation "
        "or a smaller patch"
    )


def _can_move(experiment: Experiment) -> bool:
    try:
        require_ours(make_augmentation(experiment))
    except ConfigError:
        return False
    return True
