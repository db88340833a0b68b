"""torchio-seg config."""

from __future__ import annotations

import json

import typer

from torchio_seg.cli.options import ConfigFile, DatasetName, Root, Set
from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import command, gather

app = typer.Typer(
    help="Show the settings of an experiment, or their schema.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
@command
def show(*, dataset: DatasetName = None, config: ConfigFile = None, root: Root = None, set_: Set = None) -> None:
    """Print an experiment as it would be trained, every setting included; of a layout, before it is planned."""
    from torchio_seg.config.dumping import to_yaml
    from torchio_seg.config.resolve import choose, is_layout

    experiment = choose(dataset, config, gather({"dataset.root": root}, set_))
    if config is None and is_layout(dataset):
        Screen.shared().say("# Not planned for any data: edit the section dataset, then torchio-seg plan --config FILE")
    Screen.shared().say(to_yaml(experiment).rstrip())


@app.command()
@command
def schema() -> None:
    """Print the JSON schema of an experiment, for editors that complete and check YAML."""
    from torchio_seg.config.schema import to_schema

    Screen.shared().say(json.dumps(to_schema(), indent=2))
