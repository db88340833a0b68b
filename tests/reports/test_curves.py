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


ORGANS = [f"a very long organ of which there are many, number {number}" for number in range(13)]
MANY = [
    {"kind": "epoch", "epoch": 1, "loss": 1.0, "learning_rate": 0.01},
    *(
        {"kind": "validation", "epoch": epoch, "loss": 0.5, "mean_dice": 0.5, "dice": dict.fromkeys(ORGANS, 0.00012345)}
        for epoch in (1, 2)
    ),
]
LETTER_WIDTH = 7.0
"""Of a 12 px sans-serif font: more than the mean of words."""


def elements(svg: str, kind: str) -> list[ET.Element]:
    return [element for element in ET.fromstring(svg).iter() if element.tag.endswith("}" + kind)]  # noqa: S314


def test_many_lines_stay_inside_their_panel_and_the_picture() -> None:
    svg = curves(MANY, "x")
    texts = elements(svg, "text")
    top = {text.text: float(text.attrib["y"]) for text in texts}
    rate = texts.index(next(text for text in texts if text.text == "Learning rate"))
    assert all(float(text.attrib["y"]) < top["Learning rate"] - 12 for text in texts[:rate])
    width, height = (float(ET.fromstring(svg).attrib[side]) for side in ("width", "height"))  # noqa: S314
    for text in texts:
        assert float(text.attrib["y"]) < height
        if "text-anchor" not in text.attrib:
            assert float(text.attrib["x"]) + LETTER_WIDTH * len(text.text or "") <= width, text.text


def test_fourteen_lines_look_fourteen_ways_and_are_named_by_how_they_look() -> None:
    def look(element: ET.Element) -> tuple[str | None, str | None]:
        return element.get("stroke"), element.get("stroke-dasharray")

    svg = curves(MANY, "x")
    drawn = [look(line) for line in elements(svg, "polyline")][1:]  # after the validation loss
    assert len(set(drawn)) == len(drawn) == 14
    samples = [look(line) for line in elements(svg, "line") if line.get("stroke") != "#ddd"]
    assert samples[2:16] == drawn  # after the two losses


def test_single_points_of_many_lines_look_different_too() -> None:
    circles = elements(curves(MANY[:2], "x"), "circle")[2:-1]  # between losses and learning rate
    assert len({(c.get("fill"), c.get("stroke"), c.get("r")) for c in circles}) == len(circles) == 14


def test_a_long_name_keeps_its_end_and_is_told_in_full() -> None:
    svg = curves(MANY, "x")
    named = [text for text in elements(svg, "text") if "number 12" in (text.text or "")]
    assert len(named) == 1
    assert named[0][0].text == ORGANS[12]


def test_only_epochs_and_validations_are_drawn() -> None:
    others = [{"kind": "evaluation", "mean_dice": 0.9}, {"kind": "note", "epoch": 99}, {"kind": "step", "epoch": 50}]
    assert curves([*RECORDS, *others], "x") == curves(RECORDS, "x")


def test_a_run_without_anything_yet_is_still_a_picture() -> None:
    ET.fromstring(curves([], "empty"))  # noqa: S314
