"""Less memory and less time for the same numbers, under the same names."""

import copy
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

from torchio_seg import components, speedups

CPU = torch.device("cpu")
SMALL: dict[str, dict[str, Any]] = {
    "dynunet": {"channels": [4, 8, 8, 8]},
    "resencunet": {"channels": [4, 8, 8, 8], "blocks": [1, 2, 1, 1]},
    "segresnet": {"init_filters": 8, "blocks_down": [1, 1, 2], "blocks_up": [1, 1]},
    "swinunetr": {"feature_size": 12, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 2},
    "unet": {"channels": [4, 8, 12], "norm": "batch", "dropout": 0.2},
    "unet_plain": {"channels": [4, 8, 12]},
    "unetr": {"feature_size": 4, "hidden_size": 24, "mlp_size": 32, "num_heads": 2},
}
names = pytest.mark.parametrize("name", components.names("networks"))


pytestmark = pytest.mark.usefixtures("one_thread")


def build(name: str, **more: float) -> tuple[torch.nn.Module, torch.Tensor]:
    patch_size = (64, 32, 32) if name == "swinunetr" else (32, 32, 32)
    section = {"name": name, **SMALL.get(name, {}), **more}
    network: torch.nn.Module = components.assemble("networks", section, 2, 3, patch_size)
    return network, torch.randn(1 if name == "swinunetr" else 2, 2, *patch_size)  # it knows no norm of a batch


def learn(network: torch.nn.Module, images: torch.Tensor, called: torch.nn.Module | None = None) -> dict[str, Any]:
    """What one training pass gives: loss, gradients, and what the network remembers of the batch."""
    torch.manual_seed(1)
    network.zero_grad()
    outputs = (network if called is None else called).train()(images)
    outputs = [outputs] if isinstance(outputs, torch.Tensor) else outputs
    loss = torch.stack([logits.square().mean() for logits in outputs]).sum()
    loss.backward()
    gradients = {key: weight.grad.clone() for key, weight in network.named_parameters() if weight.grad is not None}
    return {"loss": loss.detach(), **gradients, **{key: kept.clone() for key, kept in network.named_buffers()}}


@names
def test_levels_computed_twice_give_the_same_bits(name: str) -> None:
    """Dropout draws the same numbers again, and batch norms learn from a batch once."""
    network, images = build(name)
    other = copy.deepcopy(network)
    speedups.recompute_levels(other)
    expected, found = learn(network, images), learn(other, images)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert list(other.state_dict()) == list(network.state_dict())
    with torch.no_grad():
        assert torch.equal(other.eval()(images), network.eval()(images))


@names
def test_less_is_kept_for_the_gradient(name: str) -> None:
    network, images = build(name)

    def kept() -> int:
        sizes = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            outputs = network.train()(images)
        del outputs
        return sum(sizes.values())

    before = kept()
    speedups.recompute_levels(network)
    assert kept() < before / 2


def test_a_copy_computes_with_its_own_weights() -> None:
    """A running average of the weights is such a copy."""
    network, images = build("dynunet")
    speedups.recompute_levels(network)
    other = copy.deepcopy(network)
    before = other.eval()(images)
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    assert torch.equal(other(images), before)


@names
def test_channels_last_give_the_same_numbers_and_weights_of_the_same_names(name: str) -> None:
    network, images = build(name, **({"dropout": 0.0} if name in {"unet", "segresnet"} else {}))
    other = copy.deepcopy(network)
    speedups.use_channels_last(other)
    assert all(torch.equal(other.state_dict()[key], tensor) for key, tensor in network.state_dict().items())
    kernels = [weight for weight in other.parameters() if weight.dim() == 5]
    assert all(weight.is_contiguous(memory_format=torch.channels_last_3d) for weight in kernels)
    expected, found = learn(network, images), learn(other, images)
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], rtol=1e-2, atol=1e-4)
    network.load_state_dict(other.state_dict(), strict=True)


def test_weights_that_are_loaded_later_stay_channels_last() -> None:
    network, _ = build("dynunet")
    state = copy.deepcopy(network.state_dict())
    speedups.use_channels_last(network)
    network.load_state_dict(state)
    kernels = [weight for weight in network.parameters() if weight.dim() == 5]
    assert all(weight.is_contiguous(memory_format=torch.channels_last_3d) for weight in kernels)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")  # torch's own
@pytest.mark.parametrize(
    ("name", "recomputed"), [("dynunet", False), ("dynunet", True), ("unet", False), ("unet", True)]
)
def test_a_compiled_network_gives_the_same_numbers_and_trying_it_leaves_no_trace(name: str, recomputed: bool) -> None:
    section = {"name": name, "channels": [4, 8, 8], **({"norm": "batch"} if name == "unet" else {})}
    network = components.assemble("networks", section, 1, 2, (16, 16, 16))
    other = copy.deepcopy(network)
    if recomputed:
        speedups.recompute_levels(other)
    state, drawn = copy.deepcopy(other.state_dict()), torch.get_rng_state()
    fast = speedups.compiled(other, (1, 1, 16, 16, 16), CPU, "fp32")
    assert fast is not other
    assert torch.equal(torch.get_rng_state(), drawn)
    assert list(other.state_dict()) == list(state)
    assert all(torch.equal(other.state_dict()[key], tensor) for key, tensor in state.items())
    assert all(weight.grad is None for weight in other.parameters())
    images = torch.randn(1, 1, 16, 16, 16)
    expected, found = learn(network, images), learn(other, images, fast)
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_where_compiling_fails_one_line_says_so_and_the_network_runs_as_it_is(tmp_path: Path) -> None:
    script = """
        import logging, torch
        from torchio_seg import components, speedups
        logging.basicConfig(format="%(message)s", level=logging.WARNING)
        network = components.assemble("networks", {"name": "unet", "channels": [4, 8]}, 1, 2, (8, 8, 8))
        assert speedups.compiled(network, (1, 1, 8, 8, 8), torch.device("cpu"), "fp32") is network
        assert network(torch.zeros(1, 1, 8, 8, 8)).shape == (1, 2, 8, 8, 8)
    """
    nowhere = {"CXX": str(tmp_path / "no-compiler"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
        check=True,
    )
    [line] = [line for line in done.stderr.splitlines() if "training.compile" in line]
    assert line.startswith("training.compile: the network cannot be compiled here and runs as it is (")


@pytest.mark.slow
def test_levels_computed_twice_need_less_memory() -> None:
    """The high-water mark of a process of its own, above what it had before the step."""
    script = """
        import sys, torch
        from pathlib import Path
        from torchio_seg import components, speedups
        torch.set_num_threads(1)
        section = {"name": "resencunet", "channels": [8, 16, 32, 32]}
        network = components.assemble("networks", section, 1, 2, (64, 64, 64)).train()
        if sys.argv[1] == "twice":
            speedups.recompute_levels(network)
        def figure(key):
            [line] = [x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(key)]
            return int(line.split()[1])
        def step(side):
            network(torch.randn(1, 1, side, side, side))[0].square().mean().backward()
        step(16)  # what torch loads once
        Path("/proc/self/clear_refs").write_text("5")
        before = figure("VmRSS")
        step(64)
        print(figure("VmHWM") - before)
    """

    def peak(how: str) -> int:
        command = [sys.executable, "-c", textwrap.dedent(script), how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert peak("twice") < 0.8 * peak("once")
