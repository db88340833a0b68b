"""torchio-seg check."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from torchio_seg.cli.options import ConfigFile, DatasetName, Fold, Root, Set
from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import gather, parse_fold

if TYPE_CHECKING:
    from torchio_seg.config.sections import Experiment
    from torchio_seg.workflows.check import Checked, Fixed


def check(  # noqa: PLR0913 (flags are what the command line is made of)
    *,
    dataset: DatasetName = None,
    config: ConfigFile = None,
    root: Root = None,
    fold: Fold = None,
    set_: Set = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file again, even those that have not changed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of lines.")] = False,
    fix: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write a copy of the data there, in which what can safely be mended is mended.",
        ),
    ] = None,
) -> None:
    """Check every file of a data set, and list everything that is wrong with it.

    torchio-seg check --dataset decathlon --root Task04_Hippocampus

    Ends with 0 where training can begin, with 1 where something must be mended first.
    """
    from torchio_seg.config.resolve import choose

    experiment = choose(dataset, config, gather({"dataset.root": root, "split.fold": parse_fold(fold)}, set_))
    from torchio_seg.errors import DataError
    from torchio_seg.workflows import check as workflow

    screen = Screen.shared()
    try:
        checked = workflow.check_experiment(experiment, verify=verify, progress=screen)
    except DataError as error:
        if not as_json:
            raise
        _print_json(experiment, workflow.refused(error).as_json())
        raise typer.Exit(1) from error
    document = checked.report.as_json()
    if not as_json:
        _show(experiment, checked)
    if fix is not None:
        fixed = workflow.fix(experiment, checked, fix, progress=screen)
        checked = fixed.checked or checked
        left = [finding.as_json() for finding in checked.report.errors]
        document["fixed"] = {"root": str(fix.resolve()), "changes": fixed.changes, "left": left}
        if not as_json:
            _show_fixed(experiment, fix, fixed)
    if as_json:
        _print_json(experiment, document)
    if checked.report.errors:
        raise typer.Exit(1)


def _show(experiment: Experiment, checked: Checked) -> None:
    """What was found, by severity."""
    from torchio_seg.check.copying import home_of
    from torchio_seg.check.text import shown, to_lines
    from torchio_seg.workflows.cases import find_root

    screen = Screen.shared()
    root = home_of(find_root(experiment))
    cases = checked.dataset.cases
    names = {case.id for case in cases} | {shown(path, root) for case in cases for path in case.files}
    for line in to_lines(checked.report, root, width=max(40, screen.results.width), names=names):
        screen.say(line)


def _show_fixed(experiment: Experiment, target: Path, fixed: Fixed) -> None:
    """What was changed in the copy, and what is still wrong with it."""
    from torchio_seg.check.text import SHOWN, counted

    screen = Screen.shared()
    if fixed.checked is None:
        screen.say("nothing that can be mended without guessing, so no copy was written")
        return
    screen.say(f"\nmended copy in {target}: {counted(len(fixed.changes), 'change')}")
    for change in fixed.changes[:SHOWN]:
        voxels = f" ({counted(int(change['voxels']), 'voxel')})" if change["voxels"] else ""
        screen.say(f"  {change['file']}\n    {change['what']}{voxels}")
    if len(fixed.changes) > SHOWN:
        screen.say(f"  ... and {len(fixed.changes) - SHOWN} more; fixes.json in the copy lists them")
    section = experiment.dataset.model_copy(update={"root": target})
    _show(experiment.model_copy(update={"dataset": section}), fixed.checked)


def _print_json(experiment: Experiment, document: dict[str, Any]) -> None:
    from torchio_seg.workflows.cases import find_root

    about = {"dataset": experiment.name, "root": str(find_root(experiment).resolve())}
    sys.stdout.write(json.dumps(about | document, indent=2, allow_nan=False) + "\n")
