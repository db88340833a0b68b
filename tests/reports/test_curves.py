from __future__ import annotations

import xml.etree.ElementTree as ET

from torchio_seg.reports.curves import curves

RECORDS = [
    {"kind": "epoch", "epoch": 1, "loss": 1.0, "learning_rate": 0.01},
    {"kind": "step", "epoch": 1, "loss": 9.0},
    {"kind": "epoch", "epoch": 2, "loss": 0.5, "learning_rate": 0.005},
    {"kind": "validation", "epoch": 2, "loss": 0.7, "mean_dice": 0.6, "dice": {"a <b>": 0.6, "never": None}},
    {"kind": "epoch", "epoch": 3, "loss": None, "learning_rate": 0.001},
]


def test_every_line_is_drawn_and_named() -> None:
    root = ET.fromstring(curves(RECORDS, "run & title"))  # noqa: S314 (our own text)
    texts = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    for name in (
        "run & title",
        "training 0.5",
        "validation 0.7",
        "mean 0.6",
        "a <b> 0.6",
        "never",
        "learning rate 0.001",
    ):
        assert name in texts, name
    lines = [element for element in root.iter() if element.tag.endswith("polyline")]
    assert len(lines) == 2  # training loss and learning rate; single points are circles


def test_higher_values_are_drawn_higher_and_later_epochs_further_right() -> None:
    root = ET.fromstring(curves(RECORDS, "x"))  # noqa: S314
    loss = next(element for element in root.iter() if element.tag.endswith("polyline"))
    (x0, y0), (x1, y1) = (tuple(map(float, point.split(","))) for point in loss.attrib["points"].split())
    assert x1 > x0
    assert y1 > y0  # SVG's y grows downwards, the loss fell


def test_a_run_without_anything_yet_is_still_a_picture() -> None:
    ET.fromstring(curves([], "empty"))  # noqa: S314
