"""Every number that makes the brain phantom easier or harder, in one place.

Noise hides the tissue of a single voxel, but not that of a neighbourhood; a lesion that pales towards healthy tissue
takes away contrast from both. `benchmarks/phantom_difficulty.py` measures what a change does.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difficulty:
    """How hard it is to find the lesion and its parts; intensities are shares of the brightest tissue."""

    noise: float = 0.22
    """Deviation of the noise in one voxel."""
    shading: float = 0.12
    """Smooth unevenness of each channel, as the deviation of its logarithm."""
    gain: float = 0.3
    """Each channel of each case is brighter or darker by a factor of up to exp(gain)."""
    tissue_spread: float = 0.03
    """How far the intensity of each tissue strays from case to case."""
    texture: float = 0.06
    """Unevenness within tissues, a few voxels wide."""
    contrast: tuple[float, float] = (0.85, 1.0)
    """How far lesion tissue differs from the grey matter: 1 fully, 0 not at all; drawn for each case."""
    radius: tuple[float, float] = (11.5, 14.0)
    """Of the whole lesion, in voxels of a field of 64 x 64 x 48."""
    core: float = 0.70
    """Radius of the tumour core as a share of the lesion's."""
    necrosis: float = 0.42
    """Radius of the part that does not enhance, as a share of the lesion's."""
    thinnest_rim: float = 0.16
    """Least thickness of what enhances around that part, as a share of the lesion's radius."""
    ruggedness: float = 0.10
    """How far the outlines of the lesion's parts stray, as a share of its radius."""
    vessels: float = 0.13
    """Thickness of the vessels, which enhance as the tumour does."""
    spots: float = 2.2
    """Bright spots in the white matter, which look as oedema does: a higher number means fewer and smaller ones."""
