"""What scoring cases in threads while the next ones are predicted saves: six of BraTS's size, by all metrics.

The prediction is waited for, a second a case, as for a GPU.

    python benchmarks/scoring_beside.py
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import common
from bench_metrics import QUICK_SHAPE, REGIONS, SHAPE, SPACING, TOLERANCE, Mask, make_masks

from torchio_seg.metrics import METRICS, Measures, score_case
from torchio_seg.workflows.side_by_side import trailing

NUM_CASES, THREADS, PREDICTION_S = 6, ("0", "1", "2", "4"), 1.0
MEASURED = ("wall_s", "cpu_s", "peak_mib")


def main() -> None:
    given = common.parser(__doc__, rounds=3).parse_args()
    shape, rounds, wait = (QUICK_SHAPE, 1, 0.05) if given.quick else (SHAPE, given.rounds, PREDICTION_S)
    truth, predictions = make_masks(shape)
    measures = Measures(tuple(METRICS), TOLERANCE)

    def predicted() -> Iterator[Mask]:
        for _ in range(NUM_CASES):
            time.sleep(wait)
            yield predictions["near"]

    def score(masks: Mask) -> object:
        return score_case("case", masks, truth, REGIONS, measures=measures, spacing=SPACING)

    def run(threads: str, _: int) -> dict[str, float]:
        def work() -> None:
            found = list(trailing(score, predicted(), int(threads), num_bytes=lambda masks: 3 * masks.nbytes))
            assert all(scores == found[0] for scores in found)

        return common.measured(work)

    rows = common.rows("threads", common.in_turn(THREADS, rounds, run), MEASURED)
    for row in rows:
        row["of_none"] = common.ratios(row, rows[0], MEASURED[:1])
    common.print_table(rows, ("threads", *MEASURED))
    what = f"{NUM_CASES} cases, each waited for {wait} s as if predicted, scored by all metrics in threads beside"
    common.keep(common.output_of(given, "scoring_beside"), what, ("numpy", "scipy"), {"shape": shape, "results": rows})


if __name__ == "__main__":
    main()
