"""nnU-Net, given a time: run by the Python of an environment that has nnunetv2, by bench_accuracy.py.

Its own plan, augmentation, loss and optimizer; only its length is changed, which takes a subclass: it takes steps until
its time is up, over which its learning rate falls as it does over its thousand epochs. No time is spent on checkpoints,
pictures and the validations between its epochs.

    python benchmarks/peers/nnunet.py TRAINING_FOLDER TEST_IMAGES OUTPUT SECONDS DEVICE
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

NAME = "Dataset004_Compared"
BEGUN = time.monotonic()
MARGIN = 0.98
"""Of the time, when the last step begins at the latest."""


def main() -> None:
    training, images, output, seconds, device = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        for part in ("raw", "preprocessed", "results"):
            os.environ[f"nnUNet_{part}"] = str(Path(name) / part)
        convert(Path(training), Path(name) / "raw" / NAME)
        trainer = train(float(seconds), device)
        about = {"train_s": time.monotonic() - BEGUN, "steps": trainer.num_steps, "version": version("nnunetv2")}
        print(json.dumps(about), flush=True)
        predict(trainer, Path(images), Path(output), device)


def convert(task: Path, raw: Path) -> None:
    """The Decathlon's layout as nnU-Net's."""
    facts = json.loads((task / "dataset.json").read_text())
    (raw / "imagesTr").mkdir(parents=True)
    (raw / "labelsTr").mkdir()
    for pair in facts["training"]:
        case = Path(pair["image"]).name.removesuffix(".nii.gz")
        divide(task / pair["image"], raw / "imagesTr" / case)
        shutil.copy(task / pair["label"], raw / "labelsTr" / f"{case}.nii.gz")
    own = {
        "channel_names": facts["modality"],
        "labels": {name if int(value) else "background": int(value) for value, name in facts["labels"].items()},
        "numTraining": len(facts["training"]),
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(own))


def divide(image: Path, stem: Path) -> list[str]:
    """Its channels as files of their own."""
    import nibabel as nib
    import numpy as np

    scan = nib.load(image)  # type: ignore[attr-defined]
    channels = np.moveaxis(np.asanyarray(scan.dataobj).reshape(*scan.shape[:3], -1), -1, 0)  # type: ignore[attr-defined]
    files = [f"{stem}_{number:04d}.nii.gz" for number in range(len(channels))]
    for file, channel in zip(files, channels, strict=True):
        nib.Nifti1Image(channel, scan.affine).to_filename(file)  # type: ignore[attr-defined]
    return files


def train(seconds: float, device: str) -> Any:
    """Its trainer after so many steps as fit."""
    import torch
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    processes = max(1, len(os.sched_getaffinity(0)))
    extract_fingerprints([4], num_processes=processes)
    plan_experiments([4])
    preprocess([4], configurations=("3d_fullres",), num_processes=(processes,))
    folder = Path(os.environ["nnUNet_preprocessed"]) / NAME  # noqa: SIM112 (its own name)

    class Timed(nnUNetTrainer):  # type: ignore[misc]
        """Trains until its time is up, and neither validates nor saves within it."""

        num_steps = 0

        def run_training(self) -> None:
            self.disable_checkpointing = True
            self.on_train_start()
            self.network.train()
            while (passed := (time.monotonic() - BEGUN) / (MARGIN * seconds)) < 1:
                self.lr_scheduler.step(passed * self.num_epochs)
                self.train_step(next(self.dataloader_train))
                self.num_steps += 1
            self.on_train_end()

    trainer = Timed(
        json.loads((folder / "nnUNetPlans.json").read_text()) | {"continue_training": False},
        "3d_fullres",
        "all",
        json.loads((folder / "dataset.json").read_text()),
        torch.device(device),
    )
    trainer.run_training()
    return trainer


def predict(trainer: Any, images: Path, output: Path, device: str) -> None:
    """Its prediction of every test case, mirroring included."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(use_mirroring=True, perform_everything_on_device=True, device=torch.device(device))
    network = trainer.network
    network.decoder.deep_supervision = False
    predictor.manual_initialization(
        network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [network.state_dict()],
        trainer.dataset_json,
        "nnUNetTrainer",
        trainer.inference_allowed_mirroring_axes,
    )
    output.mkdir(parents=True, exist_ok=True)
    names = sorted(path.name for path in images.glob("*.nii.gz"))
    predictor.predict_from_files(
        [divide(images / name, output / name.removesuffix(".nii.gz")) for name in names],
        [str(output / name.removesuffix(".nii.gz")) for name in names],
        overwrite=True,
        num_processes_preprocessing=1,
        num_processes_segmentation_export=1,
    )


if __name__ == "__main__":
    main()
