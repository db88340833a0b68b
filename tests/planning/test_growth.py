"""Memory as a line over voxels, and the edge of what fits."""

from __future__ import annotations

import pytest

from torchio_seg.planning.growth import Edge, find_edge, fit, through


def test_points_of_a_line_give_that_line() -> None:
    line = fit([(amount, 700.0 + 3.0 * amount) for amount in (10, 20, 80)])
    assert line is not None
    assert (line.fixed, line.apiece) == (pytest.approx(700), pytest.approx(3))
    assert line(1000) == pytest.approx(3700)


def test_one_size_tells_no_slope() -> None:
    assert fit([]) is None
    assert fit([(64, 5.0), (64, 6.0)]) is None


def test_more_voxels_never_take_less() -> None:
    line = fit([(1, 10.0), (2, 8.0)])
    assert line is not None
    assert line(100) >= line(1)


def test_a_line_through_one_measurement_meets_it() -> None:
    line = through(500.0, 20, 900.0)
    assert line(20) == 900
    assert line(0) == 500


@pytest.mark.parametrize("guess", range(-1, 13))
@pytest.mark.parametrize("most", range(-1, 12))
def test_both_sides_of_the_edge_are_measured(guess: int, most: int) -> None:
    tried: list[int] = []

    def fits(place: int) -> bool:
        tried.append(place)
        return place <= most

    edge = find_edge(12, lambda: guess, fits)
    assert edge == Edge(most if most >= 0 else None, most + 1 if most < 11 else None)
    assert {edge.largest, edge.too_large} - {None} <= set(tried)
    assert len(tried) == len(set(tried)), "nothing is measured twice"


def test_a_right_guess_costs_two_measurements() -> None:
    tried: list[int] = []
    find_edge(100, lambda: 40, lambda place: tried.append(place) or place <= 40)
    assert tried == [40, 41]


@pytest.mark.parametrize("most", range(-1, 6))
def test_a_guess_that_is_trusted_ends_the_search_once_something_fits(most: int) -> None:
    tried: list[int] = []

    def fits(place: int) -> bool:
        tried.append(place)
        return place <= most

    edge = find_edge(6, lambda: 2, fits, trust=True)
    assert edge.largest == (None if most < 0 else min(most, 2))
    assert tried == list(range(2, max(min(most, 2), 0) - 1, -1)), "down from the guess, and never above it"
