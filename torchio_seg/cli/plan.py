"""torchio-seg plan."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchio_seg.cli import train_options as only
from torchio_seg.cli.options import (
    ConfigFile,
    DatasetName,
    Device,
    Epochs,
    Fold,
    Network,
    Root,
    Set,
    Steps,
)
from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import gather, one_length, parse_fold, program, require_known, typed
from torchio_seg.config.typed import parse_bytes

if TYPE_CHECKING:
    from torchio_seg.config.sections import Experiment
    from torchio_seg.workflows.plan import Planned


def plan(  # noqa: PLR0913 (flags are what the command line is made of)
    *,
    dataset: DatasetName = None,
    config: ConfigFile = None,
    root: Root = None,
    max_time: only.PlannedTime = None,
    ram_budget: only.RamBudget = None,
    vram_budget: only.VramBudget = None,
    network: Network = None,
    epochs: Epochs = None,
    steps: Steps = None,
    fold: Fold = None,
    device: Device = None,
    set_: Set = None,
    output: only.PlanFile = Path("plan.yaml"),
    overwrite: only.Overwrite = False,
) -> None:
    """Plan a training: choose its settings by the data and by what fits into this machine, as measured here.

    torchio-seg plan --dataset folders --root MY_SCANS --max-time 2h -o plan.yaml

    The plan is a complete experiment to read, edit, and train with --config. Training measures nothing again.
    """
    flags = {
        "dataset.root": root,
        "network.name": network,
        "split.fold": parse_fold(fold),
        "device": device,
        "training.epochs": epochs,
        "training.steps": steps,
        "training.max_time": max_time,
    }
    changes = one_length(gather(flags, set_))
    ram, vram = parse_bytes(ram_budget, "--ram-budget"), parse_bytes(vram_budget, "--vram-budget")
    require_known(dataset, config, {})
    from torchio_seg.workflows.plan import make, require_free, write_plan
    from torchio_seg.workflows.plan_begin import Wishes

    wishes = Wishes(dataset, config, changes, ram_budget=ram, vram_budget=vram)
    require_free(output, overwrite=overwrite)
    screen = Screen.shared()
    planned = make(wishes, progress=screen)
    beside = write_plan(planned, output, _command())
    _show(planned)
    screen.say(f"\nplan         {output}\nmade from    {beside}")
    screen.say(f"train it     {program()} train --config {typed(output)}")


def plan_here(dataset: str, changes: Mapping[str, Any], num_local: int = 1) -> tuple[Experiment, dict[str, str]]:
    """The experiment that a training of a layout follows, shown, and what its run keeps of how it came about."""
    from torchio_seg.workflows.plan import PLAN, finish, papers_of
    from torchio_seg.workflows.plan_begin import Wishes, begin

    screen, wishes = Screen.shared(), Wishes(dataset, changes=changes, num_local=num_local)
    begun = begin(wishes, progress=screen)
    screen.say(f"no experiment is called {dataset}, so one is planned; the run keeps it as {PLAN}")
    planned = finish(begun, wishes, progress=screen)
    _show(planned)
    return planned.experiment, papers_of(planned, _command())


def _show(planned: Planned) -> None:
    screen = Screen.shared()
    for title, lines in (("chosen", planned.chosen), ("will need", planned.needs)):
        screen.say(f"\n{title}" if title != "chosen" else f"{planned.title}\n\n{title}")
        for line in lines:
            screen.say(f"  {line}")


def _command() -> str:
    """What the user typed."""
    return f"torchio-seg {shlex.join(sys.argv[1:])}"
