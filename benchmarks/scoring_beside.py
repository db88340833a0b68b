"""What scoring cases while the next ones are predicted saves: six of BraTS's size, by all metrics.

The prediction is waited for, as for a GPU, and takes as long as is said; nothing is kept but what is printed.

    python benchmarks/scoring_beside.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator

from bench_metrics import REGIONS, SPACING, TOLERANCE, Mask, make_masks
from common import in_turn, machine

from torchio_seg.metrics import METRICS, Measures, score_case
from torchio_seg.workflows.side_by_side import trailing

NUM_CASES, THREADS = 6, (0, 1, 2, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prediction", type=float, default=1.0, help="seconds of a case")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    truth, predictions = make_masks()
    measures = Measures(tuple(METRICS), TOLERANCE)

    def predicted() -> Iterator[Mask]:
        for _ in range(NUM_CASES):
            time.sleep(arguments.prediction)
            yield predictions["near"]

    def score(masks: Mask) -> object:
        return score_case("case", masks, truth, REGIONS, measures=measures, spacing=SPACING)

    def run(threads: str, _: int) -> float:
        start = time.perf_counter()
        found = list(trailing(score, predicted(), int(threads), num_bytes=lambda masks: 3 * masks.nbytes))
        assert all(scores == found[0] for scores in found)
        return time.perf_counter() - start

    print(machine(("numpy", "scipy")))
    for threads, seconds in in_turn(tuple(map(str, THREADS)), arguments.rounds, run).items():
        print(f"{threads} threads beside: {statistics.median(seconds):.1f} s for {NUM_CASES} cases")


if __name__ == "__main__":
    main()
