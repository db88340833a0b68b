"""What a process of its own does to tell what labelling a whole volume takes: a real network on noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchio as tio
from pydantic import TypeAdapter

from torchio_seg import devices, memory
from torchio_seg.config.resolve import resolve
from torchio_seg.predictor.predictor import Predictor
from torchio_seg.predictor.window import Window, on_device
from torchio_seg.records import Dataset, Labels
from torchio_seg.transforms.preprocessing import pad_to
from torchio_seg.transforms.recipe import Recipe
from torchio_seg.volumes.reading import Volume
from torchio_seg.workflows.budgets import Budgets, Fitting
from torchio_seg.workflows.network import build_network
from torchio_seg.workflows.trial import device_figures, limit

FULL_MODES = ("crop", "average", "hann")
"""Of TorchIO's aggregator."""
_PLAIN = Recipe(None, None, "none")


def label_volume(argument: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds from a volume in main memory to its label map there, bytes before and on a GPU, number of weights."""
    experiment = resolve(argument["experiment"], {}, "the benchmark")
    labels: Labels = TypeAdapter(Labels).validate_python(argument["labels"])
    dataset = Dataset("trial", tuple(argument["channels"]), labels, ())
    device = devices.choose(experiment.device)
    if device.type == "cuda" and argument["device_bytes"] is not None:
        limit(device, argument["device_bytes"])
    window = _window(experiment.prediction, experiment.sampling.patch_size)
    network = build_network(experiment, dataset, window.patch_size).to(device).eval()
    volume = np.random.default_rng(0).standard_normal((len(dataset.channels), *argument["shape"]), dtype=np.float32)
    label: Callable[[Any], Any]
    if argument["aggregation"] == "full":
        answer = on_device(network, device, experiment.training.precision, labels.num_channels)
        label = partial(_by_torchio, network=answer, window=window)
    else:
        predictor = Predictor(network, labels, _PLAIN, window, device, experiment.training.precision)
        noise = Volume(Path("noise"), volume, np.eye(4), None)
        [placed] = Fitting(predictor, len(dataset.channels), Budgets()).placed_for(noise)
        label = partial(placed, affine=noise.affine, probabilities=False)
    memory.reset_peak()
    before, started = memory.peak_bytes(), time.perf_counter()
    found = label(volume)
    seconds = time.perf_counter() - started
    del found
    return {
        "seconds": seconds,
        "before_step": before,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        **device_figures(device),
    }


def _window(prediction: Any, patch_size: tuple[int, int, int]) -> Window:
    return Window(patch_size, prediction.overlap, prediction.batch_size, prediction.blending)


def _by_torchio(volume: Any, network: Callable[[torch.Tensor], torch.Tensor], window: Window) -> Any:
    """TorchIO's own way: all logits in one volume, then the largest."""
    padded = pad_to(torch.from_numpy(volume), window.patch_size)
    subject = tio.Subject(image=tio.ScalarImage(tensor=padded))
    sampler = tio.GridSampler(subject, window.patch_size, window.overlap_voxels)
    aggregator = tio.GridAggregator(sampler, overlap_mode=window.blending)
    for batch in tio.SubjectsLoader(sampler, batch_size=window.batch_size):  # type: ignore[arg-type]
        aggregator.add_batch(network(batch["image"][tio.DATA]), batch[tio.LOCATION])
    i, j, k = volume.shape[1:]
    return aggregator.get_output_tensor()[:, :i, :j, :k].argmax(dim=0).to(torch.uint8)
