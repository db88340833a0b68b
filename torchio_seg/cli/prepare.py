"""torchio-seg prepare."""

from __future__ import annotations

from typing import Annotated

import typer

from torchio_seg.cli.options import ConfigFile, DatasetName, Fold, Root, Set
from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import gather, parse_fold
from torchio_seg.machine import in_units


def prepare(
    *,
    dataset: DatasetName = None,
    config: ConfigFile = None,
    root: Root = None,
    fold: Fold = None,
    set_: Set = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file again, even those that have not changed.")
    ] = False,
) -> None:
    """Preprocess every case now and keep the results; otherwise a training does so when it begins.

    torchio-seg prepare --dataset decathlon --root Task04_Hippocampus

    A layout without an experiment of its own is prepared at the voxel size that its plan begins with.

    Interrupted, it goes on where it was; what is there already is not made again.
    """
    from torchio_seg.config.resolve import choose, is_layout

    changes = gather({"dataset.root": root, "split.fold": parse_fold(fold)}, set_)
    screen = Screen.shared()
    if config is None and is_layout(dataset):
        from torchio_seg.workflows.plan_begin import Wishes, begin

        experiment = begin(Wishes(dataset, changes=changes), progress=screen).experiment
        screen.say(f"voxel size and intensities as 'torchio-seg plan --dataset {dataset}' chooses them")
    else:
        experiment = choose(dataset, config, changes)
    from torchio_seg.workflows.prepare import prepare_experiment

    done = prepare_experiment(experiment, verify=verify, progress=screen)
    screen.say(f"{done.num_cases} cases ready, {in_units(done.num_bytes)} in {done.folder}")
