"""The command line: parse, call one workflow, show the result. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from torchio_seg.cli import (
    benchmark,
    check,
    config,
    crossval,
    datasets,
    demo,
    download,
    evaluate,
    export,
    importing,
    phantom,
    plan,
    predict,
    prepare,
    preview,
    runs,
    store,
    track,
    train,
)
from torchio_seg.cli.failure import show_failure
from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import command

FIRST, WORK, DATA, LOOK = "First steps", "Train and predict", "Data", "Look at results and settings"

app = typer.Typer(
    name="torchio-seg",
    help="Train and use 3-D segmentation networks on patches of medical scans.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo", rich_help_panel=FIRST)(command(demo.demo))
app.command("phantom", rich_help_panel=FIRST)(command(phantom.phantom))
app.command("train", rich_help_panel=WORK)(command(train.train))
app.command("predict", rich_help_panel=WORK)(command(predict.predict))
app.command("evaluate", rich_help_panel=WORK)(command(evaluate.evaluate))
app.command("plan", rich_help_panel=WORK)(command(plan.plan))
app.command("crossval", rich_help_panel=WORK)(command(crossval.crossval))
app.command("export", rich_help_panel=WORK)(command(export.export))
app.command("datasets", rich_help_panel=DATA)(command(datasets.datasets))
app.command("download", rich_help_panel=DATA)(command(download.download))
app.command("check", rich_help_panel=DATA)(command(check.check))
app.command("preview", rich_help_panel=DATA)(command(preview.preview))
app.add_typer(importing.app, name="import", rich_help_panel=DATA)
app.command("prepare", rich_help_panel=DATA)(command(prepare.prepare))
app.add_typer(store.app, name="store", rich_help_panel=DATA)
app.add_typer(runs.app, name="runs", rich_help_panel=LOOK)
app.add_typer(config.app, name="config", rich_help_panel=LOOK)
app.add_typer(benchmark.app, name="benchmark", rich_help_panel=LOOK)
app.add_typer(track.app, name="track", rich_help_panel=LOOK)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"torchio-seg {version('torchio-seg')}\n")
        raise typer.Exit


@app.callback()
def root(
    *,
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Train and use 3-D segmentation networks on patches of medical scans."""


def _unwind(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def main() -> None:
    """Run one command; whatever goes wrong ends in one readable message and a fitting exit code."""
    signal.signal(signal.SIGTERM, _unwind)  # so that what is half written is taken away
    try:
        app()
    except (Exception, KeyboardInterrupt) as error:
        if Screen.shared().debug:
            raise
        sys.exit(show_failure(error))
