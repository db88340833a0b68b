"""Every setting of an experiment: typed, frozen, strict. One line of explanation each, default beside type."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from torchio_seg.config.optimizations import Optimization
from torchio_seg.config.values import Component, DeviceName, Duration, Fraction, Overlap, Part, Section, Size, Spacing


class DatasetSection(Component):
    """Where cases come from."""

    root: Path | None = None
    """Folder of the data; null: data/NAME below the current folder, NAME being the experiment's."""


class Coding(Section):
    """What DICOM calls a class."""

    type: tuple[str, str, str]
    """Code, terminology and meaning: ['10200004', SCT, Liver]."""
    category: Literal["anatomy", "lesion"] = "anatomy"
    """What kind of thing it is."""
    side: Literal["left", "right"] | None = None
    """Which of a pair it is."""


class Split(Section):
    """Which cases train, which choose the best model, which are kept for the end."""

    method: Literal["auto", "hold_out", "k_fold", "nnunet", "monai", "in_order"] = "auto"
    """auto: as the data set says; where it does not, hold_out, or k_fold once a fold is named. hold_out and k_fold:
    at random, patients kept together, classes spread evenly. nnunet: its five folds. monai: DecathlonDataset's
    division. in_order: the first ids test, the next validate, the others train."""
    validation: Part = 0.1
    """Cases that choose the best epoch: a share (0.1) or a number (2)."""
    test: Part = 0.0
    """Cases that are evaluated once, with the best model, when training ends: a share or a number."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Of k_fold."""
    fold: NonNegativeInt | Literal["all"] | None = None
    """Which fold validates, counted from 0; all: every case trains and none validates."""
    seed: int = 0
    """Shuffles the cases before they are divided; apart from the experiment's seed, so that repeats share a split."""


class Preprocessing(Section):
    """What is done to every volume before patches are cut, in training and in prediction alike."""

    spacing: Spacing | Literal["native", "median"] = "native"
    """Voxel size in mm: as it is, the median of the training cases, or three numbers (left-right, back-front, up)."""
    resize: Size | None = None
    """Resample to exactly this many voxels instead; undone after prediction."""
    crop_or_pad: Size | None = None
    """Then cut or fill the volume about its centre to exactly this many voxels; what is cut counts as background."""
    antialias: bool = False
    """Along an axis that keeps half of its voxels or fewer, average those that become one; false: linear as others."""
    normalization: Literal["auto", "zscore", "zscore_all", "percentile", "minmax", "window", "histogram", "none"] = (
        "auto"
    )
    """auto: percentile for CT, else zscore. zscore: per channel over non-zero voxels; zscore_all: over all.
    percentile: clip to `percentiles` of the training foreground, then z-score by its statistics. minmax: each volume
    to 0..1. window: clip to `window`, then to 0..1. histogram: match the training cases' mean histogram (its landmarks
    stay with the model), then zscore."""
    nonfinite: Literal["refuse", "zero"] = "refuse"
    """What a NaN or infinite voxel is: an error, or 0, counted and said."""
    percentiles: tuple[float, float] = (0.5, 99.5)
    """Of the foreground intensities of the training cases."""
    window: tuple[float, float] | None = None
    """Lowest and highest intensity for `window`, in the volume's own unit."""

    @model_validator(mode="after")
    def _require_bounds(self) -> Preprocessing:
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise ValueError(
                f"percentiles are {low:g} and {high:g}; give two numbers from 0 to 100, the lower one first"
            )
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError(f"window is {self.window[0]:g} to {self.window[1]:g}; give the lower number first")
        if self.normalization == "window" and self.window is None:
            raise ValueError("normalization is window, so window must give [lowest, highest]")
        return self


class Augmentation(Section):
    """Random changes of training patches, in order. Spatial ones move images and labels, intensity ones images only."""

    spatial: tuple[Component, ...] = ()
    """Functions of torchio_seg/transforms/spatial.py by name, with their options."""
    intensity: tuple[Component, ...] = ()
    """Functions of torchio_seg/transforms/intensity.py by name, with their options."""
    image_interpolation: Literal["linear", "cubic"] = "linear"
    """Between voxels that our spatial steps move; cubic is the spline through the voxels, about eight times slower."""
    label_interpolation: Literal["nearest", "linear"] = "nearest"
    """linear: of each label's mask, and the label with most of the voxel wins; slower by the number of labels."""
    device: Literal["cpu", "cuda"] = "cpu"
    """cpu: in the worker processes. cuda: on the GPU that trains, where workers cannot keep up with it."""


class Sampling(Section):
    """How patches are drawn and handed to training."""

    patch_size: Size = (64, 64, 64)
    """Voxels; an axis on which every training volume is shorter is shortened to the next size the network takes."""
    mode: Literal["foreground", "uniform", "balanced", "weighted", "whole"] = "foreground"
    """foreground: a share of the patches is centred on a voxel of a random class present. uniform: anywhere.
    balanced: each is centred on a voxel of a class drawn from all that are present, background too. weighted: on a
    voxel as likely as `map` says. whole: the preprocessed volume is the patch, `patch_size` is not used; all must have
    one shape."""
    foreground_fraction: Annotated[float, Field(ge=0, le=1)] = 0.34
    """Share of the patches that mode foreground centres on foreground; nnU-Net has a third."""
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Labels or regions that foreground and balanced choose from; null: all that are foreground, or all."""
    map: str | None = None
    """For weighted: a path below the data's root in which {case} stands for the id, to a volume of numbers from 0 on in
    the grid of the case's image."""
    patches_per_case: PositiveInt = 4
    """Drawn from every case in an epoch."""
    num_workers: NonNegativeInt = 1
    """Processes that read and augment; the stream of patches is the same for any number."""
    store: Path | None = None
    """Folder of prepared cases; null: TORCHIO_SEG_STORE, else store/ in the user's cache folder."""
    store_dtype: Literal["float16", "float32"] = "float16"
    """How images are kept there; float16 has 11 bits (a CT to 0.25, 0.5 or 1 HU) and half the size."""

    @model_validator(mode="after")
    def _require_what_belongs_together(self) -> Sampling:
        if self.classes is not None and self.mode not in {"foreground", "balanced"}:
            raise ValueError(f"classes are for mode foreground and balanced, mode is {self.mode}; leave classes null")
        if (self.mode == "weighted") != (self.map is not None):
            raise ValueError("mode weighted and a map belong together; give both, as map: maps/{case}.nii.gz, or none")
        if self.map is not None and "{case}" not in self.map:
            raise ValueError(f"map is {self.map}; it must hold {{case}} where a case's id stands")
        return self


class Training(Section):
    """How long and in what portions."""

    epochs: PositiveInt = 100
    """Visits to every training case; how long training is, where neither of the next two says it."""
    steps: PositiveInt | None = None
    """Changes of the weights, instead of epochs."""
    max_time: Duration | None = None
    """For the whole command, instead of epochs: 30m, 1h30m. The first steps are timed, so many follow as fit."""
    batch_size: PositiveInt = 2
    """Patches of a batch."""
    accumulate: PositiveInt = 1
    """Batches whose gradients are averaged before the weights change."""
    patches_at_once: PositiveInt | None = None
    """Of a batch, those that go through the network together, where memory is short; null: all. Steps are the same."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the network's arithmetic; weights and sums stay fp32."""
    clip_norm: PositiveFloat | None = 12.0
    """Longest gradient vector; longer ones are shortened."""
    coarse_weight: Annotated[float, Field(gt=0, le=1)] = 0.5
    """What a coarser output of a network with deep supervision counts for in the loss, beside the next finer one."""
    ema: Fraction | None = None
    """What of the running average of the weights stays at each step (0.999), which is then validated and kept; null:
    the weights themselves are."""
    validation_every: PositiveInt = 5
    """Epochs between validations; training ends with one."""
    validation_cases: PositiveInt | None = None
    """Predicted anew in a validation in between, others each time; null: all. The last one always has all. Models are
    compared once each case had its turn, by the latest scores of all."""
    best: str = "mean_dice"
    """What tells the best model: mean_dice, loss, a region's name for its Dice, a metric (hd95), or hd95/REGION."""
    metrics: tuple[str, ...] = ()
    """What is measured beside Dice, in validations and at the end (docs/metrics.md): [hd95, surface_dice], or [all]."""
    patience: PositiveInt | None = None
    """Validations in a row that may bring nothing better before training ends; null: it goes on."""
    save_every: PositiveInt | None = None
    """Steps between savings of what is needed to resume; null: each epoch's end."""
    activation_checkpointing: bool = False
    """Compute each level of the network twice instead of keeping what it needs for its gradient."""
    channels_last: bool = False
    """Lay out weights and images channel by channel in each voxel, which many CPUs and GPUs convolve faster."""
    compile: bool = False
    """Compile the network by torch.compile; where that fails, one line says so and it runs as it is."""

    @property
    def portion(self) -> int:
        """Patches that go through the network together."""
        return min(self.batch_size, self.patches_at_once or self.batch_size)

    @model_validator(mode="after")
    def _require_one_length(self) -> Training:
        if self.steps is not None and self.max_time is not None:
            raise ValueError("steps and max_time each say how long training is; give one of them")
        return self


class Prediction(Section):
    """How a whole volume is taken apart and put together."""

    patch_size: Size | None = None
    """Voxels; null: as in training, which is the only size that unetr takes."""
    overlap: Overlap = 0.5
    """Of a patch, what neighbours cover too: a share in each axis, or voxels (32vox, or 32,32,16vox)."""
    batch_size: PositiveInt = 1
    """Patches a forward pass."""
    blending: Literal["crop", "average", "hann", "gaussian"] = "gaussian"
    """crop: the middle of each patch. Others: weighted mean, by nothing, a Hann window or a Gaussian."""


class Pictures(Section):
    """Tables of slices that the run's own folder keeps, whatever else tracks it (docs/tracking.md)."""

    slices: PositiveInt | Literal["all", "none"] = "none"
    """Of each case, the most telling ones; all; none: no pictures are kept."""
    cases: NonNegativeInt = 2
    """Of each part of the data; 0: all."""


class Experiment(Section):
    """The whole of it, as kept in the run's folder and beside the weights."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    """Folder below runs/: letters, digits, '-', '_' and '.'."""
    seed: NonNegativeInt = 0
    """Of weights, patches and augmentation."""
    device: DeviceName = "auto"
    """auto (cuda, else mps, else cpu), cpu, cuda, cuda:1 or mps."""
    deterministic: Literal["strict", "seeded"] = "seeded"
    """strict: an operation without a deterministic version is an error. seeded: only random numbers are fixed."""
    dataset: DatasetSection
    """Folder torchio_seg/datasets/."""
    codes: dict[str, Coding] = Field(default_factory=dict)
    """Terms for classes or regions by name, for predictions in DICOM; the others are looked up (docs/dicom.md)."""
    split: Split = Split()
    preprocessing: Preprocessing = Preprocessing()
    augmentation: Augmentation = Augmentation()
    sampling: Sampling = Sampling()
    network: Component = Component(name="unet")
    """Folder torchio_seg/networks/."""
    init_from: Path | None = None
    """Weights to begin with: a run, a file of them, a MONAI bundle or a checkpoint of nnU-Net; null: random ones."""
    loss: Component = Component(name="dice_ce")
    """Folder torchio_seg/losses/."""
    optimization: Optimization = Optimization()
    training: Training = Training()
    prediction: Prediction = Prediction()
    pictures: Pictures = Pictures()
    tracker: Component = Component(name="wandb")
    """Folder torchio_seg/trackers/; metrics.jsonl is written in any case."""
