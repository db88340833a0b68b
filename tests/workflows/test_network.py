"""The network of an experiment: fitted to its patches, tried, and refused where its gradients would be wrong."""

from __future__ import annotations

import pytest
import torch

from torchio_seg.config.resolve import choose
from torchio_seg.errors import ConfigError
from torchio_seg.records import Dataset, Labels
from torchio_seg.workflows.network import build_network, fit_network, require_sound_gradients

DATASET = Dataset("d", ("a", "b"), Labels.of_classes({0: "background", 1: "x"}), ())
SMALL = {"network.name": "unet", "network.channels": [4, 8, 16], "network.norm": "batch"}


def test_a_patch_is_shortened_to_what_the_volumes_need_and_the_network_takes() -> None:
    experiment = choose("decathlon", None, {**SMALL, "sampling.patch_size": [64, 64, 64]})
    network, patch_size = fit_network(experiment, DATASET, [(33, 20, 50), (30, 22, 70)])
    assert patch_size == (36, 24, 64)
    assert network(torch.zeros(2, 2, *patch_size)).shape == (2, 2, *patch_size)


def test_a_network_with_deep_supervision_is_tried_as_it_predicts_and_goes_on_to_train() -> None:
    changes = {"network.name": "dynunet", "network.channels": [4, 8, 8, 8], "sampling.patch_size": [64, 64, 64]}
    network, patch_size = fit_network(choose("decathlon", None, changes), DATASET, [(33, 20, 50), (30, 22, 70)])
    assert patch_size == (40, 24, 64)
    logits = network(torch.zeros(2, 2, *patch_size))
    assert [tuple(each.shape) for each in logits] == [(2, 2, *patch_size), (2, 2, 20, 12, 32)]


def test_a_size_that_whole_volumes_do_not_use_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "torchio_seg")
    for size, said in ((64, "64 x 64 x 64, is not used"), (16, "patches are whole volumes, 16 x 16 x 16 voxels")):
        changes = {**SMALL, "sampling.mode": "whole", "sampling.patch_size": [size] * 3}
        _, patch_size = fit_network(choose("decathlon", None, changes), DATASET, [(16, 16, 16)])
        assert patch_size == (16, 16, 16)
        assert caplog.messages[-1].endswith(said)


def test_the_first_weights_depend_on_the_seed_alone() -> None:
    experiment = choose("decathlon", None, SMALL)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = build_network(experiment, DATASET, (64, 64, 64)).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second = build_network(experiment, DATASET, (64, 64, 64)).state_dict()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_bf16_is_refused_exactly_where_a_convolution_sees_two_voxels_first() -> None:
    network = build_network(choose("decathlon", None, SMALL), DATASET, (64, 64, 64))  # two halvings
    for side in (4, 8):
        with pytest.raises(ConfigError, match="bf16"):
            require_sound_gradients(network, 2, (side, 12, 12), "bf16")
        require_sound_gradients(network, 2, (side, 12, 12), "fp32")
    for side in (12, 16, 20):
        require_sound_gradients(network, 2, (side, 8, 8), "bf16")


@pytest.mark.parametrize("side", [12, 16, 20])
def test_bf16_gradients_are_right_where_they_are_not_refused(side: int) -> None:
    network = build_network(choose("decathlon", None, SMALL), DATASET, (64, 64, 64))
    images = torch.randn(2, 2, side, 8, 8, generator=torch.Generator().manual_seed(0))

    def gradients(enabled: bool) -> list[torch.Tensor]:
        network.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            logits = network(images)
        logits.float().square().mean().backward()
        return [p.grad.clone() for p in network.parameters() if p.grad is not None]

    for exact, short in zip(gradients(False), gradients(True), strict=True):
        assert (short - exact).norm() <= 0.4 * exact.norm() + 1e-3
