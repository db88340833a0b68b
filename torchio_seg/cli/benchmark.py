"""torchio-seg benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from torchio_seg.cli.options import ConfigFile, DatasetName, Device, Network, Root, Set
from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import command, gather, parse_bytes, parse_size

if TYPE_CHECKING:
    from torchio_seg.workflows.memory_benchmark import Answer, Results, Selection

app = typer.Typer(help="Measure on this machine what a network takes.", no_args_is_help=True)

WHAT, BUDGETS, OUTPUT = "What is measured", "Budgets", "Output"


def memory(  # noqa: PLR0913 (flags are what the command line is made of)
    *,
    dataset: DatasetName = None,
    config: ConfigFile = None,
    root: Root = None,
    network: Network = None,
    all_: Annotated[bool, typer.Option("--all", help="Every network that is shipped.", rich_help_panel=WHAT)] = False,
    channels: Annotated[
        int | None, typer.Option(min=1, help="Of the images; else 4, or the data's.", rich_help_panel=WHAT)
    ] = None,
    classes: Annotated[
        int | None, typer.Option(min=1, help="Background included; else 4, or the data's.", rich_help_panel=WHAT)
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,N", help="Of the volume; else 240,240,155, or the data's largest.", rich_help_panel=WHAT
        ),
    ] = None,
    patches: Annotated[
        str, typer.Option(metavar="N,N,...", help="Edges of patches, in voxels.", rich_help_panel=WHAT)
    ] = "64,96,128,160",
    whole: Annotated[bool, typer.Option(help="The whole volume too.", rich_help_panel=WHAT)] = True,
    precisions: Annotated[str, typer.Option(help="Of fp32, bf16, fp16.", rich_help_panel=WHAT)] = "fp32,bf16",
    checkpointing: Annotated[
        str, typer.Option(metavar="off|on|both", help="Activation checkpointing.", rich_help_panel=WHAT)
    ] = "both",
    work: Annotated[
        str, typer.Option(metavar="training|prediction|both", help="Which work.", rich_help_panel=WHAT)
    ] = "both",
    batch_size: Annotated[int, typer.Option(min=1, help="Patches of a step.", rich_help_panel=WHAT)] = 1,
    with_accuracy: Annotated[
        bool, typer.Option("--with-accuracy", help="Train on patches and whole; Dice beside.", rich_help_panel=WHAT)
    ] = False,
    accuracy_time: Annotated[
        str, typer.Option(metavar="TIME", help="For each of these trainings.", rich_help_panel=WHAT)
    ] = "10m",
    memory_limit: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="What a point may take; else 90 % of what is free.", rich_help_panel=BUDGETS),
    ] = None,
    time_limit: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="What a point may last.", rich_help_panel=BUDGETS)
    ] = 600,
    ram_budget: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Name the largest patch for it.", rich_help_panel=BUDGETS)
    ] = None,
    vram_budget: Annotated[
        str | None, typer.Option(metavar="SIZE", help="The same for a GPU's memory.", rich_help_panel=BUDGETS)
    ] = None,
    verify: Annotated[
        bool, typer.Option(help="Measure the largest patch and the next one.", rich_help_panel=BUDGETS)
    ] = True,
    device: Device = None,
    set_: Set = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder; what lies there is not redone.", rich_help_panel=OUTPUT)
    ] = Path("memory-benchmark"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Measure everything anew.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Measure patches against the whole volume: memory and time of a training step and of a prediction.

    torchio-seg benchmark memory --network unet --shape 240,240,155 --ram-budget 12GiB

    Each point has a process of its own; one that does not fit is a result. Ctrl-C keeps what was measured.
    """
    from torchio_seg.errors import UsageError
    from torchio_seg.workflows.memory_setup import Wishes, make_bench, make_selection

    if output.exists() and not output.is_dir():
        raise UsageError(f"-o {output} is a file; name a folder for points, table and pictures")
    if with_accuracy and dataset is None and config is None and root is None:
        root = output / "phantom"
    wishes = Wishes(
        dataset=dataset,
        config=config,
        changes=gather({"dataset.root": root, "device": device, "network.name": network}, set_),
        channels=channels,
        classes=classes,
        shape=None if shape is None else parse_size(shape, "--shape"),
        batch_size=batch_size,
        memory_limit=parse_bytes(memory_limit, "--memory-limit"),
        most_seconds=time_limit,
        with_accuracy=with_accuracy,
    )
    experiment, bench = make_bench(wishes)
    selection = make_selection(
        (experiment.network.name,) if not all_ else None,
        patches=patches,
        precisions=precisions,
        checkpointing=checkpointing,
        work=work,
        whole=whole,
    )
    budgets = [
        (parse_bytes(ram_budget, "--ram-budget"), False),
        (parse_bytes(vram_budget, "--vram-budget"), True),
    ]
    from torchio_seg.workflows.memory_benchmark import POINTS, Results

    output.mkdir(parents=True, exist_ok=True)
    results = Results.open(output / POINTS, bench, overwrite=overwrite)
    answers: list[Answer] = []
    try:
        _measure(results, selection)
        answers = _answer(results, selection, [(size, as_gpu) for size, as_gpu in budgets if size], verify=verify)
        if with_accuracy:
            from torchio_seg.workflows.memory_accuracy import train_all

            trained = [p for p in selection.points() if p.work == "training" and not p.checkpointing]
            train_all(results, experiment, trained, max_time=accuracy_time, progress=Screen.shared())
    finally:
        _show(results, selection, answers)


def _measure(results: Results, selection: Selection) -> None:
    from torchio_seg.workflows.memory_benchmark import run

    run(results, selection, Screen.shared())


def _answer(results: Results, selection: Selection, budgets: list[tuple[int, bool]], *, verify: bool) -> list[Answer]:
    from torchio_seg.workflows.memory_benchmark import Budget, find_largest_patch

    series = list(dict.fromkeys(point.series for point in selection.points() if point.work == "training"))
    return [
        find_largest_patch(results, each, Budget(size, as_gpu), verify=verify)
        for size, as_gpu in budgets
        for each in series
    ]


def _show(results: Results, selection: Selection, answers: list[Answer]) -> None:
    """What is known, which is all there is after Ctrl-C."""
    from torchio_seg.workflows.memory_output import COLUMNS, answer_text, cells, rows, write

    screen = Screen.shared()
    if not results.points:
        return
    chosen = {point.series for point in selection.points()}
    table = rows(results.points, results.accuracy)
    shown = [row for row, point in zip(table, results.points, strict=True) if point.series in chosen]
    screen.table(COLUMNS, map(cells, shown))
    screen.say(
        "memory: of the step or prediction alone; all: of the process (on a GPU: as the GPU says); of whole: memory "
        "by that of the whole volume; ~: where that did not fit, by a line a + b x voxels fitted to the patches"
    )
    for answer in answers:
        screen.say(answer_text(answer))
    is_gpu = any(found.reserved is not None for found in results.points.values())
    if not is_gpu and any(answer.budget.as_gpu for answer in answers):
        screen.say("Measured on a CPU: a GPU's libraries and allocator take other amounts; measure on the card itself.")
    for path in write(results.path.parent, results.points, results.accuracy, is_gpu=is_gpu):
        screen.say(f"written      {path}")
    screen.say(f"record       {results.path}")


app.command("memory")(command(memory))
