"""`torchio-seg crossval`, `train --repeats` and `--fold all` as a user types them."""

from __future__ import annotations

import inspect
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from small_runs import Call

from torchio_seg.cli.crossval import crossval
from torchio_seg.cli.train import train

SETTINGS = (
    "dataset.cases=4",
    "dataset.shape=[20,20,20]",
    "dataset.channels=1",
    "split.test=0",
    "sampling.patch_size=[16,16,16]",
    "sampling.patches_per_case=1",
    "training.epochs=1",
    "training.precision=fp32",
    "prediction.overlap=0",
    "network.channels=[4,8]",
    "device=cpu",
)
WORDS = [word for setting in SETTINGS for word in ("--set", setting)]
NOT_OF_A_SERIES = {"resume", "repeats", "fold"}
"""What `train` takes and a cross-validation cannot."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The current folder of every test here, whose phantoms are drawn once."""
    return tmp_path_factory.mktemp("crossval")


@pytest.fixture(autouse=True)
def _there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def interrupt_when(file: Path, word: str) -> threading.Thread:
    """Press Ctrl-C as soon as the file holds the word."""

    def wait() -> None:
        end = time.monotonic() + 600
        while time.monotonic() < end and not (file.exists() and word in file.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_every_flag_of_training_is_there() -> None:
    ours, theirs = (set(inspect.signature(command).parameters) for command in (crossval, train))
    assert theirs - ours == NOT_OF_A_SERIES
    assert ours - theirs == {"folds"}


def test_a_stopped_cross_validation_goes_on_and_predicts(call: Call, place: Path) -> None:
    words = ["--dataset", "phantom", *WORDS, "--set", "split.folds=2", "--set", "training.epochs=12"]
    interrupt = interrupt_when(place / "cv" / "fold_0" / "metrics.jsonl", '"step"')
    stopped = call("crossval", *words, "-o", "cv")
    interrupt.join()
    assert stopped.code == 130, stopped.err
    assert "stopped in fold_0 after step" in stopped.out
    [line] = [line for line in stopped.out.splitlines() if line.startswith("go on with")]
    assert line.endswith(f"crossval -o {place / 'cv'}")
    result = call("crossval", "-o", place / "cv")
    assert result.code == 0, result.err
    assert "Dice on 4 cases, each predicted by a model that was not trained on it" in result.out
    assert "deviation" in result.out
    assert "mean from" in result.out
    assert "post-processing" in result.out
    scan = place / "data" / "phantom" / "imagesTr" / "phantom_000.nii.gz"
    predicted = call("predict", scan, "--model", "cv", "-o", "out")
    assert predicted.code == 0, predicted.err
    assert "2 models, mean of the members' probabilities" in predicted.out
    assert (place / "out" / "phantom_000_seg.nii.gz").exists()
    assert call("evaluate", "cv").code == 2


def test_users_mistakes_end_in_one_message(call: Call) -> None:
    for words, message in (
        (["crossval"], "name an experiment or a layout: --dataset NAME"),
        (["crossval", "-o", "nowhere"], "nowhere holds no series of folds that could go on"),
        (["crossval", "--dataset", "phantom", "--folds", "one"], "--folds one: give numbers from 0 on"),
        (["train", "--repeats", 2, "--resume", "x"], "leave --resume out"),
    ):
        result = call(*words)
        assert result.code == 2
        assert message in result.err
        assert "Traceback" not in result.err


@pytest.mark.parametrize("command", [("crossval",), ("train", "--repeats", 2)])
def test_every_run_of_a_series_opens_a_program_of_weights_with_trust_alone_and_leaves_nothing_where_it_may_not(
    call: Call, place: Path, command: tuple[object, ...]
) -> None:
    with pytest.warns(DeprecationWarning, match=r"torch\.jit"):
        torch.jit.save(torch.jit.script(torch.nn.Conv3d(1, 2, 1)), place / "network.pt")
    words = [*command, "--dataset", "phantom", *WORDS, "--set", "split.folds=2", "--init-from", "network.pt"]
    refused, trusted = call(*words), call(*words, "--trust")
    assert (refused.code, trusted.code) == (2, 2)
    assert "--trust" in refused.err
    assert "another network" in trusted.err, "it was opened, and holds one convolution"
    assert call(*words, "-o", "refused").code == 2
    assert not (place / "runs").exists()
    assert not (place / "refused").exists()


def test_repeats_are_compared(call: Call) -> None:
    result = call("train", "--dataset", "phantom", *WORDS, "--repeats", 2, "-o", "rep")
    assert result.code == 0, result.err
    for word in ("seed_0", "seed_1", "deviation", "whole_tumor", "Dice on the validation cases"):
        assert word in result.out


def test_every_case_may_train(call: Call, place: Path) -> None:
    result = call("train", "--dataset", "phantom", *WORDS, "--fold", "all", "-o", "all")
    assert result.code == 0, result.err
    assert "4 training, 0 validation, 0 test cases" in result.err
    assert f"model      {Path('all') / 'checkpoints' / 'last'}" in result.out
    scan = place / "data" / "phantom" / "imagesTr" / "phantom_001.nii.gz"
    assert call("predict", scan, "--model", "all", "-o", "out").code == 0
