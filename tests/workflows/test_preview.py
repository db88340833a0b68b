"""A preview shows what training would see, and that labels move with the image only where they should."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import torchio as tio
from PIL import Image

from torchio_seg.config.resolve import load, parse_set, shipped
from torchio_seg.config.sections import Experiment
from torchio_seg.datasets import phantom
from torchio_seg.errors import DataError, UsageError
from torchio_seg.records import Case, Dataset, Labels, Split
from torchio_seg.reports.sheet import Block, Section
from torchio_seg.reports.slices import OKABE_ITO, UNLABELLED, Paint
from torchio_seg.subjects import make_subject
from torchio_seg.transforms.recipe import Recipe
from torchio_seg.volumes.nifti import create
from torchio_seg.workflows import preview
from torchio_seg.workflows.assembly import Plan
from torchio_seg.workflows.preview import choose_paints, make_preview
from torchio_seg.workflows.preview_steps import patch_sections

SMALL = ("sampling.patch_size=[32,32,32]", "network.channels=[8,16]", "dataset.cases=8", "dataset.shape=[36,34,32]")


def experiment(root: Path, *more: str) -> Experiment:
    return load(shipped()["phantom"], {"dataset.root": str(root), **parse_set([*SMALL, *more])})


@pytest.fixture(scope="module")
def brains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "brains"
    phantom.build(root, cases=8, shape=(36, 34, 32))
    return root


@pytest.fixture(scope="module")
def chests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "chests"
    phantom.build(root, kind="thorax", cases=8, shape=(36, 34, 32))
    return root


def lopsided() -> tio.Subject:
    """A patch whose one organ is nowhere like its mirror image."""
    label = torch.zeros(1, 30, 30, 30, dtype=torch.uint8)
    label[0, 3:13, 6:20, 8:20] = 1
    label[0, 6, 12, 12:25] = 1
    return make_subject(label + torch.rand(label.shape), label, np.eye(4), "lopsided")


def outlines(block: Block) -> list[np.ndarray]:
    """Of axial, coronal and sagittal panel, where the first colour is."""
    [row] = block.rows
    return [(np.asarray(panel.picture) == np.array(OKABE_ITO[0])).all(axis=-1) for panel in row]


def sections(*settings: str) -> tuple[Section, ...]:
    chosen = load(shipped()["phantom"], parse_set(settings))
    return patch_sections(chosen, lopsided(), "CT", [Paint("organ", (1,), OKABE_ITO[0])])


def test_intensity_steps_leave_the_outlines_and_a_flip_mirrors_them() -> None:
    patch, spatial, intensity = sections(
        "augmentation.spatial=[{name: flip, probability: 0.1, axes: [0]}]",
        "augmentation.intensity=[{name: noise}, {name: gamma}, {name: blur}, {name: bias_field}, {name: motion}]",
    )
    original, [flipped] = outlines(patch.blocks[0]), map(outlines, spatial.blocks)
    assert all(mask.any() for mask in original)
    assert np.array_equal(flipped[0], original[0][:, ::-1])
    assert np.array_equal(flipped[1], original[1][:, ::-1])
    assert np.array_equal(flipped[2], original[2])
    assert not np.array_equal(flipped[0], original[0])
    assert len(intensity.blocks) == 5
    for block in intensity.blocks:
        assert all(map(np.array_equal, outlines(block), original)), block.name
        shown, plain = (np.asarray(each.rows[0][0].picture) for each in (block, patch.blocks[0]))
        assert not np.array_equal(shown, plain), block.name


def test_steps_inside_one_of_are_shown_one_by_one() -> None:
    inner = "[{name: affine}, {name: one_of, steps: [{name: elastic}]}]"
    _, spatial, intensity = sections(
        f"augmentation.spatial=[{{name: flip}}, {{name: one_of, steps: {inner}}}]", "augmentation.intensity=[]"
    )
    assert [block.name for block in spatial.blocks] == ["flip", "one_of: affine", "one_of: one_of: elastic"]
    assert intensity.blocks == ()
    assert intensity.note == "The experiment has none."


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(brains: Path, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("first.png", "second.png", "third.png")]
    for file, seed in zip(files, (0, 0, 1), strict=True):
        np.random.seed(len(file.name))  # noqa: NPY002 (the global one must not matter)
        torch.manual_seed(len(file.name))
        make_preview(experiment(brains, f"seed={seed}"), file)
    first, second, third = (file.read_bytes() for file in files)
    assert first == second
    assert first != third


def test_cases_with_most_classes_come_first(brains: Path, tmp_path: Path) -> None:
    """The sixth phantom is healthy."""
    everything = experiment(brains, "split.fold=all", "split.test=0")
    made = make_preview(everything, tmp_path / "sheet.png", num_cases=8)
    assert made.cases[-1] == "phantom_005"
    assert made.cases[:-1] == tuple(sorted(made.cases[:-1]))
    assert len(made.cases) == 8
    assert make_preview(everything, tmp_path / "few.png", num_cases=2).cases == made.cases[:2]


@pytest.mark.parametrize(
    "more",
    [
        ("sampling.patch_size=[64,64,64]",),
        ("sampling.mode=whole",),
        ("preprocessing.normalization=histogram", "preprocessing.spacing=[2,2,2]"),
        ("preprocessing.crop_or_pad=[40,40,24]",),
        ("augmentation.spatial=[]", "augmentation.intensity=[]"),
    ],
)
def test_every_way_of_making_patches_gives_a_sheet(brains: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    made = make_preview(experiment(brains, *more), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.size == made.size
        assert image.width <= 2000
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_only_the_images_that_are_shown_are_read(chests: Path, tmp_path: Path) -> None:
    """Of the others, whose voxels are all NaN here, the headers alone."""
    root = tmp_path / "chests"
    shutil.copytree(chests, root)
    settings = ("dataset.kind=thorax", "preprocessing.normalization=percentile", "loss={name: dice_ce}")
    made = make_preview(experiment(root, *settings), tmp_path / "sheet.png", num_cases=2)
    others = [path for path in (root / "imagesTr").iterdir() if path.name.split(".")[0] not in made.cases]
    assert len(others) == 6
    for path in others:
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.full(image.shape, np.nan, np.float32), image.affine), path)
    again = make_preview(experiment(root, *settings), tmp_path / "again.png", num_cases=2)
    assert again.cases == made.cases
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "sheet.png").read_bytes()


def test_a_step_that_cannot_work_on_these_patches_is_named(brains: Path, tmp_path: Path) -> None:
    turned = experiment(brains, "augmentation.spatial=[{name: rotate90}]", "sampling.patch_size=[32,16,16]")
    with pytest.raises(DataError, match="rotate90 about axis 2"):
        make_preview(turned, tmp_path / "sheet.png")
    assert not list(tmp_path.iterdir())


def test_a_sheet_is_replaced_only_when_asked(brains: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    sheet.write_text("mine")
    with pytest.raises(UsageError, match="--overwrite"):
        make_preview(experiment(brains), sheet)
    assert sheet.read_text() == "mine"
    make_preview(experiment(brains), sheet, num_cases=1, overwrite=True)
    assert sheet.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match=r"ends in \.png"):
        make_preview(experiment(brains), tmp_path / "sheet.jpg")
    with pytest.raises(UsageError, match="there is no folder"):
        make_preview(experiment(brains), tmp_path / "not_there" / "sheet.png")


def test_a_case_is_shown_alike_however_its_axes_are_stored(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image, label = rng.random((12, 14, 16)).astype(np.float32), np.zeros((12, 14, 16), np.uint8)
    label[2:9, 3:8, 4:15] = 1
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    turned = np.array([[0, -1, 0, 11], [0, 0, 1.0, 0], [2.0, 0, 0, 0], [0, 0, 0, 1]])
    files = {
        "ras": (image, label, affine),
        "turned": (*(a.transpose(2, 0, 1)[:, ::-1] for a in (image, label)), turned),
    }
    blocks = []
    for name, (voxels, values, place) in files.items():
        create(tmp_path / f"{name}.nii.gz", np.ascontiguousarray(voxels), place)
        create(tmp_path / f"{name}_label.nii.gz", np.ascontiguousarray(values), place)
        case = Case(name, (tmp_path / f"{name}.nii.gz",), tmp_path / f"{name}_label.nii.gz")
        dataset = Dataset("d", ("MRI",), Labels.of_classes({0: "background", 1: "organ"}), (case,))
        plan = Plan(dataset, Split((name,), ()), Recipe(None, None, "none"), (8, 8, 8), torch.nn.Identity())
        blocks.append(preview._case_block(case, plan, choose_paints(dataset), None))
    one, other = blocks
    assert one.details == other.details
    for panel, same in zip(sum(one.rows, ()), sum(other.rows, ()), strict=True):
        assert panel.caption == same.caption
        assert np.array_equal(np.asarray(panel.picture), np.asarray(same.picture))


def test_what_nobody_labelled_is_grey_and_below_everything() -> None:
    labels = Labels.of_classes({0: "background", 1: "organ", 255: "open"}, ignore=255)
    unlabelled, organ = choose_paints(Dataset("d", ("CT",), labels, ()))
    assert (unlabelled.name, unlabelled.values, unlabelled.color) == ("open (ignored)", (255,), UNLABELLED)
    assert not unlabelled.is_foreground
    assert (organ.name, organ.color) == ("organ", OKABE_ITO[0])
