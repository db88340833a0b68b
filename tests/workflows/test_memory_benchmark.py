"""The memory benchmark: which points, what is kept, what is told."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from measured_points import MEGA, TRAINING, bench, filled, taken

from torchio_seg.errors import DataError, UsageError
from torchio_seg.network_sizes import Size
from torchio_seg.workflows.memory_benchmark import Results, Selection, distinct, lines, read, run
from torchio_seg.workflows.memory_output import rows, to_csv, write
from torchio_seg.workflows.memory_points import Point
from torchio_seg.workflows.memory_setup import Wishes, make_bench
from torchio_seg.workflows.memory_tables import tables


@pytest.mark.parametrize(
    ("network", "edge", "size"),
    [
        ("unet", 24, (32, 32, 32)),
        ("segresnet", 24, (24, 24, 24)),
        ("unet", None, (240, 240, 160)),
        ("dynunet", None, (256, 256, 160)),
        ("unetr", None, (240, 240, 160)),
        ("unet", 192, (192, 192, 160)),
    ],
)
def test_a_size_is_what_the_network_takes_and_no_longer_than_the_volume(
    network: str, edge: int | None, size: Size
) -> None:
    assert bench((240, 240, 155)).size_of(Point(network, "training", edge, "fp32")) == size


def test_the_largest_case_counts_and_whole_volumes_to_train_on_lose_nothing(hippocampus: Path) -> None:
    given = Wishes("decathlon", changes={"device": "cpu", "dataset.root": str(hippocampus)})
    largest, box = make_bench(given)[1].shape, make_bench(replace(given, with_accuracy=True))[1].shape
    assert all(side <= whole for side, whole in zip(largest, box, strict=True))
    assert largest != box, "no case is the longest on every axis"


def test_every_way_of_blending_is_compared_at_two_patches_and_others_are_measured_in_one_way() -> None:
    chosen = Selection(("unet",), (32, 64, 96), ("fp32",))
    points = list(chosen.points())
    assert len(set(points)) == len(points)
    training = [point for point in points if point.work == "training"]
    assert {(point.patch, point.checkpointing) for point in training} == {
        (edge, on) for edge in (32, 64, 96, None) for on in (False, True)
    }
    others = {(each, way) for each in ("hann", "average", "crop") for way in ("streaming", "full")}
    for edge in (32, 64, 96, None):
        own = [point for point in points if point.work == "prediction" and point.patch == edge]
        ways = {(point.blending, point.aggregation) for point in own}
        assert ways == {("gaussian", "streaming")} | (others if edge in {32, 64} else set()), edge
    whole_alone = Selection(("unet",), (), ("fp32",), training=False).points()
    assert [(point.patch, point.blending) for point in whole_alone] == [(None, "gaussian")]


def test_all_networks_are_trained_before_any_predicts_and_blendings_come_last() -> None:
    points = list(Selection(("unet", "dynunet"), (32, 64), ("fp32",), (False,)).points())
    kinds = [(point.work, point.blending in {None, "gaussian"}) for point in points]
    assert kinds == sorted(kinds, key=[("training", True), ("prediction", True), ("prediction", False)].index)
    assert [point.network for point in points[:6]] == ["unet"] * 3 + ["dynunet"] * 3


def test_what_comes_to_one_size_is_measured_and_shown_once(tmp_path: Path) -> None:
    results = Results(tmp_path / "points.json", bench((48, 48, 48)))
    whole, patch, other = TRAINING, replace(TRAINING, patch=40), replace(TRAINING, patch=16)
    results.measured = {point: taken(results.bench, point.patch) for point in (other, patch)}
    assert results.points[patch].size == results.bench.size_of(whole), "unet takes no 40"
    assert results.take(whole) == replace(results.points[patch], point=whole)
    assert distinct(results.points) == [other, whole]


def test_a_budget_counts_a_process_or_what_would_lie_on_a_gpu() -> None:
    on_cpu = replace(taken(bench(), 32), held=50 * MEGA)
    assert on_cpu.counted(as_gpu=False) == on_cpu.peak
    assert on_cpu.counted(as_gpu=True) == 50 * MEGA + on_cpu.peak - on_cpu.before
    on_gpu = replace(on_cpu, reserved=10**9, device_used=2 * 10**9)
    assert (on_gpu.memory, on_gpu.counted(as_gpu=True)) == (10**9, 2 * 10**9)


def test_the_line_is_that_of_the_patches_alone(tmp_path: Path) -> None:
    results = filled(tmp_path, (32, 64, 96, None))
    results.measured[TRAINING] = replace(results.points[TRAINING], peak=10**11)
    line = lines(results.points, lambda found: found.peak)[TRAINING]
    assert line.fixed == pytest.approx(300 * MEGA)
    assert line.apiece == pytest.approx(500)


def test_results_go_on_only_with_the_same_benchmark(tmp_path: Path) -> None:
    results = filled(tmp_path, (32, 64))
    results.save()
    again = Results.open(results.path, bench())
    assert again.points == results.points
    with pytest.raises(UsageError, match="other shape"):
        Results.open(results.path, bench((64, 64, 64)))
    assert Results.open(results.path, bench((64, 64, 64)), overwrite=True).points == {}
    with pytest.raises(UsageError, match=r"settings.optimization.optimizer \(adamw, now sgd\)"):
        Results.open(results.path, bench(**{"optimization.optimizer": "sgd"}))
    results.path.write_text('{"points": [')
    with pytest.raises(DataError, match="no result"):
        read(results.path)


@pytest.mark.parametrize(
    ("limit_then", "limit_now", "fitted", "is_known"),
    [(10, 20, False, False), (20, 10, False, True), (20, 10, True, True), (10, 20, True, True)],
)
def test_another_limit_measures_again_only_what_it_may_change(
    tmp_path: Path, limit_then: int, limit_now: int, fitted: bool, is_known: bool
) -> None:
    own = bench(limit=limit_now * 10**8)
    results = Results(tmp_path / "points.json", own)
    found = replace(taken(own, 32), limit=limit_then * 10**8, fits=fitted, why="" if fitted else "memory")
    results.measured[found.point] = found
    assert (results.known(found.point) is not None) == is_known


def test_a_lower_limit_is_one_that_an_earlier_point_does_not_fit(tmp_path: Path) -> None:
    own = bench(limit=100 * MEGA)
    results = Results(tmp_path / "points.json", own)
    found = replace(taken(own, 32), limit=10**12)
    results.measured[found.point] = found
    results.save()
    assert results.take(found.point).fits is False
    assert results.points[found.point].why == "memory"
    assert Results.open(results.path, replace(own, limit=10**12)).take(found.point) == found, "it is not forgotten"


def test_a_point_that_took_too_long_is_measured_again_only_when_it_may_last_longer(tmp_path: Path) -> None:
    own = replace(bench(), most_seconds=60.0)
    results = Results(tmp_path / "points.json", own)
    found = replace(taken(own, 32), fits=False, why="time", most_seconds=60.0)
    results.measured[found.point] = found
    assert results.known(found.point) == found
    assert Results(results.path, replace(own, most_seconds=61.0), results.points).known(found.point) is None


def test_larger_patches_than_one_that_took_too_long_are_recorded_and_not_tried(tmp_path: Path) -> None:
    results = filled(tmp_path, (32,))
    slow = replace(TRAINING, patch=48)
    results.measured[slow] = replace(taken(results.bench, 48), fits=False, why="time", most_seconds=10**6)
    run(results, Selection(("unet",), (32, 48, 64), ("fp32",), (False,), prediction=False))
    left = [results.points[replace(TRAINING, patch=edge)] for edge in (64, None)]
    assert [found.fits for found in left] == [None, None]
    assert all("48 x 48 x 48 took too long" in found.why for found in left)
    (table,) = tables(rows(results.points))
    assert [row[1] for row in table.parts["fp32"]][1:] == ["too slow", "not tried", "not tried"]


def test_networks_with_their_own_defaults_share_a_folder_and_changed_ones_do_not() -> None:
    plain = bench().identity()
    assert bench(**{"network.name": "segresnet"}).identity() == plain
    assert bench(**{"network.channels": [8, 16]}).identity() != plain


def test_what_cannot_be_computed_is_recorded_with_its_reason() -> None:
    refused = bench().measure(Point("nonet", "training", 64, "fp32"))
    assert refused.fits is None
    assert "nonet" in refused.why


CRASHING = """
import os
import torch

class Crashing(torch.nn.Module):
    def forward(self, images):
        os._exit(3)

def build(in_channels, out_channels, patch_size):
    return Crashing()
"""


def test_a_crash_is_told_and_measured_again_and_a_refusal_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_networks").mkdir()
    (tmp_path / "own_networks" / "crashing.py").write_text(CRASHING)
    monkeypatch.syspath_prepend(tmp_path)
    results = Results(tmp_path / "points.json", bench((32, 32, 32), **{"network.name": "own_networks.crashing"}))
    crash = results.take(Point("own_networks.crashing", "prediction", 16, "fp32", False, "gaussian", "streaming"))
    assert crash.fits is None
    assert crash.size == (16, 16, 16), "its own, not the volume's"
    assert crash.why.startswith("a trial ended with 3")
    refusal = results.take(Point("nonet", "training", 64, "fp32"))
    again = Results.open(results.path, results.bench)
    assert again.points[crash.point] == crash
    assert again.known(crash.point) is None
    assert again.known(refusal.point) == refusal


def test_csv_has_a_row_a_point_and_pictures_are_written(tmp_path: Path) -> None:
    results = filled(tmp_path, (32, 64, None))
    files = write(tmp_path, results.points, rows(results.points), is_gpu=False)
    assert {path.name for path in files} == {"points.csv", "unet.svg", "unet.png"}
    found = list(csv.DictReader(io.StringIO((tmp_path / "points.csv").read_text())))
    assert [row["patch"] for row in found] == ["32", "64", ""]
    assert found[0]["memory_bytes"] == str(taken(results.bench, 32).memory)
    assert to_csv([]) == "network\n"


@pytest.mark.slow
def test_points_are_measured_kept_and_not_measured_again(tmp_path: Path) -> None:
    own = bench((48, 48, 32), limit=3 * 10**9, **{"network.channels": [8, 16, 32]})
    results = Results.open(tmp_path / "points.json", own)
    chosen = Selection(("unet",), (32,), ("fp32",), (False,))
    run(results, chosen)
    kept = results.path.read_bytes()
    assert all(found.fits and found.memory > 0 and found.seconds for found in results.points.values())
    again = Results.open(results.path, own)
    run(again, chosen)
    assert results.path.read_bytes() == kept
    tight = Results(tmp_path / "tight.json", replace(own, limit=500 * MEGA))
    run(tight, replace(chosen, prediction=False))
    assert all(found.fits is False and found.asked > 400 * MEGA for found in tight.points.values())


BARE = """
import resource, sys, torch
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
side = int(sys.argv[1])
def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS:")) * 1024
network = UNet(3, 4, 4, (16, 32, 64, 128, 256), (2, 2, 2, 2), num_res_units=2)
optimizer = torch.optim.AdamW(network.parameters())
loss_of = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True)
images, labels = torch.randn(1, 4, side, side, side), torch.randint(4, (1, 1, side, side, side))
before = resident()
for _ in range(3):
    optimizer.zero_grad(set_to_none=True)
    loss_of(network(images), labels).backward()
    optimizer.step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("edge", [64, 96, 112])
def test_a_step_takes_what_a_loop_without_any_code_of_ours_takes(edge: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(edge)], capture_output=True, text=True, check=True, env=os.environ
    )
    measured = bench((128, 128, 128)).measure(replace(TRAINING, patch=edge))
    assert measured.memory == pytest.approx(int(done.stdout), rel=0.1)
