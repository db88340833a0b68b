"""Training in two processes on the CPU: what they hold in common, and what happens to one when the other ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from torchio_seg import checkpoint, components
from torchio_seg.config.resolve import load, shipped
from torchio_seg.devices import choose
from torchio_seg.distributed import ALONE, joined, require_unlaunched
from torchio_seg.errors import ConfigError, UsageError
from torchio_seg.progress import Silent
from torchio_seg.timing import Allowance, StepTimer, Upkeep
from torchio_seg.workflows.assembly import build_loss
from torchio_seg.workflows.cases import load_dataset
from torchio_seg.workflows.evaluate_run import evaluate_run
from torchio_seg.workflows.opening import load_model
from torchio_seg.workflows.train import Situation

SETTINGS = (
    *("dataset.cases=8", "dataset.shape=[32,32,32]", "split.test=3", "split.validation=3"),
    *("sampling.patch_size=[16,16,16]", "sampling.patches_per_case=12", "sampling.num_workers=0"),
    *("training.epochs=3", "training.batch_size=1", "training.accumulate=2", "training.validation_every=1"),
    *("training.precision=fp32", "training.ema=0.9", "optimization.learning_rate=0.001", "prediction.overlap=0.0"),
    *("network.name=segresnet", "network.init_filters=8", "network.blocks_down=[1,1]", "network.blocks_up=[1]"),
    "network.dropout=0.2",
)
STEPS_PER_EPOCH = 2 * 12 // 2 // 2
"""Two training cases of twelve patches, two processes, two batches of one patch a step."""


def launch(*words: object) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *map(str, words)]


def train(*words: object, settings: Sequence[str] = SETTINGS) -> list[str]:
    new = ["--dataset", "phantom", *(word for each in settings for word in ("--set", each))]
    return launch("-m", "torchio_seg", "train", "--device", "cpu", *words, *([] if "--resume" in words else new))


def records(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as torchrun has it
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each rank found, and in which order they came."""
    folder = tmp_path_factory.mktemp("found")
    command = launch(Path(__file__).with_name("two_ranks.py"), folder)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stderr
    facts: list[dict[str, Any]] = [json.loads((folder / f"rank_{rank}.json").read_text()) for rank in (0, 1)]
    assert (folder / "order").read_text().split() == ["0", "1"], "not in turn"
    return facts


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of two processes that was never stopped."""
    folder = tmp_path_factory.mktemp("work")
    done = subprocess.run(train("-o", "whole"), cwd=folder, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stderr
    (folder / "out").write_text(done.stdout)
    (folder / "err").write_text(done.stderr)
    return folder


def test_ranks_answer_together(found: list[dict[str, Any]]) -> None:
    first, second = (facts["primitives"] for facts in found)
    assert (first["rank"], second["rank"]) == ([0, 2, 0, 2], [1, 2, 1, 2])
    assert (first["parts"], second["parts"]) == ([[], [0], [0], [0, 2, 4]], [[], [], [1], [1, 3]])
    for facts in (first, second):
        assert (facts["broadcast"], facts["from_main"]) == ("from 0", 0)
        assert facts["gather"] == [{"rank": 0}, {"rank": 1}]
        assert facts["wholes"] == [[], ["0"], ["0", "1"], ["0", "1", "2", "3", "4"]]
        assert facts["any"] == [False, True, True]
        assert (facts["highest"], facts["mean"]) == (15, pytest.approx(0.6))


def test_a_process_alone_answers_itself() -> None:
    assert (ALONE.broadcast("a"), ALONE.gather("a"), ALONE.from_main(lambda: "a")) == ("a", ["a"], "a")
    assert (list(ALONE.part("abc")), ALONE.whole("abc")) == (list("abc"), list("abc"))
    assert (ALONE.any(True), ALONE.any(False), ALONE.highest(15), ALONE.mean(0.5)) == (True, False, 15, 0.5)
    network, tensor = torch.nn.Linear(1, 1), torch.ones(2)
    assert ALONE.share(network) is network
    assert ALONE.pool(tensor) is tensor
    assert ALONE.in_turn(lambda: "a") == "a"


@pytest.mark.parametrize("name", components.names("networks"))
def test_two_ranks_do_what_one_does_with_the_batches_of_both(found: list[dict[str, Any]], name: str) -> None:
    for facts in found:
        result = facts[f"network {name}"]
        assert result["moved"] > 1e-3
        assert result["apart"] < 1e-6 * result["moved"]
        assert result["loss"] < 1e-6
        assert result["same"], "the ranks' weights differ"


def test_dice_of_a_batch_sees_the_samples_of_all_ranks(found: list[dict[str, Any]]) -> None:
    for facts in found:
        assert facts["batch dice"]["apart"] < 1e-5 * facts["batch dice"]["moved"]
        assert facts["batch dice"]["loss"] < 1e-6
        assert facts["batch dice, each its own"]["apart"] > 1e-2 * facts["batch dice"]["moved"]


def test_samples_of_which_nothing_is_known_cost_nothing_on_any_rank(found: list[dict[str, Any]]) -> None:
    for facts in found:
        assert facts["unknown"]["apart"] < 1e-6 * facts["unknown"]["moved"]


@pytest.mark.parametrize("name", components.names("losses"))
@pytest.mark.parametrize("share", [0.75, 1.0])
def test_a_loss_of_the_whole_batch_knows_the_same_voxels_on_any_rank(
    found: list[dict[str, Any]], name: str, share: float
) -> None:
    """Where of one rank's samples a quarter is known, or nothing, and of the other's nearly all."""
    for facts in found:
        result = facts[f"unknown {name} {share}"]
        assert result["moved"] > 1e-4
        assert result["apart"] < 1e-4 * result["moved"]
        assert result["loss"] < 1e-6
        assert result["same"]


def test_a_batch_that_is_not_finite_on_one_rank_is_skipped_by_both(found: list[dict[str, Any]]) -> None:
    for facts in found:
        result = facts["not finite"]
        assert result["skipped"] == [True, False]
        assert result["unchanged"]
        assert result["backed_off"]
        assert result["scales"][0] == result["scales"][1]
        assert result["moved"]
        assert result["finite"]
        assert result["same"]


def test_gradients_cross_once_in_a_step_of_several_batches(found: list[dict[str, Any]]) -> None:
    assert [facts["exchanges"] for facts in found] == [1, 1]


def test_weights_without_a_gradient_are_named_before_anybody_waits_for_them(found: list[dict[str, Any]]) -> None:
    for facts in found:
        assert facts["idle"].startswith("2 weights of the network had no part in its logits (spare.weight, spare.bias)")


def test_one_run_is_written_and_told_once(work: Path) -> None:
    out, err = (work / "out").read_text(), (work / "err").read_text()
    assert out.count("Dice on the test cases") == 1
    assert err.count("2 processes: a step learns from 4 patches") == 1
    assert err.count("epoch 3  loss") == 1
    steps = records(work / "whole", "step")
    assert [record["step"] for record in steps] == list(range(1, 3 * STEPS_PER_EPOCH + 1))


def test_scores_of_divided_cases_are_those_of_one_process(
    work: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = work / "whole"
    monkeypatch.chdir(work)
    best = max(records(run, "validation"), key=lambda record: (record["mean_dice"], record["step"]))
    kept = json.loads((run / "evaluation" / "test.json").read_text())
    loaded = load_model(run, changes={"device": "cpu"})
    assert loaded.card.progress["step"] == best["step"]
    alone, _ = evaluate_run(loaded, "validation", progress=Silent())
    assert alone.mean_dice == best["mean_dice"]
    assert {summary.region: summary.mean_dice for summary in alone.summaries} == best["dice"]
    evaluate_run(loaded, "test", progress=Silent())
    assert json.loads((run / "evaluation" / "test.json").read_text()) == kept


def test_the_ranks_draw_from_generators_of_their_own(work: Path) -> None:
    generators = checkpoint.read_trainer_state(work / "whole" / "checkpoints" / "last")["generators"]
    assert len(generators) == 2
    assert not torch.equal(generators[0]["cpu"], generators[1]["cpu"])


def wait_for_step(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Until the journal has so many steps."""
    deadline = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline:
        if (run / "metrics.jsonl").exists() and (run / "metrics.jsonl").read_text().count('"step", ') >= step:
            return
        time.sleep(0.01)
    raise AssertionError(f"no step {step}: {process.communicate()}")


def ranks_of(run: Path, launcher: int) -> list[int]:
    """The processes that the launcher has started, by rank."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    environments = {int(child): Path(f"/proc/{child}/environ").read_text().split("\0") for child in children}
    return sorted(environments, key=lambda child: next(one for one in environments[child] if one.startswith("RANK=")))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "to"), [(signal.SIGTERM, "launcher"), (signal.SIGINT, "second")])
def test_a_signal_stops_both_and_what_resumes_is_bit_for_bit_the_unstopped(
    work: Path, number: signal.Signals, to: str
) -> None:
    run = work / f"stopped by {to}"
    with subprocess.Popen(train("-o", run), cwd=work, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        wait_for_step(run, 3, one)
        os.kill(one.pid if to == "launcher" else ranks_of(run, one.pid)[1], number)
        out, err = one.communicate(timeout=120)
    assert one.returncode != 0
    assert out.count("everything is saved") == 1, (out, err)
    assert "error:" not in err
    state = checkpoint.read_trainer_state(run / "checkpoints" / "last")
    assert 3 <= state["position"]["step"] < 3 * STEPS_PER_EPOCH

    again = subprocess.run(train("--resume", run), cwd=work, capture_output=True, text=True, check=False, timeout=1200)
    assert again.returncode == 0, again.stderr
    for name in ("last", "best"):
        ours, theirs = (folder / "checkpoints" / name for folder in (run, work / "whole"))
        weights = [checkpoint.read_weights(place, checkpoint.read_card(place)) for place in (ours, theirs)]
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[1])
        states = [checkpoint.read_trainer_state(place)["generators"] for place in (ours, theirs)]
        assert all(torch.equal(states[0][rank]["cpu"], states[1][rank]["cpu"]) for rank in (0, 1))
    assert [one["loss"] for one in records(run, "step")] == [one["loss"] for one in records(work / "whole", "step")]


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_rank_ends_the_other_with_one_message(work: Path, killed: int) -> None:
    run = work / f"killed {killed}"
    with subprocess.Popen(train("-o", run), cwd=work, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        wait_for_step(run, 3, one)
        os.kill(ranks_of(run, one.pid)[killed], signal.SIGKILL)
        begun = time.monotonic()
        _, err = one.communicate(timeout=120)
    assert time.monotonic() - begun < 25
    assert one.returncode != 0
    assert err.count("error: another process of this training ended without a word") == 1, err
    assert err.count("error: ") == 1


@pytest.mark.slow
def test_what_is_wrong_for_all_is_said_once(tmp_path: Path) -> None:
    command = train("-o", "run", settings=["dataset.cases=4", "training.best=luck"])
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode != 0
    assert done.stderr.count("error: training.best is 'luck'") == 1, done.stderr
    assert done.stderr.count("error: ") == 1
    assert not (tmp_path / "run").exists()


def test_processes_go_by_the_clock_of_one_of_them() -> None:
    """What this process measures is handed over, and what comes back is what counts."""
    said: list[Any] = []

    def agree(own: Any) -> Any:
        said.append(own)
        return {Upkeep: Upkeep(1.0, 2.0), bool: True, int: 7}[type(own)]

    allowance = Allowance(100.0, time.monotonic(), lambda: Upkeep(0.5, 0.5), agree)
    assert allowance.is_up()
    assert allowance.timing_is_over(StepTimer())
    assert allowance.reckon(1.0, 10.0) == 7
    assert allowance.upkeep == Upkeep(1.0, 2.0)
    assert said[:3] == [Upkeep(0.5, 0.5), False, False]
    assert said[3] == pytest.approx(83, abs=2)  # (98 - 2) / (1.05 + 1 / 10)


def test_processors_are_shared_by_the_processes_of_a_machine() -> None:
    assert ALONE.of_machine(8) == 8
    assert [replace(ALONE, num_local=num).of_machine(8) for num in (2, 3, 16)] == [4, 2, 1]


def test_the_sum_over_processes_is_no_option_of_a_loss() -> None:
    assert components.accepts("losses", "dice", "pool")
    with pytest.raises(ConfigError, match="pool"):
        components.assemble("losses", {"name": "dice", "pool": 1}, True)


def test_what_each_process_would_do_as_a_whole_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    require_unlaunched("crossval", "no torchrun")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="crossval works in one process, torchrun started 2: no torchrun"):
        require_unlaunched("crossval", "no torchrun")


def test_a_world_without_a_launcher_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(UsageError, match=r"WORLD_SIZE is 4, but not set: .*MASTER_ADDR.*torchrun"), joined():
        pass


def test_each_of_several_processes_has_a_device_of_its_own() -> None:
    assert choose("cpu", 1) == torch.device("cpu")
    for name in ("cuda:1", "mps", "gpu"):
        with pytest.raises(UsageError, match=rf"device '{name}' cannot be that of each of several processes"):
            choose(name, 1)
    if not torch.cuda.is_available():
        assert choose("auto", 1) == torch.device("cpu")
        with pytest.raises(UsageError, match="has no GPU of its own, there are 0"):
            choose("cuda", 0)


def test_smaller_batches_are_not_tried_by_several_processes() -> None:
    with pytest.raises(UsageError, match=r"--auto works in one process, these are 2.*--batch-size"):
        Situation(may_shrink=True, peers=replace(ALONE, num_ranks=2))


def test_a_loss_that_cannot_see_the_whole_batch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "def build(exclusive, *, batch: bool = False):\n    return lambda logits, masks: logits.sum()\n"
    (tmp_path / "own_loss.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    changes = {"dataset.root": str(tmp_path / "data"), "dataset.cases": 1, "dataset.shape": [16, 16, 16]}
    experiment = load(shipped()["phantom"], changes | {"loss.name": "own_loss.build", "loss.batch": True})
    dataset = load_dataset(experiment)
    build_loss(experiment, dataset)
    with pytest.raises(ConfigError, match=r"'own_loss.build' with batch: true.*2 that learn together.*batch=false"):
        build_loss(experiment, dataset, replace(ALONE, num_ranks=2))
