"""The runtime's count of grid points is that of the stock generator."""

from __future__ import annotations

import pytest
from sam2.utils.amg import build_all_layer_point_grids, generate_crop_boxes

from diptych.segment import v1 as pb
from diptych_runtime.wire.checks import grid_points


@pytest.mark.parametrize(
    ("per_side", "layers", "scale"),
    [(32, 0, 1), (32, 1, 1), (32, 2, 2), (33, 2, 2), (64, 2, 4), (9, 1, 3), (8, 1, 8)],
)
def test_the_count_is_that_of_sam2(per_side: int, layers: int, scale: int) -> None:
    grids = build_all_layer_point_grids(per_side, layers, scale)
    _, layer_of_crop = generate_crop_boxes((480, 640), layers, 0.34)
    options = pb.AutomaticOptions(
        points_per_side=per_side, crop_n_layers=layers, crop_n_points_downscale_factor=scale
    )
    counted = grid_points(options, pb.AutomaticOptions())
    assert counted == sum(len(grids[layer]) for layer in layer_of_crop)
