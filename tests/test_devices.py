"""Which device, how exactly, and whether random numbers repeat."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from torchio_seg.devices import autocast, choose, describe, seed_everything, usable
from torchio_seg.errors import UsageError


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is fixed for a process goes back to what it was."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled()
    yield
    torch.backends.cudnn.benchmark = before[0]
    torch.use_deterministic_algorithms(before[1])


def draws() -> list[float]:
    """One number of each generator."""
    return [random.random(), float(np.random.random()), float(torch.rand(1))]  # noqa: S311, NPY002 (what is seeded)


@pytest.mark.parametrize("name", ["gpu", "cpu:x", "", "cuda:999"])
def test_a_device_that_is_not_there_is_named_with_what_is_allowed(name: str) -> None:
    with pytest.raises(
        UsageError, match=rf"device '{name}' cannot be used: .+ \(allowed: auto, cpu, cuda, cuda:N, mps\)"
    ):
        choose(name)


def test_auto_is_a_device_that_computes() -> None:
    assert float(torch.ones(2, device=choose("auto")).sum()) == 2


def test_the_cpu_is_there_and_says_with_how_many_threads() -> None:
    assert choose("cpu") == torch.device("cpu")
    assert describe(choose("cpu")) == f"cpu, {torch.get_num_threads()} threads"


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("seed", [0, 7, 2**32 + 7])
def test_a_seed_makes_every_generator_repeat(seed: int, strict: bool) -> None:
    seed_everything(seed, strict=strict)
    first = draws()
    assert all(one != other for one, other in zip(first, draws(), strict=True))
    seed_everything(seed, strict=strict)
    assert draws() == first
    seed_everything(seed + 1, strict=strict)
    assert all(one != other for one, other in zip(first, draws(), strict=True))


def test_strict_refuses_what_does_not_repeat_and_seeded_does_not() -> None:
    for strict in (True, False):
        seed_everything(0, strict=strict)
        assert torch.are_deterministic_algorithms_enabled() is strict


def test_bf16_is_the_precision_of_the_block_and_of_nothing_after_it() -> None:
    convolution, volume = torch.nn.Conv3d(1, 2, 3), torch.rand(1, 1, 4, 4, 4)
    with autocast(torch.device("cpu"), "bf16"):
        expected = torch.bfloat16 if usable(torch.device("cpu"), "bf16") == "bf16" else torch.float32
        assert convolution(volume).dtype == expected
    assert convolution(volume).dtype == torch.float32
    assert convolution.weight.dtype == torch.float32


def test_fp32_leaves_arithmetic_as_it_is() -> None:
    convolution, volume = torch.nn.Conv3d(1, 2, 3), torch.rand(1, 1, 4, 4, 4)
    with autocast(torch.device("cpu"), "fp32"):
        inside = convolution(volume)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, convolution(volume))


def test_bf16_is_replaced_only_on_a_cpu_without_instructions_for_it() -> None:
    assert usable(torch.device("cuda"), "bf16") == "bf16"
    assert usable(torch.device("cpu"), "fp32") == "fp32"
    supported = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert usable(torch.device("cpu"), "bf16") == ("bf16" if supported else "fp32")
