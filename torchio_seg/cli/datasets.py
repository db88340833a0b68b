"""torchio-seg datasets."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import program

if TYPE_CHECKING:
    from torchio_seg.catalogue.entry import Entry
    from torchio_seg.workflows.catalogue import Trainable

INDENT = 12
WIDEST = 110
"""Columns of text; longer lines are hard to read."""


def datasets(
    name: Annotated[str | None, typer.Argument(help="Data set to explain: brats, btcv, decathlon:Task04 ...")] = None,
) -> None:
    """List the shipped experiments and where their data is looked for, or explain one data set."""
    from torchio_seg.workflows.catalogue import explain, survey

    experiments = survey()
    if name is None:
        _show_list(experiments)
    else:
        _show_entry(*explain(name, experiments))


def _show_list(experiments: list[Trainable]) -> None:
    screen = Screen.shared()
    for experiment in experiments:
        _show_name(f"{experiment.name} ({experiment.network})")
        _show("trains", experiment.about)
        _show("expects", experiment.entry.title if experiment.entry else f"data in the layout '{experiment.layout}'")
        _show("data", _whereabouts(experiment))
        screen.say("")
    screen.say(f"more on one:  {program()} datasets NAME\ntrain it:     {program()} train --dataset NAME [--root DIR]")


def _whereabouts(experiment: Trainable) -> str:
    """Where the data is, or where it was looked for and what gets it."""
    if experiment.is_there:
        return f"found in {experiment.root}"
    if experiment.makes_its_data:
        return f"{experiment.root}, made when it is first trained"
    missing = f"not there: {' or '.join(map(str, experiment.places))}"
    entry = experiment.entry
    if entry is None:
        return missing
    if entry.archive is None:
        return f"{missing}; what to do: {program()} datasets {experiment.name}"
    return f"{missing}; get it: {program()} download {entry.name}"


def _show_entry(entry: Entry, experiments: list[Trainable]) -> None:
    _show_name(entry.name)
    _show("what", entry.title)
    _show("channels", entry.channels)
    _show("labels", entry.labels)
    _show("cases", entry.cases)
    _show("licence", entry.licence)
    _show("size", entry.size)
    _show("folder", *entry.tree.splitlines(), wrap=False)
    _show("get it", *entry.how)
    names = [f"{experiment.name}: {experiment.about}" for experiment in experiments]
    _show("used by", *(names or ["no shipped experiment"]))


def _show_name(name: str) -> None:
    Screen.shared().results.print(name, style="bold", markup=False)


def _show(label: str, *texts: str, wrap: bool = True) -> None:
    """A fact beside its label, each text on lines of its own, no wider than the screen; nothing where there is none."""
    screen = Screen.shared()
    width = min(screen.results.width, WIDEST) - INDENT
    fold = textwrap.TextWrapper(width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    lines = [line for text in texts if text for line in (fold.wrap(text) if wrap else [text])]
    for position, line in enumerate(lines):
        screen.say(f"{'' if position else '  ' + label:<{INDENT}}{line}")
