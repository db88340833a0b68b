from __future__ import annotations

import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from torchio_seg import checkpoint
from torchio_seg.checkpoint import CARD, TRAINER, WEIGHTS, ModelCard
from torchio_seg.errors import DataError
from torchio_seg.records import Labels
from torchio_seg.transforms.recipe import Recipe, Statistics

CARD_OF_TESTS = ModelCard(
    experiment={"name": "x", "nested": {"values": [1, 2.5, None]}},
    dataset="d",
    channels=("CT",),
    is_ct=True,
    labels=Labels.of_classes({0: "background", 4: "organ"}),
    recipe=Recipe((1.0, 1.5, 2.0), None, "percentile", statistics=(Statistics(-1.0, 2.0, 0.5, 0.25),)),
    patch_size=(32, 48, 64),
    progress={"epoch": 3, "mean_dice": None},
)


class Tied(torch.nn.Module):
    """Holds one tensor under two names, and one that is not contiguous."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first = torch.nn.Conv3d(2, 3, 3)
        self.again = self.first
        self.turned = torch.nn.Parameter(torch.randn(4, 5).T)


def test_what_is_saved_is_what_is_read(tmp_path: Path) -> None:
    network = Tied()
    folder = tmp_path / "best"
    checkpoint.save(folder, network, CARD_OF_TESTS, {"step": 7, "generator": torch.get_rng_state()})
    card = checkpoint.read_card(folder)
    assert (card.labels, card.recipe, card.patch_size) == (CARD_OF_TESTS.labels, CARD_OF_TESTS.recipe, (32, 48, 64))
    assert card.experiment == CARD_OF_TESTS.experiment
    other = Tied(seed=1)
    other.load_state_dict(checkpoint.read_weights(folder, card), strict=True)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    assert checkpoint.read_trainer_state(folder)["step"] == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best"]


def test_what_a_killed_process_left_goes_with_the_next_save(tmp_path: Path) -> None:
    for name in (".best.4194304.tmp", ".last.4194304.tmp"):
        (tmp_path / name).mkdir()
    checkpoint.save(tmp_path / "best", Tied(), CARD_OF_TESTS, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [".last.4194304.tmp", "best"]


def test_a_damaged_checkpoint_is_told_from_a_whole_one(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    checkpoint.save(folder, Tied(), CARD_OF_TESTS, {})
    card = checkpoint.read_card(folder)
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-3] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        checkpoint.read_weights(folder, card)
    (folder / CARD).write_text("{}")
    with pytest.raises(DataError, match="not a model folder"):
        checkpoint.read_card(folder)


def test_another_format_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    checkpoint.save(folder, Tied(), CARD_OF_TESTS, {})
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**card, "format": 99}))
    with pytest.raises(DataError, match="format 99"):
        checkpoint.read_card(folder)


class _Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("was_executed",)


def test_a_pickle_is_never_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "best"
    checkpoint.save(folder, Tied(), CARD_OF_TESTS, {})
    torch.save({"x": _Malicious()}, folder / TRAINER)
    with pytest.raises(DataError, match="cannot be read"):
        checkpoint.read_trainer_state(folder)
    (folder / TRAINER).write_bytes(pickle.dumps(_Malicious()))
    with pytest.raises(DataError, match="cannot be read"):
        checkpoint.read_trainer_state(folder)
    assert not (tmp_path / "was_executed").exists()


def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    """A process saves without end, is killed at odd moments, and what it leaves loads with its own hash."""
    script = textwrap.dedent(
        """
        import os, sys
        sys.path.insert(0, sys.argv[2])
        from pathlib import Path
        from test_checkpoint import CARD_OF_TESTS, Tied, checkpoint
        folder = Path(sys.argv[1]) / "last"
        for _ in sys.stdin:
            if (saving := os.fork()) == 0:  # with all that takes long imported
                for seed in range(100_000):
                    checkpoint.save(folder, Tied(seed), CARD_OF_TESTS, {"seed": seed})
                    if seed == 1:
                        print(os.getpid(), flush=True)
                os._exit(0)
            os.waitpid(saving, 0)
            print("ended", flush=True)
        """
    )
    folder = tmp_path / "last"
    command = [sys.executable, "-c", script, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starting:
        assert starting.stdin is not None
        assert starting.stdout is not None
        for attempt in range(6):
            print(file=starting.stdin, flush=True)
            saving = int(starting.stdout.readline())
            time.sleep(0.003 * attempt)
            os.kill(saving, signal.SIGKILL)
            assert starting.stdout.readline() == "ended\n"
            card = checkpoint.read_card(folder)
            seed = checkpoint.read_trainer_state(folder)["seed"]
            expected = Tied(seed).state_dict()
            for name, tensor in checkpoint.read_weights(folder, card).items():
                assert torch.equal(tensor, expected[name])


def test_a_save_that_fails_keeps_the_earlier_checkpoint_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "last"
    checkpoint.save(folder, Tied(0), CARD_OF_TESTS, {"seed": 0})

    class Unsavable:
        pass

    with pytest.raises(Exception, match=r"Unsavable|pickle"):
        checkpoint.save(folder, Tied(1), CARD_OF_TESTS, {"seed": Unsavable()})
    assert checkpoint.read_trainer_state(folder)["seed"] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


@pytest.mark.parametrize("room", [100, 20_000, 60_000])
def test_a_full_disk_keeps_the_earlier_checkpoint_and_says_so(tmp_path: Path, room: int) -> None:
    """Whichever file is cut: the card, the weights (43 kB) or what the trainer keeps (twice that)."""
    folder = tmp_path / "last"
    network = torch.nn.Linear(100, 100)
    state = {"averages": torch.zeros(20_000)}
    checkpoint.save(folder, network, replace(CARD_OF_TESTS, dataset="earlier"), state)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        with pytest.raises(DataError, match=r"last could not be written: .*make room and --resume"):
            checkpoint.save(folder, network, CARD_OF_TESTS, state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert checkpoint.read_card(folder).dataset == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last"]
