"""A MONAI bundle: a folder with weights, a traced network, and the network and window in MONAI's words.

    configs/metadata.json   what goes in and comes out, versions
    configs/inference.json  network_def, inferer: for MONAI's ConfigParser
    configs/model.json      our card: labels, preprocessing, settings
    models/model.pt         the weights, as a state_dict
    models/model.ts         the network, traced; where MONAI has no such network, network_def is this

Preprocessing is in the card alone: MONAI's transforms resample and normalise otherwise, so none are written that would
only nearly do the same. What goes in is a normalised volume, turned to right, front, up.
"""

from __future__ import annotations

import json
import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch

from torchio_seg import checkpoint
from torchio_seg.config.values import voxels
from torchio_seg.errors import DataError
from torchio_seg.export import torchscript
from torchio_seg.export.exportable import CARD, Exportable
from torchio_seg.files import write_json, write_text
from torchio_seg.networks.segresnet import NUM_GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torchio_seg.checkpoint import ModelCard
    from torchio_seg.export.exportable import Network

SUFFIX = ""
_WEIGHTS, _TRACED = "models/model.pt", "models/model.ts"
_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20220324.json"
_MODES = {"gaussian": "gaussian"}
"""Our blendings that MONAI's inferer has; the others become its mean."""


def write(exportable: Exportable, folder: Path) -> None:
    """All files of the bundle, into a folder that is made for it."""
    for name in ("configs", "models"):
        (folder / name).mkdir(parents=True)
    metadata = _metadata(exportable)
    write_json(folder / "configs" / "metadata.json", metadata)
    write_json(folder / "configs" / "inference.json", _inference(exportable))
    write_text(folder / "configs" / CARD, checkpoint.card_text(exportable.card))
    torch.save({key: tensor.clone() for key, tensor in exportable.network.state_dict().items()}, folder / _WEIGHTS)
    torchscript.write(exportable, folder / _TRACED, {"metadata.json": json.dumps(metadata)})


def read(folder: Path) -> Network:
    """What MONAI makes of the bundle: the network of its configuration with its weights; only for our own bundles."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit as a whole
        from monai.bundle.config_parser import ConfigParser

        parser = ConfigParser()
        parser.read_config(str(folder / "configs" / "inference.json"))
        parser["bundle_root"] = str(folder)
        network: torch.nn.Module = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(folder / _WEIGHTS, map_location="cpu", weights_only=True))
    network.eval()
    traced = torchscript.read(folder / _TRACED)

    def both(images: torch.Tensor) -> torch.Tensor:
        """The logits of the one, held against those of the other."""
        logits: torch.Tensor = network(images)
        if not torch.allclose(logits, traced(images), rtol=0, atol=1e-4):
            raise DataError(f"{_WEIGHTS} and {_TRACED} differ")
        return logits

    return both


def is_bundle(folder: Path) -> bool:
    """Whether this is the folder of a bundle."""
    return (folder / "configs" / "metadata.json").is_file()


def _inference(exportable: Exportable) -> dict[str, Any]:
    settings = exportable.card.experiment["prediction"]
    inferer = {
        "_target_": "monai.inferers.SlidingWindowInferer",
        "roi_size": list(exportable.images.shape[2:]),
        "sw_batch_size": settings["batch_size"],
        "overlap": _overlap(settings["overlap"], exportable.images.shape[2:]),
        "mode": _MODES.get(settings["blending"], "constant"),
    }
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": _network_def(exportable.card),
        "weights": f"$torch.load(@bundle_root + '/{_WEIGHTS}', map_location='cpu', weights_only=True)",
        "inferer": inferer,
    }


def _overlap(overlap: float | str, patch_size: Sequence[int]) -> float | list[float]:
    """As shares, which MONAI's inferer takes."""
    if not isinstance(overlap, str):
        return overlap
    return [length / side for length, side in zip(voxels(overlap), patch_size, strict=True)]


def _network_def(card: ModelCard) -> dict[str, Any]:
    """The network in MONAI's words, or the traced one where it has no such network."""
    options = card.experiment["network"]
    if (describe := _IN_MONAI.get(options["name"])) is None:
        return {"_target_": "torch.jit.load", "f": f"$@bundle_root + '/{_TRACED}'", "map_location": "cpu"}
    channels = {"in_channels": len(card.channels), "out_channels": card.labels.num_channels}
    return {**describe(options), **channels}


def _unet(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "_target_": "monai.networks.nets.UNet",
        "spatial_dims": 3,
        "channels": options["channels"],
        "strides": [2] * (len(options["channels"]) - 1),
        "num_res_units": options["num_res_units"],
        "norm": options["norm"],
        "act": options["activation"],
        "dropout": options["dropout"],
    }


def _segresnet(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "_target_": "monai.networks.nets.SegResNet",
        "spatial_dims": 3,
        "init_filters": options["init_filters"],
        "blocks_down": options["blocks_down"],
        "blocks_up": options["blocks_up"],
        "dropout_prob": options["dropout"] or None,
        "norm": ["group", {"num_groups": NUM_GROUPS}],
        "upsample_mode": "nontrainable" if options["upsampling"] == "linear" else "deconv",
    }


def _swinunetr(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "_target_": "monai.networks.nets.SwinUNETR",
        "feature_size": options["feature_size"],
        "depths": options["depths"],
        "num_heads": options["num_heads"],
        "window_size": options["window_size"],
        "drop_rate": options["dropout"],
        "dropout_path_rate": options["drop_path"],
    }


_IN_MONAI: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "unet": _unet,
    "segresnet": _segresnet,
    "swinunetr": _swinunetr,
}
"""Networks that are MONAI's own, unchanged. What is written here is held against the network on every export."""


def _metadata(exportable: Exportable) -> dict[str, Any]:
    card, shape = exportable.card, list(exportable.images.shape[2:])
    names = [*(["background"] if card.labels.exclusive else []), *(region.name for region in card.labels.regions)]
    layout = {"spatial_shape": shape, "dtype": "float32", "is_patch_data": True}
    image = {
        "type": "image",
        "format": "hounsfield" if card.is_ct else "magnitude",
        "modality": "CT" if card.is_ct else "MR",
        "num_channels": len(card.channels),
        "value_range": [],
        "channel_def": {str(number): name for number, name in enumerate(card.channels)},
        **layout,
    }
    logits = {
        "type": "image",
        "format": "segmentation",
        "num_channels": card.labels.num_channels,
        "value_range": [],
        "channel_def": {str(number): name for number, name in enumerate(names)},
        **layout,
    }
    return {
        "schema": _SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": "exported by torchio-seg"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch"),
        "numpy_version": version("numpy"),
        "required_packages_version": {},
        "task": f"segmentation of {', '.join(region.name for region in card.labels.regions)}",
        "description": f"A network trained on {card.dataset} with torchio-seg; preprocessing is told in {CARD}.",
        "authors": "",
        "copyright": "",
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": logits}},
    }
