"""torchio-seg demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from torchio_seg.cli.options import RunsFolder
from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import program, typed


def demo(
    *,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Random seed; another one gives other phantoms and weights.")
    ] = 0,
    runs: RunsFolder = Path("runs"),
) -> None:
    """Try the whole way in a few minutes on a CPU: generate phantom brains, train on them, predict one."""
    from torchio_seg.cli.train import leave, report
    from torchio_seg.workflows.demo import run_demo

    screen = Screen.shared()
    shown = run_demo(runs, seed=seed, progress=screen)
    report(shown.trained)
    leave(shown.trained)
    run, name = shown.trained.folder, program()
    screen.say(f"prediction {shown.prediction} of {shown.volume}")
    screen.say(f"record     {run / 'metrics.jsonl'}, {run / 'evaluation'}")
    screen.say("\nnext:")
    screen.say(f"  {name} evaluate {typed(run)} --split validation")
    screen.say(f"  {name} config show --dataset phantom > mine.yaml   # edit it, then: {name} train --config mine.yaml")
    screen.say(f"  {name} train --dataset decathlon --root YOUR_TASK")
