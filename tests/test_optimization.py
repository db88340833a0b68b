"""The learning rate by hand, and the optimizers that the settings name."""

import io
import math
from typing import Any

import pytest
import torch

from torchio_seg.config.optimizations import Optimization
from torchio_seg.errors import ConfigError
from torchio_seg.optimization import FIRST_STEPS, Schedule, build_optimizer, factor

SCHEDULES = ("constant", "poly", "cosine", "warmup_cosine")


def settings(**given: Any) -> Optimization:
    return Optimization(**given)


def weights() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.tensor([1.0, -2.0])), torch.nn.Parameter(torch.tensor(3.0))]


def take_step(parameters: list[torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    torch.stack([weight.square().sum() for weight in parameters]).sum().backward()
    optimizer.step()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"schedule": "constant"}, [1, 1, 1, 1, 1]),
        ({"schedule": "poly", "power": 1.0}, [1, 0.75, 0.5, 0.25, 0]),
        ({"schedule": "poly", "power": 2.0}, [1, 0.5625, 0.25, 0.0625, 0]),
        ({"schedule": "cosine"}, [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0]),
        ({"schedule": "warmup_cosine", "warmup_fraction": 0.5}, [1 / 3, 2 / 3, 1, 0.5, 0]),
        ({"schedule": "warmup_cosine", "warmup_fraction": 0.0}, [1, (1 + math.sqrt(0.5)) / 2, 0.5, None, 0]),
    ],
)
def test_schedule_of_four_steps_by_hand(given: dict[str, Any], expected: list[float | None]) -> None:
    for step, value in enumerate(expected):
        if value is not None:
            assert factor(settings(**given), step, 4) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("num_steps", [400, 1000, 100_000])
def test_a_rate_that_warms_up_does_not_fall_once_the_number_of_steps_is_known(num_steps: int) -> None:
    chosen = settings(schedule="warmup_cosine", warmup_fraction=0.05)
    unknown = [factor(chosen, step, None) for step in range(FIRST_STEPS)]
    assert unknown == sorted(unknown)
    later = [factor(chosen, step, num_steps) for step in range(FIRST_STEPS, num_steps // 20)]
    assert max(unknown) <= max(0.05, later[0])
    assert max(later) > 0.9


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("num_steps", [1, 2, 7, 1000])
@pytest.mark.parametrize("warmup_fraction", [0.0, 0.05, 0.99, math.nextafter(1, 0)])
def test_factor_stays_within_0_and_1_and_ends(schedule: str, num_steps: int, warmup_fraction: float) -> None:
    chosen = settings(schedule=schedule, warmup_fraction=warmup_fraction)
    factors = [factor(chosen, step, num_steps) for step in range(num_steps + 1)]
    assert all(0 <= value <= 1 for value in factors)
    assert max(factors) == 1
    assert factors[0] > 0, "a first step of length 0 would be wasted"
    assert factors[-1] == pytest.approx(1 if schedule == "constant" else 0, abs=1e-12)
    assert factor(chosen, num_steps + 3, num_steps) == factors[-1]
    falling = factors[factors.index(1.0) :]
    assert falling == sorted(falling, reverse=True)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_optimizer_follows_the_schedule_and_a_resumed_one_continues_it(schedule: str) -> None:
    chosen = settings(schedule=schedule, learning_rate=0.5)

    def run(steps: int, state: dict[str, Any] | None = None) -> tuple[list[float], dict[str, Any]]:
        parameters = weights()
        optimizer = build_optimizer(parameters, chosen)
        following = Schedule(optimizer, chosen, 10)
        if state is not None:
            optimizer.load_state_dict(state["optimizer"])
            following.load_state_dict(state["schedule"])
        rates = []
        for _ in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            take_step(parameters, optimizer)
            following.step()
        return rates, {"optimizer": optimizer.state_dict(), "schedule": following.state_dict()}

    whole, _ = run(10)
    assert whole == pytest.approx([0.5 * factor(chosen, step, 10) for step in range(10)])
    first, state = run(4)
    torch.save(state, file := io.BytesIO())
    file.seek(0)
    assert first + run(6, torch.load(file, weights_only=True))[0] == whole


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"optimizer": "adamw", "weight_decay": 0.1}, torch.optim.AdamW),
        ({"optimizer": "adam", "weight_decay": 1e-5}, torch.optim.Adam),
        ({"optimizer": "sgd", "momentum": 0.9, "nesterov": False}, torch.optim.SGD),
        ({"optimizer": "sgd", "momentum": 0.99, "nesterov": True}, torch.optim.SGD),
    ],
)
def test_settings_reach_the_optimizer(given: dict[str, Any], expected: type[torch.optim.Optimizer]) -> None:
    chosen = settings(learning_rate=1e-2, **given)
    parameters = weights()
    optimizer = build_optimizer(parameters, chosen)
    assert type(optimizer) is expected
    (group,) = optimizer.param_groups
    assert group["params"] == parameters
    assert (group["lr"], group["weight_decay"]) == (1e-2, chosen.weight_decay)
    if chosen.optimizer == "sgd":
        assert (group["momentum"], group["nesterov"]) == (chosen.momentum, chosen.nesterov)
    take_step(parameters, optimizer)
    assert abs(parameters[1].item()) < 3


def test_sgd_without_momentum_is_plain_descent() -> None:
    parameters = weights()
    take_step(
        parameters,
        build_optimizer(parameters, settings(optimizer="sgd", momentum=0.0, weight_decay=0.0, learning_rate=0.1)),
    )
    assert parameters[1].item() == pytest.approx(3 - 0.1 * 6)


def test_parameters_may_be_a_generator() -> None:
    network = torch.nn.Linear(2, 2)
    assert len(build_optimizer(network.parameters(), settings()).param_groups[0]["params"]) == 2


def test_a_training_without_steps_is_an_error() -> None:
    with pytest.raises(ConfigError, match="training has 0 steps; it needs at least 1"):
        Schedule(build_optimizer(weights(), settings()), settings(), 0)
