"""Draw the pictures of docs/phantom.md: one slice of a few phantoms, with and without their labels.

python benchmarks/phantom_pictures.py
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from torchio_seg.phantoms import brain
from torchio_seg.phantoms.catalogue import KINDS, random_numbers
from torchio_seg.phantoms.difficulty import Difficulty

if TYPE_CHECKING:
    from torchio_seg.phantoms.scanner import Phantom

SHAPE = (64, 64, 48)
CASES = {"brain": (2, 3, 5), "abdomen": (0, 1, 2), "thorax": (0, 1, 2)}
MAGNIFIED = 3
PLANES = {"abdomen": ((2, 0.62), (2, 0.38), (1, 0.36)), "thorax": ((2, 0.40), (1, 0.52), (0, 0.50))}
"""Axis (0 left to right, 1 back to front, 2 up) and how far along it."""
WINDOWS = {"abdomen": (-160.0, 260.0), "thorax": (-1000.0, 400.0)}
"""Hounsfield units shown from black to white."""
COLOURS = np.array(
    [
        [0, 0, 0],
        [70, 190, 70],
        [70, 110, 255],
        [255, 70, 60],
        [250, 200, 30],
        [190, 60, 230],
        [40, 210, 220],
        [255, 130, 30],
        [230, 40, 110],
        [60, 100, 200],
        [130, 210, 255],
        [245, 235, 120],
        [160, 255, 60],
        [150, 110, 70],
    ]
)
FOLDER = Path(__file__).parent.parent / "docs" / "images"

Picture = NDArray[np.uint8]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for kind in KINDS:
        path = FOLDER / f"phantom_{kind}.png"
        path.write_bytes(png(np.concatenate([row for index in CASES[kind] for row in rows(kind, index)])))
        print(path)


def rows(kind: str, index: int) -> list[Picture]:
    """Brain: the slice with most lesion, without noise and as it is. Others: three planes."""
    if kind != "brain":
        return [planes(kind, KINDS[kind].draw(SHAPE, 0, index, 1))]
    return [
        channels(brain.synthesize(SHAPE, random_numbers(0, index), difficulty=settings))
        for settings in (Difficulty(noise=0), Difficulty())
    ]


def channels(patient: Phantom) -> Picture:
    """Four channels and the labels, in the slice with most lesion."""
    images, label = upright(patient)
    place = int(np.argmax((label > 0).sum(axis=(0, 1))))
    tiles = [grey(plane(image, 2, place), None) for image in images]
    return np.concatenate([*tiles, coloured(tiles[0], plane(label, 2, place))], axis=1)


def planes(kind: str, patient: Phantom) -> Picture:
    """Each plane without and with its labels."""
    images, label = upright(patient)
    tiles = []
    for axis, share in PLANES[kind]:
        place = int(share * label.shape[axis])
        tile = grey(plane(images[0], axis, place), WINDOWS[kind])
        tiles += [tile, coloured(tile, plane(label, axis, place))]
    return np.concatenate([padded(tile) for tile in tiles], axis=1)


def upright(patient: Phantom) -> tuple[list[NDArray[np.int16]], NDArray[np.int16]]:
    """Axes to the right, the front and up."""
    turn = nib.io_orientation(patient.affine)
    return [nib.apply_orientation(c, turn) for c in patient.image], nib.apply_orientation(patient.label, turn)


def plane(volume: NDArray[np.int16], axis: int, place: int) -> NDArray[np.int16]:
    """As radiologists look at it: front or head on top, the patient's right on the left."""
    cut = np.take(volume, place, axis).T[::-1]
    return cut if axis == 0 else cut[:, ::-1]


def grey(cut: NDArray[np.int16], window: tuple[float, float] | None) -> Picture:
    low, high = window or (0.0, float(np.percentile(cut, 99.7)))
    shade = np.clip((cut - low) / (high - low), 0, 1) * 255
    return np.repeat(shade.astype(np.uint8)[..., None], 3, axis=2)


def coloured(tile: Picture, label: NDArray[np.int16]) -> Picture:
    mixed = (0.45 * tile + 0.55 * COLOURS[label]).astype(np.uint8)
    return np.where(label[..., None] > 0, mixed, tile)


def padded(tile: Picture) -> Picture:
    return np.pad(tile, ((0, max(SHAPE) - tile.shape[0]), (0, max(SHAPE) - tile.shape[1]), (0, 0)))


def png(picture: Picture) -> bytes:
    """An RGB picture as a PNG file, each pixel magnified."""
    large = picture.repeat(MAGNIFIED, axis=0).repeat(MAGNIFIED, axis=1)
    height, width, _ = large.shape
    rows = b"".join(b"\0" + row.tobytes() for row in large)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    chunks = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


if __name__ == "__main__":
    main()
