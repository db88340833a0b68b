"""Weights & Biases: curves, tables and models of a run, online or in a folder that is sent later (docs/tracking.md)."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from torchio_seg.tracking.figures import AXES, axis_of, figures, outcome, require_known
from torchio_seg.tracking.interface import Nothing, Picture, Run, Shown, Tracker
from torchio_seg.tracking.wandb_mode import Mode, choose
from torchio_seg.tracking.wandb_models import Versions, name_of
from torchio_seg.tracking.wandb_session import FINISH_S, Session

if TYPE_CHECKING:
    from torchio_seg.tracking.interface import Cell

log = logging.getLogger(__name__)

TOGETHER_S = 2.0
"""For so long rows of steps are gathered."""

Artifacts = Literal["best", "all", "none"]


def build(  # noqa: PLR0913, PLR0917 (options are what a section of the configuration is made of)
    run: Run,
    mode: Mode = "auto",
    project: str | None = None,
    entity: str | None = None,
    group: str | None = None,
    tags: tuple[str, ...] = (),
    artifacts: Artifacts = "best",
    cases: Annotated[int, Field(ge=0)] = 2,
    slices: Annotated[int, Field(ge=1)] | Literal["all", "none"] = 3,
    names: dict[str, str] | None = None,
) -> Tracker:
    """The run's copy at W&B; where W&B cannot be had, nothing, and one line says why."""
    require_known(names or {}, [region["name"] for region in run.facts.get("regions", ())], run.metrics)
    choice = choose(mode)
    if choice.mode == "disabled":
        if choice.reason:
            log.info("%s: metrics.jsonl is the only record", choice.reason)
        return Nothing()
    where = {
        "project": project or os.environ.get("WANDB_PROJECT") or run.experiment,
        "entity": entity,
        "group": group or run.group,
        "tags": tags or None,
    }
    session = Session(run, where, choice.mode)
    if session.is_offline:
        reason = session.trouble or choice.reason
        files = session.folder / "wandb" / "offline-run-*"
        later = f"torchio-seg track sync {run.folder}" if run.job != "inference" else f"wandb sync {files}"
        log.info("W&B: offline%s; to send it later: %s", reason and f", {reason}", later)
    else:
        shows = "" if slices == "none" else "; slices of cases are sent too, tracker.slices=none keeps them here"
        log.info("W&B: %s%s", session.run.url, shows)
    best = run.config.get("training", {}).get("best", "mean_dice")
    shown = None if slices == "none" else Shown(cases, slices)
    return WandbTracker(session, shown, artifacts, names=names or {}, best=best)


class WandbTracker:
    """Logs records, tables and checkpoints to an open session."""

    def __init__(
        self, session: Session, shown: Shown | None, artifacts: Artifacts, *, names: Mapping[str, str], best: str
    ) -> None:
        self.shown = shown
        self.artifacts = artifacts
        self.names = names
        self.best = best
        self._session = session
        self._run = session.run
        self._versions = Versions(session)
        self._step = 0
        self._rows: list[tuple[int, dict[str, Any]]] = []
        """Of the last seconds."""
        self._sent_at = time.monotonic()
        self._at_end: tuple[Path, Mapping[str, Any]] | None = None
        self._define()

    def log(self, record: Mapping[str, Any]) -> None:
        """Its numbers as a row of the history at its step, what sums the run up beside it."""
        self._step = max(self._step, record.get("step", 0))
        if values := self._renamed(figures(record)):
            self._rows.append((self._step, {**values, "_timestamp": record.get("time", time.time())}))
        if record["kind"] != "step" or time.monotonic() - self._sent_at > TOGETHER_S:
            self._send()
        if summary := self._renamed(outcome(record, self.best)):
            self._run.summary.update(summary)

    def table(self, key: str, columns: Sequence[str]) -> _Rows:
        """Begin a table that is logged once it is whole."""
        return _Rows(self, self.names.get(key, key), columns)

    def show(self, key: str, table: Any) -> None:
        """Log what is looked at, beside the latest numbers."""
        self._send()
        self._run.log({key: table}, step=self._step)

    def checkpoint(self, folder: Path, record: Mapping[str, Any], *, is_best: bool) -> None:
        """A version of the run's model; offline only the last of the best ones, for each would keep its files."""
        if self.artifacts == "none" or (self.artifacts == "best" and not is_best):
            return
        if self._session.is_offline and self.artifacts == "best":
            self._at_end = folder, record
        else:
            self._versions.add(folder, record, is_best=is_best)

    def used(self, checkpoint: Path) -> None:
        """The lineage of this run: the model that it uses, where that is at W&B too."""
        name = None if self._session.is_offline else name_of(checkpoint)
        if name is None:
            return
        import wandb

        try:
            self._run.use_artifact(name)
        except (wandb.Error, ValueError) as error:
            log.warning("%s cannot be named as the model of this run at W&B: %s", name, error)

    def finish(self, *, failed: bool = False) -> None:
        """Wait for uploads and close."""
        if not self._session.is_offline:
            log.info("W&B: sending what is left, for %d s at most", FINISH_S)
        try:
            self._send()
            if self._at_end is not None:
                self._versions.add(*self._at_end, is_best=True)
            self._versions.finish()
        finally:
            self._session.close(failed=failed)

    def _send(self) -> None:
        """Hand on what has been gathered: rows one after the other cost less than each between two steps."""
        for step, row in self._rows:
            self._run.log(row, step=step)
        self._rows.clear()
        self._sent_at = time.monotonic()

    def _define(self) -> None:
        for pattern, axis in AXES.items():
            named = self.names.get(axis, axis)
            self._run.define_metric(named)
            self._run.define_metric(pattern, step_metric=named)
        for name, renamed in self.names.items():
            if (own_axis := axis_of(name)) is not None:
                self._run.define_metric(renamed, step_metric=self.names.get(own_axis, own_axis))

    def _renamed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {self.names.get(name, name): value for name, value in values.items()}


class _Rows:
    """A `wandb.Table` that grows."""

    def __init__(self, tracker: WandbTracker, key: str, columns: Sequence[str]) -> None:
        import wandb

        self._tracker = tracker
        self._key = key
        self._table = wandb.Table(columns=list(columns))

    def add(self, *cells: Cell) -> None:
        """One row more, its pictures written to files at once."""
        self._table.add_data(*(_image(cell) if isinstance(cell, Picture) else cell for cell in cells))

    def finish(self) -> None:
        """The table is whole."""
        self._tracker.show(self._key, self._table)


def _image(picture: Picture) -> Any:
    import wandb

    masks = {
        each.name: {
            "mask_data": each.mask.astype("uint8") * each.value,
            "class_labels": {0: "background", each.value: each.label},
        }
        for each in picture.overlays
    }
    return wandb.Image(picture.pixels, masks=masks or None)
