"""What every network keeps, tested over whatever lies in the folder."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from torchio_seg import checkpoint, components
from torchio_seg.checkpoint import ModelCard
from torchio_seg.errors import ConfigError
from torchio_seg.network_sizes import Size, Sizes, fit, sizes_of
from torchio_seg.records import Labels
from torchio_seg.step import supervised
from torchio_seg.transforms.recipe import Recipe

SMALL: dict[str, dict[str, Any]] = {
    "dynunet": {"channels": [4, 6, 8, 8], "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 1]]},
    "resencunet": {"channels": [4, 6, 8, 8], "strides": [[1, 1, 1], *[[2, 2, 2]] * 3], "blocks": [1, 2, 1, 1]},
    "segresnet": {"init_filters": 8, "blocks_down": [1, 1, 2], "blocks_up": [1, 1]},
    "swinunetr": {"feature_size": 12, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 2},
    "unet": {"channels": [4, 8, 12]},
    "unet_plain": {"channels": [4, 8, 12]},
    "unetr": {"feature_size": 4, "hidden_size": 24, "mlp_size": 32, "num_heads": 2},
}
"""Options that make a known network quick; a new one is tested with its defaults."""

names = pytest.mark.parametrize("name", components.names("networks"))


pytestmark = pytest.mark.usefixtures("one_thread")


def build(name: str, patch_size: Size, options: dict[str, Any] | None = None) -> torch.nn.Module:
    section = {"name": name, **(SMALL.get(name, {}) if options is None else options)}
    network: torch.nn.Module = components.assemble("networks", section, 2, 3, patch_size)
    return network


def free_sizes(name: str, options: dict[str, Any] | None = None) -> Sizes:
    """What the network asks for before it is built for one size."""
    return replace(sizes_of(build(name, (128, 128, 128), options)), fixed_size=None)


def outputs_of(network: torch.nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """Finest first; a network without deep supervision has one."""
    outputs = network(images)
    return [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)


@names
def test_logits_have_a_channel_for_each_class_and_the_size_of_the_patch(name: str) -> None:
    patch_size = fit((9, 17, 9), free_sizes(name))
    for batch_size in (1, 2):
        logits = outputs_of(build(name, patch_size), torch.randn(batch_size, 2, *patch_size))[0]
        assert logits.shape == (batch_size, 3, *patch_size)
        assert logits.dtype == torch.float32
        assert logits.isfinite().all()
        assert (logits < 0).any(), "all outputs are positive: are these probabilities?"


@names
def test_smallest_admissible_patch_trains_and_predicts_with_a_batch_of_one(name: str) -> None:
    patch_size = fit((1, 1, 1), free_sizes(name))
    network = build(name, patch_size)
    images = torch.randn(1, 2, *patch_size)
    sum(output.square().mean() for output in outputs_of(network.train(), images)).backward()
    assert outputs_of(network.eval(), images)[0].isfinite().all()


@names
def test_inadmissible_patch_is_answered_with_one_that_works(name: str) -> None:
    sizes = free_sizes(name)
    smallest = fit((1, 1, 1), sizes)
    wrong = (smallest[0] + 1, smallest[1], smallest[2])
    if sizes.multiple_of == (1, 1, 1):
        pytest.skip("takes every size")
    with pytest.raises(ConfigError, match=rf"patch_size {wrong[0]} x .* does not fit {name}.*: use \d+ x \d+ x \d+$"):
        build(name, wrong)


@names
def test_a_single_voxel_at_the_coarsest_level_is_refused_only_where_it_would_fail(name: str) -> None:
    patch_size = free_sizes(name).multiple_of
    if free_sizes(name).min_cells > 1:
        with pytest.raises(ConfigError, match="voxels must be left at its coarsest level, not 1"):
            build(name, patch_size)
    else:
        assert outputs_of(build(name, patch_size).train(), torch.randn(1, 2, *patch_size))[0].isfinite().all()


@names
def test_training_may_answer_a_list_finest_first_and_prediction_answers_one_tensor(name: str) -> None:
    patch_size = fit((17, 17, 17), free_sizes(name))
    network = build(name, patch_size)
    images = torch.randn(1, 2, *patch_size)
    outputs = outputs_of(network.train(), images)
    assert all(logits.shape[:2] == (1, 3) for logits in outputs)
    sizes = [tuple(logits.shape[2:]) for logits in outputs]
    assert sizes[0] == patch_size
    for finer, coarser in pairwise(sizes):
        assert finer != coarser
        assert all(side % small == 0 for side, small in zip(finer, coarser, strict=True))
    answer = network.eval()(images)
    assert isinstance(answer, torch.Tensor)
    assert answer.shape == (1, 3, *patch_size)


@names
def test_every_parameter_gets_a_gradient(name: str) -> None:
    """Whatever the loss is that `step` makes of the outputs; distributed training stops at the first one without."""
    patch_size = fit((1, 1, 1), free_sizes(name))
    network = build(name, patch_size).train()
    masks = torch.zeros(2, 3, *patch_size)
    supervised(torch.nn.functional.mse_loss, network(torch.randn(2, 2, *patch_size)), masks).backward()
    without = [key for key, weight in network.named_parameters() if weight.requires_grad and weight.grad is None]
    assert not without
    assert all(weight.grad.isfinite().all() for weight in network.parameters() if weight.grad is not None)


@names
def test_a_saved_checkpoint_gives_the_same_logits_in_a_new_network(name: str, tmp_path: Path) -> None:
    patch_size = fit((1, 1, 1), free_sizes(name))
    network = build(name, patch_size)
    images = torch.randn(2, 2, *patch_size)
    outputs_of(network.train(), images)  # running statistics move away from their start
    labels = Labels.of_classes({0: "background", 1: "a", 2: "b"})
    card = ModelCard({}, "d", ("x", "y"), False, labels, Recipe(None, None, "none"), patch_size)
    checkpoint.save(tmp_path / "best", network, card, {})
    weights = checkpoint.read_weights(tmp_path / "best", checkpoint.read_card(tmp_path / "best"))
    assert weights.keys() == network.state_dict().keys()
    other = build(name, patch_size)
    other.load_state_dict(weights, strict=True)
    with torch.no_grad():
        assert torch.equal(network.eval()(images), other.eval()(images))


@names
def test_weights_are_contiguous(name: str) -> None:
    network = build(name, fit((1, 1, 1), free_sizes(name)))
    assert all(tensor.is_contiguous() for tensor in network.state_dict().values())


@names
def test_no_two_weights_share_memory(name: str) -> None:
    tensors = build(name, fit((1, 1, 1), free_sizes(name))).state_dict().values()
    storages = [tensor.untyped_storage().data_ptr() for tensor in tensors]
    assert len(set(storages)) == len(storages)


@pytest.mark.parametrize(
    "name",
    # its patches have 32 voxels a side at least, 30 times as slow where a CPU has no instructions for bfloat16
    [pytest.param(name, marks=[pytest.mark.slow] * (name == "swinunetr")) for name in components.names("networks")],
)
def test_bfloat16_autocast_trains(name: str) -> None:
    sides = free_sizes(name).multiple_of
    # oneDNN leaves parts of a bfloat16 weight gradient unwritten where the first side is 2 voxels at some level
    patch_size = (3 * sides[0], sides[1], sides[2])
    network = build(name, patch_size).train()
    with torch.autocast("cpu", torch.bfloat16):
        logits = outputs_of(network, torch.randn(1, 2, *patch_size))[0]
    logits.float().square().mean().backward()
    assert all(weight.grad.isfinite().all() for weight in network.parameters() if weight.grad is not None)


@names
def test_channels_last_gives_the_same_logits(name: str) -> None:
    patch_size = fit((1, 1, 1), free_sizes(name))
    network = build(name, patch_size).eval()
    images = torch.randn(1, 2, *patch_size)
    with torch.no_grad():
        expected = outputs_of(network, images)[0]
        found = outputs_of(
            network.to(memory_format=torch.channels_last_3d), images.to(memory_format=torch.channels_last_3d)
        )[0]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@names
@pytest.mark.parametrize("wrong", [{"dropout": 1.0}, {"dropout": -0.1}, {"dropuot": 0.1}])
def test_options_out_of_range_or_unknown_are_errors(name: str, wrong: dict[str, float]) -> None:
    option = next(iter(wrong))
    if option == "dropout" and option not in components.options_model("networks", name).model_fields:
        pytest.skip("has no dropout")
    with pytest.raises(ConfigError, match=rf"networks '{name}'.*\n{option}\n"):
        build(name, (32, 32, 32), wrong)
