"""nnU-Net's own loader, put together as its trainer does it, on data that its own commands have prepared.

Patches come from volumes that are cropped to the brain and kept in blosc2's format, one read for each patch, and the
second of each batch holds foreground; the trainer's default augmentation, without deep supervision. With no workers
it is nnU-Net's single-threaded augmenter, else its NonDetMultiThreadedAugmenter with as many processes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from loaders.cases import BATCH_SIZE, CHANNELS, PATCH_SIZE, case_files

NAME = "Dataset501_Bench"
PLANS = "nnUNetPlans"
CONFIGURATION = "3d_fullres"


def prepare(folder: Path) -> None:
    """Fingerprint, plan, the plan's patch and batch changed to the benchmark's, preprocessing."""
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    _set_folders(folder)
    _lay_out(folder)
    api.extract_fingerprints([501], num_processes=2)
    api.plan_experiments([501])
    path = folder / "nnunet" / "preprocessed" / NAME / f"{PLANS}.json"
    plans = json.loads(path.read_text())
    plans["configurations"][CONFIGURATION] |= {"patch_size": list(PATCH_SIZE), "batch_size": BATCH_SIZE}
    path.write_text(json.dumps(plans))
    api.preprocess([501], PLANS, (CONFIGURATION,), (2,))


def batches(folder: Path, num_workers: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:  # noqa: ARG001
    """What nnUNetTrainer.get_dataloaders makes for training; the loader for validation is left out."""
    trainer = _trainer(folder)
    loader = _loader(trainer)
    if num_workers == 0:
        augmenter = SingleThreadedAugmenter(loader, None)
    else:
        augmenter = NonDetMultiThreadedAugmenter(
            data_loader=loader,
            transform=None,
            num_processes=num_workers,
            num_cached=max(6, num_workers // 2),
            seeds=None,
            pin_memory=False,
            wait_time=0.002,
        )
    for batch in augmenter:
        yield batch["data"], batch["target"]


def _set_folders(folder: Path) -> None:
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(folder / "nnunet" / name)


def _lay_out(folder: Path) -> None:
    """Links in the raw layout."""
    dataset = folder / "nnunet" / "raw" / NAME
    for part in ("imagesTr", "labelsTr"):
        (dataset / part).mkdir(parents=True)
    cases = case_files(folder)
    for number, (images, label) in enumerate(cases):
        for channel, path in enumerate(images):
            (dataset / "imagesTr" / f"case_{number}_{channel:04d}.nii.gz").symlink_to(path.resolve())
        (dataset / "labelsTr" / f"case_{number}.nii.gz").symlink_to(label.resolve())
    about = {
        "channel_names": {str(number): name for number, name in enumerate(CHANNELS)},
        "labels": {"background": 0, "core": 1, "oedema": 2, "enhancing": 3},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
    }
    (dataset / "dataset.json").write_text(json.dumps(about))


def _trainer(folder: Path) -> nnUNetTrainer:
    """One that is not initialized, for it needs no network here, and trains on all cases."""
    _set_folders(folder)
    base = folder / "nnunet" / "preprocessed" / NAME
    plans = json.loads((base / f"{PLANS}.json").read_text()) | {"continue_training": False}
    about = json.loads((base / "dataset.json").read_text())
    trainer = nnUNetTrainer(plans, CONFIGURATION, "all", about, torch.device("cpu"))
    trainer.enable_deep_supervision = False
    return trainer


def _loader(trainer: nnUNetTrainer) -> nnUNetDataLoader:
    trainer.dataset_class = infer_dataset_class(trainer.preprocessed_dataset_folder)
    configuration, labels = trainer.configuration_manager, trainer.label_manager
    rotation, in_planes, first_size, mirrored = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    transforms = trainer.get_training_transforms(
        configuration.patch_size,
        rotation,
        trainer._get_deep_supervision_scales(),  # noqa: SLF001 (as get_dataloaders does)
        mirrored,
        in_planes,
        use_mask_for_norm=configuration.use_mask_for_norm,
        is_cascaded=trainer.is_cascaded,
        foreground_labels=labels.foreground_labels,
        regions=labels.foreground_regions if labels.has_regions else None,
        ignore_label=labels.ignore_label,
    )
    training, _ = trainer.get_tr_and_val_datasets()
    return nnUNetDataLoader(
        training,
        configuration.batch_size,
        first_size,
        configuration.patch_size,
        labels,
        oversample_foreground_percent=trainer.oversample_foreground_percent,
        sampling_probabilities=None,
        pad_sides=None,
        transforms=transforms,
        probabilistic_oversampling=trainer.probabilistic_oversampling,
    )
