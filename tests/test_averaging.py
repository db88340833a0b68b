"""The running average by hand, in place for a while, and going on from where it was kept."""

from __future__ import annotations

import pytest
import torch

from torchio_seg.averaging import WeightAverage


def network(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


def flat(one: torch.nn.Module) -> torch.Tensor:
    return torch.cat([tensor.flatten().double() for tensor in one.state_dict().values()])


def move(one: torch.nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))


def test_the_average_follows_the_weights_by_hand() -> None:
    one = network()
    average = WeightAverage(one, 0.5)
    expected = flat(one).clone()
    for count in range(1, 13):
        move(one, count)
        average.update()
        stays = min(0.5, count / (count + 9))
        expected = stays * expected + (1 - stays) * flat(one)
    own = flat(one)
    with average.in_place():
        assert torch.allclose(flat(one), expected, atol=1e-6)
    assert torch.equal(flat(one), own)


def test_weights_are_put_back_after_an_error() -> None:
    one = network()
    average = WeightAverage(one, 0.9)
    move(one, 1)
    own = flat(one)
    with pytest.raises(ZeroDivisionError), average.in_place():
        1 / 0  # noqa: B018 (something goes wrong)
    assert torch.equal(flat(one), own)


def test_an_average_that_was_kept_goes_on_as_one_that_never_stopped() -> None:
    whole, average = network(), None
    average = WeightAverage(whole, 0.8)
    for seed in range(3):
        move(whole, seed)
        average.update()
    with average.in_place():
        kept = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    state = average.state()

    resumed = network(5)
    later = WeightAverage(resumed, 0.8)
    resumed.load_state_dict(kept)
    later.restore(state)
    for one, its in ((whole, average), (resumed, later)):
        for seed in range(3, 20):
            move(one, seed)
            its.update()
    assert torch.equal(flat(whole), flat(resumed))
    with average.in_place(), later.in_place():
        assert torch.equal(flat(whole), flat(resumed))
