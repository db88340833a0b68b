"""What is wrong with no single file: classes that training never sees, patients on both sides."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from small_data import content, experiment_of, image, label, make

from torchio_seg.check.checks import run_checks
from torchio_seg.check.finding import Finding, Report
from torchio_seg.check.gathering import gather
from torchio_seg.check.known import Known
from torchio_seg.check.text import SHOWN
from torchio_seg.config.sections import Preprocessing
from torchio_seg.errors import DataError
from torchio_seg.records import Dataset, Labels, Split
from torchio_seg.workflows.cases import load_dataset
from torchio_seg.workflows.check import check_dataset, check_experiment, require_sound

CLASSES = {"labels": {"0": "background", "1": "lesion", "2": "cyst"}}


def findings_on(dataset: Dataset, split: Split) -> list[Finding]:
    return list(run_checks(Known(dataset, split, Preprocessing(), gather(dataset.cases))))


def test_a_class_that_only_the_validation_holds_is_a_warning(tmp_path: Path) -> None:
    root = make(tmp_path / "data", labels={"b": content(label(2))}, description=CLASSES)
    dataset = load_dataset(experiment_of(root))
    assert findings_on(dataset, Split(("a", "b", "c"), ("d",))) == []
    (finding,) = findings_on(dataset, Split(("a", "c", "d"), ("b",)))
    assert (finding.severity, finding.reason) == ("warning", "cyst (2) stands in no label map of the training cases")


def test_a_label_that_a_region_has_and_no_case_is_a_warning(tmp_path: Path) -> None:
    root = make(tmp_path / "data", description=CLASSES)
    labels = Labels.of_regions({0: "background", 1: "rim", 2: "core"}, {"tumour": (1, 2), "core": (2,)})
    dataset = replace(load_dataset(experiment_of(root)), labels=labels)
    found = {(finding.severity, finding.reason) for finding in findings_on(dataset, Split(("a", "b", "c", "d"), ()))}
    assert found == {
        ("warning", "label 2 of region tumour stands in none of the 4 label maps"),
        ("error", "core (2) is declared, but stands in none of the 4 label maps"),
    }


def test_the_value_to_ignore_is_allowed_and_is_no_class(tmp_path: Path) -> None:
    root = make(tmp_path / "data", labels={"b": content(label(255))})
    labels = Labels.of_classes({0: "background", 1: "lesion"}, ignore=255)
    dataset = replace(load_dataset(experiment_of(root)), labels=labels)
    (finding,) = findings_on(dataset, Split(("a", "b", "c", "d"), ()))
    assert (finding.severity, finding.case) == ("warning", "b")
    assert finding.reason == "nothing is marked, every voxel is background or ignored"


def test_a_patient_on_both_sides_is_a_warning(tmp_path: Path) -> None:
    dataset = load_dataset(experiment_of(make(tmp_path / "data")))
    first, second, *others = dataset.cases
    grouped = replace(dataset, cases=(replace(first, group="P7"), replace(second, group="P7"), *others))
    assert findings_on(grouped, Split(("a", "b", "c"), ("d",))) == []
    (finding,) = findings_on(grouped, Split(("a", "c", "d"), ("b",)))
    assert finding.reason == "scans of one patient (P7) are divided: a is for training, b is for validation"


def test_validation_and_test_that_share_an_image_are_an_error(tmp_path: Path) -> None:
    root = make(tmp_path / "data", images={"c": content(image(3))})
    dataset = load_dataset(experiment_of(root))
    (finding,) = findings_on(dataset, Split(("a", "b"), ("c",), ("d",)))
    assert (finding.severity, finding.check) == ("error", "leaked-image")
    assert finding.reason.endswith("of case c, which is for validation, this one for test")


def test_a_label_of_two_problems_is_told_of_both(tmp_path: Path) -> None:
    """All problems are listed, not the first."""
    root = make(tmp_path / "data", labels={"b": content(label(5)[:, :, :6])}, images={"b": content(image(1) * 0)})
    found = [finding.check for finding in check_experiment(experiment_of(root)).report.errors]
    assert found == ["constant-channel", "label-on-image", "undeclared-values"]


def test_what_training_asks_is_what_the_command_says(tmp_path: Path) -> None:
    root = make(tmp_path / "data", images={"b": content(image(1) * 0)})
    experiment = experiment_of(root)
    checked = check_experiment(experiment)
    report = check_dataset(experiment, checked.dataset, Split(("a", "b", "c"), ("d",)))
    assert report.findings == checked.report.findings
    assert (report.num_read, report.num_files) == (0, 8)


def test_a_single_slice_is_no_volume(tmp_path: Path) -> None:
    """A file that is 2-D is refused, too."""
    slices = {"images": {"b": content(image(1)[:, :, :1])}, "labels": {"b": content(label()[:, :, :1])}}
    findings = check_experiment(experiment_of(make(tmp_path / "data", **slices))).report.errors
    assert [(finding.check, finding.case) for finding in findings] == [("single-slice", "b")]
    assert "whole series" in findings[0].cure


def test_warnings_are_logged_and_many_errors_are_counted(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path)
    warnings = [Finding("warning", "empty-label", f"empty {number}", "look", "a") for number in range(SHOWN + 3)]
    told: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: told.append(record.getMessage())
    logger = logging.getLogger("torchio_seg.workflows.check")
    logger.addHandler(handler)
    try:
        require_sound(Report(tuple(warnings)), experiment)
    finally:
        logger.removeHandler(handler)
    shown = [f"case a: {each.reason}; look" for each in warnings[:SHOWN]]
    assert told == [*shown, "and 3 more; torchio-seg check lists them"]
    error = Finding("error", "constant-channel", "constant", "drop it", "a")
    with pytest.raises(DataError, match=r"(?s)cannot be trained on, 25 errors:\n  case a: .*\n  and 5 more\n"):
        require_sound(Report((error,) * (SHOWN + 5)), experiment)
