"""What every command has in common: -v, -q, --debug, and the ways to change settings."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from torchio_seg import notices
from torchio_seg.cli.failure import show_failure
from torchio_seg.cli.options import Debug, Quiet, Verbose
from torchio_seg.cli.screen import Screen
from torchio_seg.errors import PeerError, TorchioSegError, UsageError

BEGUN = time.monotonic()
"""When the command did, nearly: before anything heavy is imported."""
PATIENCE_S = 10.0
"""Of a process that leaves it to another to speak."""


def command(function: Callable[..., None]) -> Callable[..., None]:
    """The function with the options that every command has: -v, -q, --debug."""

    @functools.wraps(function)
    def run(*args: Any, verbose: bool, quiet: bool, debug: bool, **kwargs: Any) -> None:
        screen = Screen.shared()
        screen.debug = debug
        screen.listen(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
        try:
            with notices.once():
                function(*args, **kwargs)
        except (KeyboardInterrupt, SystemExit) as end:  # which typer would turn into an exit without a word
            raise typer.Exit(show_failure(end)) from end

    signature = inspect.signature(function, eval_str=True)
    common = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in (("verbose", Verbose), ("quiet", Quiet), ("debug", Debug))
    ]
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *common])  # type: ignore[attr-defined]
    return run


@contextmanager
def told_once() -> Iterator[None]:
    """Of the processes that torchrun starts with the same words, only the first says what is wrong with them."""
    try:
        yield
    except TorchioSegError as error:
        if os.environ.get("RANK", "0") == "0":
            raise
        Screen.shared().say_only_failures()
        time.sleep(PATIENCE_S)  # a launcher that sees one process end may end the others before they have spoken
        raise PeerError(str(error)) from error


def typed(path: Path) -> str:
    """A path as it can be pasted into a shell."""
    return shlex.quote(str(path))


def program() -> str:
    """How this command line is called from here: its name where the path finds it, else the way to it."""
    script = Path(sys.executable).with_name("torchio-seg")
    if shutil.which("torchio-seg") == str(script):
        return "torchio-seg"
    return str(script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script)


def gather(flags: Mapping[str, Any], assignments: list[str] | None) -> dict[str, Any]:
    """The changes that plain flags and --set ask for, by dotted key; --set wins. A wrong flag is refused by name."""
    from torchio_seg.config.flags import require_values
    from torchio_seg.config.resolve import parse_set

    require_values(flags)
    given = {key: str(value) if isinstance(value, Path) else value for key, value in flags.items() if value is not None}
    return given | parse_set(assignments or [])


def require_known(
    dataset: str | None,
    config: Path | None,
    changes: Mapping[str, Any],
    *,
    assignments: list[str] | None = None,
    begun: Path | None = None,
) -> None:
    """Refuse at once an experiment that is not there or cannot be; what is planned first is judged by the plan.

    `assignments`: those of the changes that --set made. `begun`: a folder that may know the experiment where none is
    named.
    """
    from torchio_seg.config.resolve import choose, is_layout

    if config is None and (is_layout(dataset) or (dataset is None and begun is not None)):
        return
    experiment = choose(dataset, config, changes)
    if experiment.sampling.mode == "whole" and changes.get("sampling.patch_size") is not None:
        raise UsageError(
            f"{_as_given('sampling.patch_size', assignments)}: {experiment.name} trains on whole volumes "
            "(sampling.mode: whole), so that there is no size to choose; leave it out, change the volumes by --set "
            "preprocessing.resize=[96,96,96], or cut patches by --set sampling.mode=foreground"
        )


def _as_given(key: str, assignments: list[str] | None) -> str:
    """How the user named a setting that was changed: by --set, which wins, or by its flag."""
    from torchio_seg.config.flags import FLAGS
    from torchio_seg.config.resolve import parse_set

    return f"--set {key}" if key in parse_set(assignments or []) else FLAGS[key]


def tracking(wandb: str | None) -> dict[str, str | None]:
    """The flags that --wandb stands for."""
    return {"tracker.name": None if wandb is None else "wandb", "tracker.mode": wandb}


def one_length(changes: dict[str, Any]) -> dict[str, Any]:
    """The changes, in which the one length of training that they give takes the place of the experiment's."""
    lengths = [
        key for key in ("training.epochs", "training.steps", "training.max_time") if changes.get(key) is not None
    ]
    if "training.epochs" in lengths and len(lengths) > 1:
        raise UsageError("--epochs, --steps and --max-time each say how long training is; give one of them")
    if not lengths:
        return changes
    return {"training.steps": None, "training.max_time": None} | changes


def parse_fold(text: str | None) -> int | str | None:
    """A fold as the user types it; what is no number is judged with the other settings."""
    return int(text) if text is not None and text.isdecimal() else text


def parse_overlap(text: str | None) -> float | str | None:
    """An overlap as the user types it; what is neither a number nor voxels is judged with the other settings."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def require_experiment(weights: Path | None, dataset: str | None, config: Path | None) -> None:
    """Hold that weights come with an experiment, and an experiment with weights."""
    if weights is not None and dataset is None and config is None:
        raise UsageError(f"--weights {weights} says nothing of its network: name the experiment too, --config FILE")
    if weights is None and (dataset is not None or config is not None):
        raise UsageError("--config and --dataset say what the file of --weights is for; a model of ours needs neither")
