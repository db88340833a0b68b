"""The options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXPERIMENT, SETTINGS, OUTPUT, MESSAGES = "Experiment", "Settings", "Output", "Messages"
"""Groups of options on a help page."""

DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="Experiment or layout by its name; 'torchio-seg datasets' lists them.",
        rich_help_panel=EXPERIMENT,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Experiment of your own, as a YAML file.", rich_help_panel=EXPERIMENT
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        "--root", metavar="FOLDER", help="Folder that holds the data, otherwise data/NAME.", rich_help_panel=EXPERIMENT
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change any setting, for example training.batch_size=4. Repeat it for several.",
        rich_help_panel=SETTINGS,
    ),
]
Network = Annotated[
    str | None,
    typer.Option(
        "--network",
        metavar="NAME",
        help="Network to use: unet, dynunet, ... or your own as module.name.",
        rich_help_panel=SETTINGS,
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        "--epochs", min=1, metavar="N", help="How often every training case is visited.", rich_help_panel=SETTINGS
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        min=1,
        metavar="N",
        help="How often the weights are changed, in place of epochs.",
        rich_help_panel=SETTINGS,
    ),
]
InitFrom = Annotated[
    Path | None,
    typer.Option(
        "--init-from",
        metavar="RUN|FILE",
        help="Start with the weights of a run or a file (docs/fine-tuning.md).",
        rich_help_panel=SETTINGS,
    ),
]
TrustWeights = Annotated[
    bool,
    typer.Option("--trust", help="Open what --init-from names even if it is TorchScript.", rich_help_panel=SETTINGS),
]
Auto = Annotated[
    bool,
    typer.Option("--auto", help="Go on with fewer patches at once where memory runs out.", rich_help_panel=SETTINGS),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        min=0,
        metavar="N",
        help="Random seed of the weights, patches and augmentation.",
        rich_help_panel=SETTINGS,
    ),
]
RunsFolder = Annotated[
    Path, typer.Option("--runs", metavar="FOLDER", help="Folder that trainings are kept in.", rich_help_panel=OUTPUT)
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Where to compute: auto, cpu, cuda, cuda:1 or mps.",
        rich_help_panel=SETTINGS,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", min=1, metavar="N", help="How many patches a batch has.", rich_help_panel=SETTINGS),
]
PatchSize = Annotated[
    str | None,
    typer.Option("--patch-size", metavar="N|N,N,N", help="Size of a patch in voxels.", rich_help_panel=SETTINGS),
]
WeightsFile = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="Weights from elsewhere, for the network of --config or --dataset (docs/from-elsewhere.md).",
        rich_help_panel=EXPERIMENT,
    ),
]
Overlap = Annotated[
    str | None,
    typer.Option(
        "--overlap",
        metavar="SHARE|Nvox",
        help="How much neighbouring patches overlap: a share of 0 to below 1, or voxels, as 32vox.",
        rich_help_panel=SETTINGS,
    ),
]
Fold = Annotated[
    str | None,
    typer.Option(
        "--fold",
        metavar="K|all",
        help="Fold to validate on, counted from 0; with 'all', every case trains.",
        rich_help_panel=SETTINGS,
    ),
]
Wandb = Annotated[
    str | None,
    typer.Option(
        "--wandb",
        metavar="MODE",
        help="Track with W&B: auto, online, offline or disabled. WANDB_MODE wins (docs/tracking.md).",
        rich_help_panel=OUTPUT,
    ),
]
Trust = Annotated[bool, typer.Option("--trust", help="Allow the model to run code that it names.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show more messages.", rich_help_panel=MESSAGES)]
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", help="Show only results, warnings and errors.", rich_help_panel=MESSAGES)
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=MESSAGES)]
