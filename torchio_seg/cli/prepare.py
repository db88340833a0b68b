"""torchio-seg prepare."""

from __future__ import annotations

from typing import Annotated

import typer

from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import ConfigFile, DatasetName, Fold, Root, Set, gather, parse_fold
from torchio_seg.machine import in_units


def prepare(
    *,
    dataset: DatasetName = None,
    config: ConfigFile = None,
    root: Root = None,
    fold: Fold = None,
    set_: Set = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read files whose size and times have not changed too.")
    ] = False,
) -> None:
    """Preprocess every case once and keep it for trainings, which otherwise do so when they begin.

    torchio-seg prepare --dataset decathlon --root Task04_Hippocampus

    Interrupted, it goes on where it was; what is there already is not made again.
    """
    from torchio_seg.config.resolve import choose
    from torchio_seg.workflows.prepare import prepare_experiment

    experiment = choose(dataset, config, gather({"dataset.root": root, "split.fold": parse_fold(fold)}, set_))
    screen = Screen.shared()
    done = prepare_experiment(experiment, verify=verify, progress=screen)
    screen.say(f"{done.num_cases} cases ready, {in_units(done.num_bytes)} in {done.folder}")
