"""This process among those that work together, as on the training of one network, which torchrun has started."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from torchio_seg.errors import PeerError, TrainingError, UsageError

T = TypeVar("T")

_MAIN = 0
_NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells each process that it starts."""
_LONGEST_STEP = timedelta(minutes=30)
_LONGEST_WAIT = timedelta(days=7)
"""For what one process does while the others wait: preparing cases, predicting one more than they do."""


@dataclass(frozen=True)
class Peers:
    """The processes of one piece of work as one of them sees them; a process alone answers each question itself.

    All but the plain facts are asked by every process at the same point of its work, or nobody gets an answer.
    """

    rank: int = 0
    num_ranks: int = 1
    local_rank: int | None = None
    """Which of this machine's processes it is; None: it is alone."""
    num_local: int = 1
    """How many of them this machine has."""
    group: distributed.ProcessGroup | None = None
    """For words; gradients have one of their own. None: it is alone."""

    @property
    def is_main(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == _MAIN

    def broadcast(self, value: T) -> T:
        """The main process's value."""
        if self.group is None:
            return value
        box = [value if self.is_main else None]
        distributed.broadcast_object_list(box, _MAIN, self.group)
        return box[0]  # type: ignore[return-value]

    def from_main(self, make: Callable[[], T]) -> T:
        """What only the main process makes; the others receive it."""
        return self.broadcast(make() if self.is_main else None)  # type: ignore[return-value]

    def gather(self, value: T) -> list[T]:
        """Everybody's value, by rank."""
        if self.group is None:
            return [value]
        values: list[Any] = [None] * self.num_ranks
        distributed.all_gather_object(values, value, self.group)
        return values

    def part(self, items: Sequence[T]) -> Sequence[T]:
        """Those of the items that are this process's to work on."""
        return items[self.rank :: self.num_ranks]

    def of_machine(self, number: int) -> int:
        """What of so many processors is this process's, where each of the machine's processes has as many."""
        return max(1, number // self.num_local)

    def whole(self, part: Sequence[T]) -> list[T]:
        """What everybody made of its part, in the order of the whole."""
        parts = self.gather(part)
        return [parts[number % self.num_ranks][number // self.num_ranks] for number in range(sum(map(len, parts)))]

    def highest(self, number: int) -> int:
        """The highest of everybody's numbers."""
        if self.group is None:
            return number
        highest = torch.tensor(number)
        distributed.all_reduce(highest, distributed.ReduceOp.MAX, self.group)
        return int(highest)

    def any(self, flag: bool) -> bool:
        """Whether it is so for anybody."""
        return bool(self.highest(int(flag)))

    def mean(self, number: float) -> float:
        """The mean of everybody's numbers."""
        if self.group is None:
            return number
        total = torch.tensor(number, dtype=torch.float64)
        distributed.all_reduce(total, group=self.group)
        return float(total) / self.num_ranks

    def barrier(self) -> None:
        """Go on when everybody is here."""
        if self.group is not None:
            distributed.barrier(self.group)

    def in_turn(self, make: Callable[[], T]) -> T:
        """What each makes for itself: the main process, then one on each other machine, then those who find it done."""
        turn = 0 if self.is_main else 1 if self.local_rank == 0 else 2
        made: list[T] = []
        for number in range(3):
            if number == turn:
                made.append(make())
            self.barrier()
        return made[0]

    def pool(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of everybody's tensors, through which gradients find their way back to each."""
        total: torch.Tensor = tensor if self.group is None else _Total.apply(tensor)  # type: ignore[no-untyped-call]
        return total

    def share(self, network: torch.nn.Module) -> torch.nn.Module:
        """The network to call in training: equal to everybody's, its gradients the mean of everybody's."""
        if self.group is None:
            return network
        return DistributedDataParallel(network, gradient_as_bucket_view=True)

    def apart(self, shared: torch.nn.Module) -> AbstractContextManager[None]:
        """Gradients stay each process's own inside the block, until one is computed outside of it."""
        return shared.no_sync() if isinstance(shared, DistributedDataParallel) else nullcontext()

    def align(self, network: torch.nn.Module) -> None:
        """Give everybody the main process's buffers, which each has changed by its own batches since the last step."""
        if self.group is None:
            return
        buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        for work in [distributed.broadcast(buffer, _MAIN, async_op=True) for buffer in buffers]:
            work.wait()


ALONE = Peers()


class _Total(torch.autograd.Function):
    """The sum over all processes; each process's loss depends on it, so gradients are summed on their way back too."""

    @staticmethod
    def forward(_: Any, tensor: torch.Tensor) -> torch.Tensor:
        return _summed(tensor)

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
        return _summed(gradient)


def _summed(tensor: torch.Tensor) -> torch.Tensor:
    total = tensor.detach().clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total


@contextmanager
def joined(
    work: str = "training", again: str = "What was saved before is kept: start all again with --resume RUN"
) -> Iterator[Peers]:
    """The processes that torchrun has started, for the time of the block; none but this where it started none.

    Where one of them fails or ends, all do, and only the first to know says why, and how the work is done again.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    if missing := [name for name in _NEEDED if name not in os.environ]:
        raise UsageError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but not set: {', '.join(missing)}. Start with torchrun, which "
            "sets them all, or unset WORLD_SIZE to work in one process"
        )
    store, peers = _join(work)
    try:
        yield peers
        peers.barrier()  # a launcher that sees one of them end may end the others
    except Exception as error:
        raise _said_once(error, store, work, again) from error
    distributed.destroy_process_group()


def require_unlaunched(command: str, instead: str) -> None:
    """Refuse several processes of what each of them would do as a whole."""
    if (launched := os.environ.get("WORLD_SIZE", "1")) != "1":
        raise UsageError(f"{command} works in one process, torchrun started {launched}: {instead}")


def _join(work: str) -> tuple[Store, Peers]:
    """Meet the others; CPU tensors go by gloo, those on a GPU by NCCL."""
    try:
        store, rank, num_ranks = next(rendezvous("env://"))
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            store=PrefixStore("training", store),
            rank=rank,
            world_size=num_ranks,
            timeout=_LONGEST_STEP,
        )
        group = distributed.new_group(backend="gloo", timeout=_LONGEST_WAIT)
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"the processes of this {work} did not find each other: {error}") from error
    local_rank, num_local = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    return store, Peers(rank, num_ranks, local_rank, num_local, group)


def _said_once(error: Exception, store: Store, work: str, again: str) -> Exception:
    """The error as this process is to report it."""
    try:
        is_first = store.add("failed", 1) == 1
    except RuntimeError:  # the store went with the process that kept it
        is_first = True
    if not is_first:
        return PeerError(f"another process of this {work} failed, and says why")
    if not _tells_of_a_peer(error):
        return error
    return TrainingError(
        f"another process of this {work} ended without a word; torchrun names it below, with its signal or exit code "
        f"(SIGKILL often means that memory ran out). {again}"
    )


def _tells_of_a_peer(error: Exception) -> bool:
    """Whether the error is only that somebody did not answer any more."""
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
