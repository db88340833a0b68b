"""What a training by several processes demands of them, and says about them."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

import torch

from torchio_seg.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torchio_seg.config.sections import Experiment
    from torchio_seg.distributed import Peers
    from torchio_seg.workflows.assembly import Plan

log = logging.getLogger(__name__)


def plan_together(peers: Peers, make: Callable[[], Plan]) -> Plan:
    """Everybody's plan, made by the main process first, whose prepared cases the others find; all are the same."""
    plan = peers.in_turn(make)
    facts = (plan.dataset.channels, plan.dataset.labels, plan.split, plan.recipe, plan.patch_size)
    digest = hashlib.sha256(repr((facts, [stored.folder.name for stored in plan.stored])).encode()).hexdigest()
    if len(set(peers.gather(digest))) > 1:
        raise DataError(
            "the processes of this training find different cases, files or settings; give all machines the same data "
            "at the same path, and the same command"
        )
    return plan


def require_one_process(peers: Peers, option: str, instead: str) -> None:
    """Refuse what works in one process alone."""
    if peers.num_ranks > 1:
        raise UsageError(f"{option} works in one process, these are {peers.num_ranks}: {instead}")


def tell_of_ranks(experiment: Experiment, device: torch.device, peers: Peers) -> None:
    """What several processes change about a step; or that a process alone leaves GPUs unused."""
    training = experiment.training
    if peers.num_ranks > 1:
        log.info(
            "%d processes: a step learns from %d patches, %d times as many as in one process; the learning rate stays "
            "%g (with 4 GPUs the UNETR reference raised 1e-4 to 4e-4): set optimization.learning_rate yourself",
            peers.num_ranks,
            peers.num_ranks * training.batch_size * training.accumulate,
            peers.num_ranks,
            experiment.optimization.learning_rate,
        )
    elif device.type == "cuda" and (num_gpus := torch.cuda.device_count()) > 1:
        log.info(
            "one of %d GPUs is used; all of them: torchrun --nproc-per-node %d -m torchio_seg train ...",
            num_gpus,
            num_gpus,
        )
