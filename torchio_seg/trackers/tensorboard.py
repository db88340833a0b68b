"""TensorBoard: curves and settings as event files in the run's folder (tensorboard --logdir RUN/tracking)."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torchio_seg.tracking.environment import is_installed
from torchio_seg.tracking.figures import figures, outcome
from torchio_seg.tracking.interface import NoRows, Nothing, Run, Shown, Tracker

log = logging.getLogger(__name__)


def build(run: Run) -> Tracker:
    """Event files of this run; where TensorBoard is not installed, nothing, and one line says so."""
    if not is_installed("tensorboard"):
        log.info("TensorBoard is not installed (pip install tensorboard): metrics.jsonl is the only record")
        return Nothing()
    return TensorBoardTracker(run)


class TensorBoardTracker:
    """Writes scalars at the training's steps, and texts."""

    shown: Shown | None = None

    def __init__(self, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._best = run.config.get("training", {}).get("best", "mean_dice")
        self._writer: Any = SummaryWriter(run.place / "tensorboard" / run.name)
        for name, content in (("config", run.config), ("run", run.facts)):
            self._writer.add_text(name, f"```json\n{json.dumps(content, indent=2, default=str)}\n```")

    def log(self, record: Mapping[str, Any]) -> None:
        """Its numbers, and what sums the run up."""
        step = record.get("step", 0)
        for name, value in {**figures(record), **outcome(record, self._best)}.items():
            if isinstance(value, str):
                self._writer.add_text(name, value, step)
            else:
                self._writer.add_scalar(name, value, step)

    def table(self, key: str, columns: Sequence[str]) -> NoRows:  # noqa: ARG002 (the contract of trackers)
        """TensorBoard has no tables."""
        return NoRows()

    def checkpoint(self, folder: Path, record: Mapping[str, Any], *, is_best: bool) -> None:
        """TensorBoard keeps no models; the run's folder does."""

    def used(self, checkpoint: Path) -> None:
        """TensorBoard knows no lineage."""

    def finish(self, *, failed: bool = False) -> None:  # noqa: ARG002 (the contract of trackers)
        """Write what is left."""
        self._writer.close()
