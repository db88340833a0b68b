"""How hard the brain phantom is: a random forest on single voxels against the same forest with a neighbourhood.

    python benchmarks/phantom_difficulty.py [--quick]
    python benchmarks/phantom_difficulty.py --set noise=0.25 --set radius=8,12 --seeds 0

Cases are drawn as `torchio_seg/datasets/phantom.py` draws them. Intensities are z-scored for each case and channel.
Each forest is fitted twice, with classes in their natural shares and with balanced ones, and thresholds are chosen on
the training cases for the best Dice of each region; the better of the two on the test cases counts.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

import common
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier

from torchio_seg.phantoms import brain
from torchio_seg.phantoms.catalogue import has_lesion, random_numbers
from torchio_seg.phantoms.difficulty import Difficulty

if TYPE_CHECKING:
    from torchio_seg.phantoms.scanner import Phantom

SHAPE = (64, 64, 48)
NUM_TRAINING, NUM_TEST = 12, 8
VOXELS_PER_CASE = 6000
LEAF = 20
"""Fewest voxels in a leaf; smaller leaves follow the noise."""
STRIDE = 7
"""Every seventh voxel of the training cases serves to choose thresholds."""
SCALES = (1.0, 2.0, 4.0)
"""Deviations in voxels of the Gaussians that give the second forest its neighbourhood."""
THRESHOLDS = np.linspace(0.05, 0.95, 19)

Matrix = NDArray[np.float32]


def main() -> None:
    given = _arguments()
    settings = Difficulty(**dict(given.set))
    content: dict[str, Any] = {
        "shape": SHAPE,
        "training_cases": NUM_TRAINING,
        "test_cases": NUM_TEST,
        "difficulty": dataclasses.asdict(settings),
        "seeds": {str(seed): measure(seed, settings) for seed in given.seeds[: 1 if given.quick else None]},
    }
    what = "mean Dice of test cases with a lesion, natural or balanced classes, whichever is better"
    if not given.set or given.output is not None:
        common.keep(common.output_of(given, "phantom_difficulty"), what, ("numpy", "scipy", "scikit-learn"), content)


def measure(seed: int, settings: Difficulty) -> dict[str, Any]:
    """Both forests on the cases of one seed."""
    cases = [_case(seed, index, settings) for index in range(NUM_TRAINING + NUM_TEST)]
    outcome: dict[str, Any] = {}
    for name, features in (("single voxels", single_voxels), ("with neighbourhood", with_neighbourhood)):
        tables = [features(case) for case in cases]
        attempts = {mode: _fit_and_score(tables, cases, mode, seed) for mode in ("natural", "balanced")}
        outcome[name] = max(attempts.values(), key=lambda scores: scores["mean"])
        outcome[name]["all attempts"] = {mode: scores["mean"] for mode, scores in attempts.items()}
        print(f"seed {seed}, {name}: {outcome[name]}", flush=True)
    return outcome


def single_voxels(case: Phantom) -> Matrix:
    """The intensities of a voxel, over the deviation of the case's non-zero voxels."""
    return _standardized(case).reshape(len(case.image), -1).T


def with_neighbourhood(case: Phantom) -> Matrix:
    """Those of its surroundings too, and how far it lies from the middle and the surface of the head."""
    image = _standardized(case)
    smooth = [np.stack([ndimage.gaussian_filter(channel, scale) for channel in image]) for scale in SCALES]
    head = ndimage.gaussian_filter(image.mean(axis=0), 2.0)
    head = ndimage.binary_fill_holes(head > (head.max() + head.min()) / 3)
    inside = ndimage.distance_transform_edt(head)[None]
    middle = np.argwhere(head).mean(axis=0)
    from_middle = np.sqrt(sum((grid - place) ** 2 for grid, place in zip(np.indices(head.shape), middle, strict=True)))
    columns = np.concatenate([image, *smooth, inside, from_middle[None]]).astype(np.float32)
    return columns.reshape(len(columns), -1).T


def _standardized(case: Phantom) -> Matrix:
    image = case.image.astype(np.float32)
    return np.stack([(c - c[c != 0].mean()) / c[c != 0].std() for c in image])


def _fit_and_score(tables: list[Matrix], cases: list[Phantom], mode: str, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    labels = [case.label.ravel() for case in cases]
    picks = [_pick(label, mode, rng) for label in labels[:NUM_TRAINING]]
    forest = RandomForestClassifier(100, min_samples_leaf=LEAF, max_features=0.5, n_jobs=2, random_state=seed)
    forest.fit(
        np.concatenate([table[pick] for table, pick in zip(tables, picks, strict=False)]),
        np.concatenate([label[pick] for label, pick in zip(labels, picks, strict=False)]),
    )
    known = [_region_chances(forest, table[::STRIDE]) for table in tables[:NUM_TRAINING]]
    thresholds = _best_thresholds(known, [label[::STRIDE] for label in labels[:NUM_TRAINING]])
    chances = [_region_chances(forest, table) for table in tables[NUM_TRAINING:]]
    tested = list(zip(chances, labels[NUM_TRAINING:], strict=True))
    scores = {}
    for region, (name, members) in enumerate(brain.REGIONS.items()):
        dice = [_dice(c[region] > thresholds[region], np.isin(label, members)) for c, label in tested if label.any()]
        scores[name] = round(float(np.mean(dice)), 4)
    return {**scores, "mean": round(float(np.mean(list(scores.values()))), 4)}


def _pick(label: NDArray[np.uint8], mode: str, rng: np.random.Generator) -> NDArray[np.int64]:
    if mode == "natural":
        return rng.choice(label.size, VOXELS_PER_CASE, replace=False)
    values = np.unique(label)
    each = VOXELS_PER_CASE // len(brain.LABELS)
    return np.concatenate([rng.choice(np.flatnonzero(label == value), each) for value in values])


def _region_chances(forest: RandomForestClassifier, table: Matrix) -> Matrix:
    chances = forest.predict_proba(table)
    return np.stack([chances[:, list(members)].sum(axis=1) for members in brain.REGIONS.values()]).astype(np.float32)


def _best_thresholds(chances: list[Matrix], labels: list[NDArray[np.uint8]]) -> list[float]:
    best = []
    for region, members in enumerate(brain.REGIONS.values()):
        pairs = [(c[region], np.isin(label, members)) for c, label in zip(chances, labels, strict=True) if label.any()]
        means = [np.mean([_dice(c > threshold, truth) for c, truth in pairs]) for threshold in THRESHOLDS]
        best.append(float(THRESHOLDS[int(np.argmax(means))]))
    return best


def _dice(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float(2 * (predicted & truth).sum() / max(1, predicted.sum() + truth.sum()))


def _case(seed: int, index: int, settings: Difficulty) -> Phantom:
    rng = random_numbers(seed, index)
    return brain.synthesize(SHAPE, rng, lesion=has_lesion(index), difficulty=settings)


def _arguments() -> argparse.Namespace:
    parser = common.parser(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--set", type=_setting, action="append", default=[], metavar="NAME=NUMBER[,NUMBER]")
    return parser.parse_args()


def _setting(words: str) -> tuple[str, float | tuple[float, ...]]:
    name, _, value = words.partition("=")
    numbers = tuple(float(number) for number in value.split(","))
    return name, numbers if len(numbers) > 1 else numbers[0]


if __name__ == "__main__":
    main()
