"""`torchio-seg evaluate PREDICTED --truth TRUTH`: label maps against label maps, whoever predicted them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torchio_seg import machine
from torchio_seg.errors import UsageError
from torchio_seg.metrics import Measures, mean_dice, summarize
from torchio_seg.reports.scores import require_no_scores, write_scores
from torchio_seg.workflows import side_by_side
from torchio_seg.workflows.pairs import find_pairs, labels_of, parse_regions, require_one_grid, score_pair

if TYPE_CHECKING:
    from torchio_seg.progress import Progress
    from torchio_seg.records import RegionScore

MOST_WORKERS = 8
"""Unless more are asked for: each holds a case."""
WORTH_A_WORKER = 8
"""Cases, unless more workers are asked for: starting one takes longer than scoring a few."""


@dataclass(frozen=True)
class Folders:
    """What is compared, and how."""

    predicted: Path
    truth: Path
    regions: tuple[str, ...] = ()
    """As `name=1,4`; none: every value of the true label maps is a class."""
    ignore: int | None = None
    """The true value of voxels that are not scored."""
    only_pairs: bool = False
    output: Path | None = None
    """Folder of the scores; else that of the predictions."""
    overwrite: bool = False


def evaluate_folders(
    folders: Folders, measures: Measures, *, num_workers: int | None = None, progress: Progress
) -> tuple[list[RegionScore], Path]:
    """The scores of all cases, and where they were written (without suffix)."""
    if folders.predicted.resolve() == folders.truth.resolve():
        raise UsageError(
            f"{folders.predicted} and --truth are one folder; name the predictions and the true label maps"
        )
    stem = (folders.output or folders.predicted) / "scores"
    require_no_scores(stem, overwrite=folders.overwrite)
    regions = parse_regions(list(folders.regions), folders.ignore)
    pairs = find_pairs(folders.predicted, folders.truth, only_pairs=folders.only_pairs)
    require_one_grid(pairs)
    labels = labels_of(pairs, regions, folders.ignore)
    work = partial(score_pair, labels=labels, measures=measures)
    workers = num_workers or max(1, min(machine.num_processors(), MOST_WORKERS, len(pairs) // WORTH_A_WORKER))
    scores = [
        score for case in side_by_side.each(work, pairs, workers, what="cases", progress=progress) for score in case
    ]
    summaries = summarize(scores)
    facts = {
        "predicted": str(folders.predicted),
        "truth": str(folders.truth),
        "labels": {region.name: list(region.labels) for region in labels.regions},
        "ignore": labels.ignore,
        "measures": asdict(measures),
    }
    stem.parent.mkdir(parents=True, exist_ok=True)
    write_scores(stem, scores, summaries=summaries, mean=mean_dice(summaries), facts=facts)
    return scores, stem
