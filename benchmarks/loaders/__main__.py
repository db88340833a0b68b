"""One task with one loader in a process of its own, started by bench_loading.py; the result goes to a JSON file.

python -m loaders prepare NAME FOLDER OUTPUT
python -m loaders measure NAME FOLDER OUTPUT NUM_WORKERS SEED WARM_UP PATCHES
python -m loaders describe NAME FOLDER OUTPUT NUM_WORKERS SEED PATCHES
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from common import cpu_seconds, memory


def prepare(module: ModuleType, folder: Path) -> dict[str, float]:
    """Bring the cases into the loader's form, where it has one of its own."""
    begun = time.perf_counter(), cpu_seconds(os.getpid())
    if hasattr(module, "prepare"):
        module.prepare(folder)
    return _since(begun)


def measure(module: ModuleType, folder: Path, options: list[int]) -> dict[str, Any]:
    """Clock and work of a stretch of the stream, and of all that comes before its first batch."""
    num_workers, seed, warm_up, patches = options
    baseline = memory(os.getpid())
    begun = time.perf_counter(), cpu_seconds(os.getpid())
    stream = _stream(module, folder, num_workers, seed)
    take(stream, 1)
    before = _since(begun)
    take(stream, getattr(module, "WARM_UP", warm_up))
    begun = time.perf_counter(), cpu_seconds(os.getpid())
    taken = take(stream, patches)
    return {
        **{key: value / taken for key, value in _since(begun).items()},
        "patches": taken,
        "first_batch": before,
        "imports_bytes": baseline.total,
        "imports_files_bytes": baseline.files,
    }


def describe(module: ModuleType, folder: Path, options: list[int]) -> dict[str, Any]:
    """What patches look like."""
    from loaders.likeness import describe_batches

    num_workers, seed, patches = options
    return describe_batches(_stream(module, folder, num_workers, seed), patches)


def take(stream: Iterator[tuple[Any, Any]], patches: int) -> int:
    """Batches until there are at least so many patches; how many they were."""
    taken = 0
    while taken < patches:
        images, labels = next(stream)
        assert len(images) == len(labels)
        taken += len(images)
    return taken


def _stream(module: ModuleType, folder: Path, num_workers: int, seed: int) -> Iterator[tuple[Any, Any]]:
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (nnU-Net draws from it)
    torch.manual_seed(seed)
    stream: Iterator[tuple[Any, Any]] = iter(module.batches(folder, num_workers, seed))
    return stream


def _since(begun: tuple[float, float]) -> dict[str, float]:
    clock, work = begun
    return {"clock_s": time.perf_counter() - clock, "cpu_s": cpu_seconds(os.getpid()) - work}


def main() -> None:
    task, name, folder, output, *options = sys.argv[1:]
    module = import_module(f"loaders.{name}")
    numbers = [int(option) for option in options]
    try:
        if task == "prepare":
            result: dict[str, Any] = prepare(module, Path(folder))
        else:
            result = {"measure": measure, "describe": describe}[task](module, Path(folder), numbers)
    except NotImplementedError as error:
        result = {"missing": str(error)}
    Path(output).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
