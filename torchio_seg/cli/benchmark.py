"""torchio-seg benchmark."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from torchio_seg.cli.options import ConfigFile, DatasetName, Device, Network, Root, Set
from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import command, gather
from torchio_seg.config.durations import seconds
from torchio_seg.config.typed import parse_bytes, parse_size
from torchio_seg.errors import UsageError
from torchio_seg.lock import only_here

if TYPE_CHECKING:
    from torchio_seg.workflows.memory_benchmark import Results, Selection

_NOTE_WIDTH = 79

app = typer.Typer(help="Measure on this machine what a network takes.", no_args_is_help=True)


def _what(words: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=words, rich_help_panel="What is measured", **more)


def _budget(words: str, **more: Any) -> Any:
    return typer.Option(help=words, rich_help_panel="Budgets", **more)


All = Annotated[bool, _what("Every network that is shipped.", "--all")]
Channels = Annotated[int | None, _what("Of the images; else 4, or the data's.", min=1)]
Classes = Annotated[int | None, _what("Background included; else 4, or the data's.", min=2)]
Shape = Annotated[str | None, _what("Of the volume; else 240,240,155, or the data's largest.", metavar="N,N,N")]
Patches = Annotated[
    str | None, _what("Edges of patches in voxels; else the four longest of 16 to 160 that fit.", metavar="N,N,...")
]
Whole = Annotated[bool, _what("The whole volume too.")]
Precisions = Annotated[str, _what("Of fp32, bf16, fp16.")]
Checkpointing = Annotated[str, _what("Activation checkpointing.", metavar="off|on|both")]
Work = Annotated[str, _what("Which work.", metavar="training|prediction|both")]
StepSize = Annotated[int, _what("Patches of a step.", min=1)]
WithAccuracy = Annotated[bool, _what("Train on patches and whole; Dice beside.", "--with-accuracy")]
AccuracyTime = Annotated[str, _what("For each of these trainings.", metavar="TIME")]
MemoryLimit = Annotated[
    str | None, _budget("What a point may take, as 6GiB; else 90 % of what is free.", metavar="SIZE")
]
TimeLimit = Annotated[float, _budget("What a point may last.", min=1, metavar="SECONDS")]
RamBudget = Annotated[str | None, _budget("Name the largest patch for it, as 12GiB.", metavar="SIZE")]
VramBudget = Annotated[str | None, _budget("The same for a GPU's memory.", metavar="SIZE")]
Verify = Annotated[bool, _budget("Measure the largest patch and the next one.")]
Folder = Annotated[
    Path,
    typer.Option("-o", "--output", help="Folder; what lies there is not redone.", rich_help_panel="Output"),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Measure everything anew.", rich_help_panel="Output")]


def memory(  # noqa: PLR0913 (flags are what the command line is made of)
    *,
    dataset: DatasetName = None,
    config: ConfigFile = None,
    root: Root = None,
    network: Network = None,
    all_: All = False,
    channels: Channels = None,
    classes: Classes = None,
    shape: Shape = None,
    patches: Patches = None,
    whole: Whole = True,
    precisions: Precisions = "fp32,bf16",
    checkpointing: Checkpointing = "both",
    work: Work = "both",
    batch_size: StepSize = 1,
    with_accuracy: WithAccuracy = False,
    accuracy_time: AccuracyTime = "10m",
    memory_limit: MemoryLimit = None,
    time_limit: TimeLimit = 600,
    ram_budget: RamBudget = None,
    vram_budget: VramBudget = None,
    verify: Verify = True,
    device: Device = None,
    set_: Set = None,
    output: Folder = Path("memory-benchmark"),
    overwrite: Overwrite = False,
) -> None:
    """Measure patches against the whole volume: memory and time of a training step and of a prediction.

    torchio-seg benchmark memory --network unet --shape 240,240,155 --ram-budget 12GiB

    Each point has a process of its own; one that does not fit is a result. Ctrl-C keeps what was measured.
    """
    from torchio_seg.workflows.memory_accuracy import train_all
    from torchio_seg.workflows.memory_answers import answer, read_budgets
    from torchio_seg.workflows.memory_benchmark import POINTS, Results, run
    from torchio_seg.workflows.memory_setup import Wishes, Words, make_bench, make_selection, require_training

    _require(output, accuracy_time)
    if with_accuracy and dataset is None and config is None and root is None:
        root = output / "phantom"
    screen = Screen.shared()
    changes = gather({"dataset.root": root, "device": device, "network.name": network}, set_)
    size, limit = parse_size(shape, "--shape"), parse_bytes(memory_limit, "--memory-limit")
    ram, vram = parse_bytes(ram_budget, "--ram-budget"), parse_bytes(vram_budget, "--vram-budget")
    wishes = Wishes(dataset, config, changes, channels, classes, size, batch_size, limit, time_limit, with_accuracy)
    experiment, bench = make_bench(wishes)
    selection = make_selection(bench, Words(all_, patches, precisions, checkpointing, work, whole))
    require_training(selection, {"--ram-budget": ram, "--vram-budget": vram, "--with-accuracy": with_accuracy})
    _make(output)
    with only_here(output / POINTS):
        results = Results.open(output / POINTS, bench, overwrite=overwrite)
        try:
            run(results, selection, screen)
            answer(results, selection, read_budgets(ram, vram), verify=verify)
            if with_accuracy:
                train_all(results, experiment, selection, max_time=accuracy_time, progress=screen)
        finally:
            _show(results, selection, accuracy_time if with_accuracy else None)


def _require(output: Path, accuracy_time: str) -> None:
    if not seconds(accuracy_time):
        raise UsageError(f"--accuracy-time {accuracy_time}: give a time, as 30m or 1h30m")
    if output.exists() and not output.is_dir():
        raise UsageError(f"-o {output} is a file; name a folder for points, table and pictures")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise UsageError(f"-o {folder} cannot be written to; name another folder")
    except OSError as error:
        raise UsageError(f"-o {folder} cannot be made ({error.strerror}); name another folder") from error


def _show(results: Results, selection: Selection, trained_for: str | None) -> None:
    """What is known, which is all there is after Ctrl-C; the Dice of trainings of this time, or of the last one's."""
    from torchio_seg.workflows.memory_benchmark import distinct
    from torchio_seg.workflows.memory_output import rows, write
    from torchio_seg.workflows.memory_tables import answer_notes, answer_tables, notes, tables

    screen = Screen.shared()
    if not results.points:
        return
    chosen = {point.series for point in selection.points()}
    table = rows(results.points, results.accuracy, trained_for)
    kept = {point for point in distinct(results.points) if point.series in chosen}
    shown = [row for row, point in zip(table, results.points, strict=True) if point in kept]
    for each in (*tables(shown), *answer_tables(results.answers)):
        screen.table_in_parts(each.title, each.columns, each.parts)
    for note in (*notes(shown), *answer_notes(results.answers, is_gpu=results.is_gpu)):
        screen.say(textwrap.fill(note, _NOTE_WIDTH, subsequent_indent="  "))
    budgets = [answer.budget for answer in results.answers]
    folder, networks = results.path.parent, selection.networks
    for path in write(folder, results.points, table, is_gpu=results.is_gpu, networks=networks, budgets=budgets):
        screen.say(f"written      {path}")
    screen.say(f"record       {results.path}")


app.command("memory")(command(memory))
