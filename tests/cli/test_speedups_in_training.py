"""A network with deep supervision, trained in less memory, with channels last and compiled, from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_runs import OWN_NETWORK, Call

from torchio_seg import checkpoint, components

NETWORK = {"name": "dynunet", "channels": [4, 8, 8, 8]}
Weights = dict[str, torch.Tensor]


@pytest.fixture
def train(trained: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Train one epoch on the shared phantoms with these settings; the run's folder."""
    monkeypatch.chdir(trained)

    def run(name: str, *settings: str) -> Path:
        more = ["network.channels=[4,8,8,8]", "training.epochs=1", *settings]
        words = [word for setting in more for word in ("--set", setting)]
        folder = tmp_path / name
        result = call("train", "--dataset", "phantom", *OWN_NETWORK, "--network", "dynunet", *words, "-o", folder)
        assert result.code == 0, result.err
        return folder

    return run


def weights_of(run: Path) -> Weights:
    last = run / "checkpoints" / "last"
    return checkpoint.read_weights(last, checkpoint.read_card(last))


def test_levels_computed_twice_train_to_the_same_weights(train: Callable[..., Path]) -> None:
    once = weights_of(train("once"))
    twice = weights_of(train("twice", "training.activation_checkpointing=true"))
    assert once.keys() == twice.keys()
    assert all(torch.equal(twice[key], tensor) for key, tensor in once.items())


def test_weights_trained_with_channels_last_are_saved_as_any_other(train: Callable[..., Path], call: Call) -> None:
    folder = train("last", "training.channels_last=true")
    weights = weights_of(folder)
    assert all(tensor.is_contiguous() for tensor in weights.values())
    card = checkpoint.read_card(folder / "checkpoints" / "last")
    network = components.assemble("networks", NETWORK, 4, card.labels.num_channels, card.patch_size)
    network.load_state_dict(weights, strict=True)
    image = Path("data/phantom/imagesTr/phantom_000.nii.gz")
    assert call("predict", image, "--model", folder, "-o", folder / "mask.nii.gz").code == 0
    assert call("train", "--resume", folder, "--epochs", 2).code == 0


@pytest.mark.slow
def test_a_compiled_training_saves_the_names_of_the_network_itself(train: Callable[..., Path]) -> None:
    plain = weights_of(train("plain"))
    compiled = weights_of(train("compiled", "training.compile=true"))
    assert plain.keys() == compiled.keys()
    for key, tensor in plain.items():
        torch.testing.assert_close(compiled[key], tensor, rtol=0.1, atol=1e-2)
