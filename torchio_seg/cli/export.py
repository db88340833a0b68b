"""torchio-seg export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from torchio_seg.cli.options import PatchSize, Trust
from torchio_seg.cli.places import place
from torchio_seg.cli.screen import Screen
from torchio_seg.cli.shared import gather
from torchio_seg.config.typed import parse_size


def export(
    model: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run or of a checkpoint.")],
    *,
    to: Annotated[
        str,
        typer.Option("--to", metavar="FORMAT", help="What to write: torchscript, torch-export, onnx or monai-bundle."),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE|FOLDER", parser=place, help="File to write, or folder of a MONAI bundle."
        ),
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    patch_size: PatchSize = None,
    trust: Trust = False,
) -> None:
    """Write a trained network in another format; it goes from normalised patches of one size to logits.

    torchio-seg export runs/latest --to onnx -o model.onnx

    What was written is read back and held against the original before it is kept. Labels and preprocessing go with it.
    """
    from torchio_seg.workflows.beforehand import EXPORTS, require_model, require_word

    require_word("--to", to, EXPORTS)
    require_model(model)
    from torchio_seg.workflows.export import export as workflow
    from torchio_seg.workflows.opening import load_model

    flags = {"prediction.patch_size": parse_size(patch_size, "--patch-size"), "device": "cpu"}
    loaded = load_model(model, changes=gather(flags, None), trust=trust)
    done = workflow(loaded, to, output, overwrite=overwrite)
    size = " x ".join(map(str, done.patch_size))
    Screen.shared().say(
        f"{done.path}: patches of {size} voxels, logits at most {done.difference:.2g} from the original's"
    )
