"""torchio-seg crossval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torchio_seg.cli import train_options as only
from torchio_seg.cli.options import (
    Auto,
    BatchSize,
    ConfigFile,
    DatasetName,
    Device,
    Epochs,
    InitFrom,
    Network,
    PatchSize,
    Root,
    RunsFolder,
    Seed,
    Set,
    Steps,
    TrustWeights,
    Wandb,
)
from torchio_seg.cli.plan import plan_here
from torchio_seg.cli.repeats import leave
from torchio_seg.cli.screen import Screen, number
from torchio_seg.cli.shared import gather, one_length, program, require_known, tracking, typed
from torchio_seg.config.typed import parse_size
from torchio_seg.errors import UsageError

if TYPE_CHECKING:
    from torchio_seg.workflows.crossval import Gathered


def crossval(  # noqa: PLR0913 (flags are what the command line is made of)
    *,
    dataset: DatasetName = None,
    config: ConfigFile = None,
    root: Root = None,
    folds: only.Folds = None,
    network: Network = None,
    epochs: Epochs = None,
    steps: Steps = None,
    max_time: only.FoldTime = None,
    batch_size: BatchSize = None,
    patch_size: PatchSize = None,
    seed: Seed = None,
    device: Device = None,
    init_from: InitFrom = None,
    trust: TrustWeights = False,
    set_: Set = None,
    auto: Auto = False,
    output: only.SeriesFolder = None,
    runs: RunsFolder = Path("runs"),
    wandb: Wandb = None,
) -> None:
    """Train a model for each fold, score every case by the one that has not seen it, and join them in an ensemble.

    torchio-seg crossval --dataset decathlon --root Task04_Hippocampus

    torchio-seg crossval -o runs/latest     # go on where it was stopped

    A layout without an experiment of its own is planned first; all folds follow that plan.
    """
    flags = {
        "dataset.root": root,
        "network.name": network,
        "init_from": None if init_from is None else init_from.resolve(),
        "training.epochs": epochs,
        "training.steps": steps,
        "training.max_time": max_time,
        "training.batch_size": batch_size,
        "sampling.patch_size": parse_size(patch_size, "--patch-size"),
        "seed": seed,
        "device": device,
        **tracking(wandb),
    }
    wanted = parse_folds(folds)
    changes = one_length(gather(flags, set_))
    require_known(dataset, config, changes, assignments=set_, begun=output)
    from torchio_seg.distributed import require_unlaunched
    from torchio_seg.workflows.crossval import crossval as workflow
    from torchio_seg.workflows.series import Place, Stopped, settle
    from torchio_seg.workflows.train import Situation

    require_unlaunched("crossval", "start it without torchrun; train --fold N works in several")
    experiment, papers = settle(dataset, config, changes, Place(output, "folds"), plan=plan_here)
    situation = Situation(may_shrink=auto, trust=trust, papers=papers)
    screen = Screen.shared()
    result = workflow(experiment, runs, folder=output, folds=wanted, progress=screen, situation=situation)
    if isinstance(result, Stopped):
        leave(result, "crossval" + (f" --folds {folds}" if folds else ""), situation)
    _report(result)


def parse_folds(text: str | None) -> list[int] | None:
    """Folds as the user types them: 0,1,2."""
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"--folds {text}: give numbers from 0 on, as 0,1,2")
    return [int(part) for part in parts]


def _report(result: Gathered) -> None:
    screen = Screen.shared()
    title = f"Dice on {result.num_cases} cases, each predicted by a model that was not trained on it"
    screen.table_of_scores(title, result.summaries, result.mean_dice)
    screen.say("how far cases lie apart (standard deviation), and where the mean lies (95 %, bootstrap over the cases)")
    rows = [(each.region, number(each.deviation), number(each.low), number(each.high)) for each in result.spreads]
    screen.table(("region", "deviation", "mean from", "to"), rows)
    _report_postprocessing(result)
    if result.missing:
        screen.say(
            f"without {', '.join(result.missing)}, which {'is' if len(result.missing) == 1 else 'are'} not trained"
        )
    screen.say(f"scores     {result.folder / 'evaluation' / 'out_of_fold.csv'}")
    screen.say(f"label maps {result.folder / 'out_of_fold'}")
    screen.say(f"ensemble   {result.folder / 'ensemble'}: {len(result.folds)} models")
    screen.say(f"predict    {program()} predict VOLUME.nii.gz --model {typed(result.folder)}")


def _report_postprocessing(result: Gathered) -> None:
    screen = Screen.shared()
    choice = result.choice
    if not choice.steps:
        screen.say("post-processing: none that was tried helps, so none is applied")
        return
    screen.say("post-processing that the ensemble applies, chosen on these cases (the scores above are without it):")
    for step in choice.steps:
        screen.say(f"  {step}")
    names = [row.region for row in result.summaries]
    pairs = zip(names, choice.before, choice.after, strict=True)
    screen.table(("region", "Dice without", "with"), [(name, number(old), number(new)) for name, old, new in pairs])
