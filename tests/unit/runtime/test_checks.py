"""How many points an automatic grid has."""

from __future__ import annotations

import math

import pytest

from diptych.segment import v1 as pb
from diptych_runtime.wire.checks import grid_points

DEFAULT = pb.AutomaticOptions(points_per_side=32, crop_n_layers=0, crop_n_points_downscale_factor=1)


def formula(per_side: int, layers: int, scale: int) -> int:
    """As SAM2AutomaticMaskGenerator makes them: in layer i, 4^i crops with a grid each."""
    total = 0
    for layer in range(layers + 1):
        side = int(per_side / scale**layer)
        total += (2**layer) ** 2 * side**2
    return total


@pytest.mark.parametrize("per_side", [1, 7, 16, 32, 64])
@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("scale", [1, 2, 3, 8])
def test_points_of_all_crops(per_side: int, layers: int, scale: int) -> None:
    options = pb.AutomaticOptions(
        points_per_side=per_side, crop_n_layers=layers, crop_n_points_downscale_factor=scale
    )
    points = grid_points(options, DEFAULT)
    if per_side >= scale**layers:
        assert points == formula(per_side, layers, scale)
    else:  # the stock generator fails; a crop gets one point at least
        assert points > formula(per_side, layers, scale)


def test_unset_options_are_the_defaults() -> None:
    assert grid_points(pb.AutomaticOptions(), DEFAULT) == 1024
    assert grid_points(pb.AutomaticOptions(crop_n_layers=2), DEFAULT) == 1024 * 21
    assert math.isqrt(grid_points(pb.AutomaticOptions(points_per_side=5), DEFAULT)) == 5
