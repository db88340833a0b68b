"""What one of two processes finds when it trains with the other; `test_distributed.py` starts both."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from torchio_seg import components
from torchio_seg.config.optimizations import Optimization
from torchio_seg.config.sections import Training
from torchio_seg.distributed import ALONE, Peers, joined
from torchio_seg.errors import TrainingError
from torchio_seg.optimization import Schedule, build_optimizer
from torchio_seg.step import Loss, Pair, Stepper
from torchio_seg.targets import leave_out_ignored, leave_out_ignored_of_all

sys.path.insert(0, str(Path(__file__).parent / "networks"))
from test_networks import SMALL, fit, free_sizes

CPU = torch.device("cpu")
NUM_STEPS = 2
"""The first of a shared network prepares its exchange, the second exchanges as all later ones do."""
Batches = list[tuple[Pair, Pair]]
"""By step and rank."""


def pair(seed: int, size: tuple[int, int, int], samples: int = 2) -> Pair:
    """Images of two channels, and masks of three classes that exclude each other."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(samples, 2, *size, generator=generator)
    labels = torch.randint(0, 3, (samples, *size), generator=generator)
    return images, torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()


def make_stepper(network: torch.nn.Module, loss: Loss, peers: Peers, **settings: Any) -> Stepper:
    choice = Optimization(optimizer="sgd", schedule="constant", learning_rate=0.05, momentum=0.0)
    optimizer = build_optimizer(network.parameters(), choice)
    schedule = Schedule(optimizer, choice, 100)
    return Stepper(network, loss, optimizer, schedule, settings=Training(**settings), device=CPU, peers=peers)


def state_of(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([tensor.detach().double().flatten() for tensor in network.state_dict().values()])


def agree_exactly(peers: Peers, network: torch.nn.Module) -> bool:
    mine, *others = peers.gather(state_of(network))
    return all(torch.equal(mine, other) for other in others)


def small_network(name: str, seed: int) -> tuple[torch.nn.Module, tuple[int, int, int]]:
    """In double precision, without what one large batch does otherwise than two small ones: batch norm and dropout."""
    options = dict(SMALL.get(name, {}))
    known = components.options_model("networks", name).model_fields
    options |= {key: value for key, value in {"norm": "instance", "dropout": 0.0}.items() if key in known}
    size = fit((1, 1, 1), free_sizes(name, options))
    torch.manual_seed(seed)
    network: torch.nn.Module = components.assemble("networks", {"name": name, **options}, 2, 3, size)
    return network.double(), size


def make_batches(size: tuple[int, int, int], samples: int, unknown: float | None) -> Batches:
    """`unknown`: nothing is known of this share of the first rank's samples, and nothing of a slice of the second's."""
    batches = [(pair(10 * step, size, samples), pair(10 * step + 1, size, samples)) for step in range(NUM_STEPS)]
    if unknown is not None:
        for (_, first), (_, second) in batches:
            first[:, :, : round(unknown * size[0])] = math.nan
            second[:, :, :1] = math.nan
    return batches


def by_one_process(name: str, loss: Loss, batches: Batches) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
    """The state before and after the batches of both ranks at once, and the losses."""
    network, _ = small_network(name, seed=0)
    before = state_of(network)
    step = make_stepper(network, loss, ALONE)
    losses = [
        step([(torch.cat([first, second]).double(), torch.cat([first_masks, second_masks]))]).loss
        for (first, first_masks), (second, second_masks) in batches
    ]
    return before, state_of(network), losses


def distance(
    peers: Peers,
    loss: Callable[[Peers], Loss],
    name: str = "segresnet",
    *,
    samples: int = 2,
    unknown: float | None = None,
) -> dict[str, Any]:
    """How far two ranks are, after some steps, from one process that had the batches of both; how far that had gone.

    Each rank has so many samples in a batch; `unknown` as for `make_batches`.
    """
    shared, size = small_network(name, seed=peers.rank)
    batches = make_batches(size, samples, unknown)
    step = make_stepper(shared, loss(peers), peers)
    losses = [step([(own[0].double(), own[1])]).loss for own in (both[peers.rank] for both in batches)]
    before, wanted, wanted_losses = peers.from_main(lambda: by_one_process(name, loss(ALONE), batches))
    return {
        "apart": float((state_of(shared) - wanted).abs().max()),
        "moved": float((wanted - before).abs().max()),
        "loss": max(abs(one - other) for one, other in zip(losses, wanted_losses, strict=True)),
        "same": agree_exactly(peers, shared),
    }


def built(section: dict[str, Any]) -> Callable[[Peers], Loss]:
    return lambda peers: components.assemble("losses", section, True, pool=peers.pool)


def blind(peers: Peers) -> Loss:
    """Blind to voxels whose masks are NaN."""
    return leave_out_ignored(components.assemble("losses", {"name": "dice_ce"}, True), pool=peers.pool)


def blind_to_some_of_all(section: dict[str, Any]) -> Callable[[Peers], Loss]:
    return lambda peers: leave_out_ignored_of_all(
        components.assemble("losses", section | {"batch": True}, True, pool=peers.pool), pool=peers.pool
    )


def primitives(peers: Peers, folder: Path) -> dict[str, Any]:
    def note() -> int:
        with (folder / "order").open("a") as file:
            file.write(f"{peers.rank}\n")
        return peers.rank

    return {
        "in_turn": peers.in_turn(note),
        "rank": [peers.rank, peers.num_ranks, peers.local_rank, peers.num_local],
        "broadcast": peers.broadcast(f"from {peers.rank}"),
        "from_main": peers.from_main(lambda: peers.rank),
        "gather": peers.gather({"rank": peers.rank}),
        "parts": [list(peers.part(range(length))) for length in (0, 1, 2, 5)],
        "wholes": [peers.whole([str(item) for item in peers.part(range(length))]) for length in (0, 1, 2, 5)],
        "any": [peers.any(False), peers.any(peers.rank == 1), peers.any(True)],
        "highest": peers.highest(15 if peers.rank == 1 else 2),
        "mean": peers.mean(0.1 + peers.rank),
    }


def not_finite(peers: Peers) -> dict[str, Any]:
    """A NaN in the second rank's batch, where batch norm would keep it; then one batch that is sound."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv3d(2, 4, 3, padding=1), torch.nn.BatchNorm3d(4), torch.nn.Conv3d(4, 3, 1)
    )
    stepper = make_stepper(network, built({"name": "dice_ce"})(peers), peers, precision="fp16", ema=0.9)
    before, scale = state_of(network), stepper.scaler.get_scale()
    images, masks = pair(peers.rank, (4, 4, 4))
    bad = stepper([(images * math.nan if peers.rank == 1 else images, masks)])
    unchanged, backed_off = torch.equal(state_of(network), before), stepper.scaler.get_scale() < scale
    good = stepper([(images, masks)])
    return {
        "skipped": [bad.skipped, good.skipped],
        "unchanged": unchanged,
        "scales": peers.gather(stepper.scaler.get_scale()),
        "backed_off": backed_off,
        "moved": not torch.equal(state_of(network), before),
        "finite": bool(state_of(network).isfinite().all()),
        "same": agree_exactly(peers, network),
    }


def exchanges(peers: Peers) -> int:
    """How often gradients cross in a step of three batches."""
    network, size = small_network("segresnet", seed=0)
    stepper = make_stepper(network, built({"name": "dice"})(peers), peers, accumulate=3)
    seen: list[int] = []

    def counted(bucket: Any) -> Any:
        seen.append(bucket.index())
        return allreduce_hook(None, bucket)

    stepper._shared.register_comm_hook(None, lambda _, bucket: counted(bucket))  # type: ignore[operator]
    batches = [(images.double(), masks) for images, masks in (pair(seed + peers.rank, size) for seed in (0, 10, 20))]
    stepper(batches)
    return seen.count(0)


def idle(peers: Peers) -> str:
    """What is said of weights that the logits do not depend on."""
    network = torch.nn.Conv3d(2, 3, 1)
    network.spare = torch.nn.Linear(2, 2)
    stepper = make_stepper(network, built({"name": "dice"})(peers), peers)
    try:
        stepper([pair(peers.rank, (4, 4, 4))])
    except TrainingError as error:
        return str(error)
    return "nothing"


def facts(peers: Peers, folder: Path) -> Iterator[tuple[str, Any]]:
    yield "primitives", primitives(peers, folder)
    for name in components.names("networks"):
        yield f"network {name}", distance(peers, built({"name": "dice_ce"}), name, samples=1)
    batch = {"name": "dice", "batch": True, "smooth_numerator": 1.0, "smooth_denominator": 1.0}
    yield "batch dice", distance(peers, built(batch))
    yield "batch dice, each its own", distance(peers, lambda _: built(batch)(ALONE))
    yield "unknown", distance(peers, blind, unknown=1.0)
    for name in components.names("losses"):
        for share in (0.75, 1.0):
            loss = blind_to_some_of_all({"name": name})
            yield f"unknown {name} {share}", distance(peers, loss, unknown=share)
    yield "not finite", not_finite(peers)
    yield "exchanges", exchanges(peers)
    yield "idle", idle(peers)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined() as peers, closing(facts(peers, folder)) as found:
        (folder / f"rank_{peers.rank}.json").write_text(json.dumps(dict(found)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
