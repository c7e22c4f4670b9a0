"""What is rewritten for speed gives torchvision's numbers, to rounding."""

from __future__ import annotations

import copy
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from rcnn_cases import scene
from torch import nn
from torchvision.models.detection import (
    keypointrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn_v2,
)
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from diptych_maskrcnn.network import demo_model
from diptych_maskrcnn.network.backbone import LeanBackbone
from diptych_maskrcnn.network.build import build_keypoint, build_mask
from diptych_maskrcnn.network.pyramid import Pyramid, embed
from diptych_maskrcnn.network.rewrite import fold_batch_norms, rewrite
from diptych_maskrcnn.network.roi_pool import RoiPool
from diptych_runtime.engine import Tier

PICTURE = (96, 160)  # pixels; not square, and no multiple of the coarser strides


def levels(dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """A pyramid of noise at strides 4 to 32, and the pooled level that regions do not use."""
    made = torch.Generator().manual_seed(3)
    shapes = {str(i): (PICTURE[0] >> i + 2, PICTURE[1] >> i + 2) for i in range(4)} | {
        "pool": (1, 2)
    }
    noise = {name: torch.randn(1, 24, *shape, generator=made) for name, shape in shapes.items()}
    return {
        name: level.to(dtype, memory_format=torch.channels_last) for name, level in noise.items()
    }


def regions() -> torch.Tensor:
    """Boxes of every size, some without area, some that hang over, some wholly outside."""
    made = torch.Generator().manual_seed(4)
    corner = torch.rand(200, 2, generator=made) * torch.tensor([170.0, 105.0]) - 5
    side = torch.rand(200, 2, generator=made) ** 3 * 170
    odd = torch.tensor(
        [
            [0, 0, 160, 96],
            [40, 40, 40, 40],
            [-90, -90, -40, -50],
            [300, 10, 340, 90],
            [159, 95, 160, 96],
        ]
    )
    return torch.cat([torch.cat([corner, corner + side], 1), odd])


def pools(cells: int) -> tuple[MultiScaleRoIAlign, RoiPool]:
    stock = MultiScaleRoIAlign(["0", "1", "2", "3"], cells, sampling_ratio=2)
    stock(levels(), [regions()], [PICTURE])
    return stock, RoiPool(stock)


@pytest.mark.parametrize("cells", [7, 14])
def test_pooled_regions_are_those_of_torchvision(cells: int) -> None:
    stock, ours = pools(cells)
    expected = stock(levels(), [regions()], [PICTURE])
    pooled = ours(levels(), [regions()], [PICTURE])
    assert ours.output_size == stock.output_size
    torch.testing.assert_close(pooled, expected, rtol=0, atol=5e-6)


def test_no_region_is_pooled_to_nothing() -> None:
    _, ours = pools(7)
    none = torch.zeros(0, 4)
    assert ours(levels(), [none], [PICTURE]).shape == (0, 24, 7, 7)


def test_bfloat16_pools_as_exactly_as_it_holds() -> None:
    stock, ours = pools(7)
    narrow = {name: level.bfloat16() for name, level in levels().items()}
    expected = stock(
        {name: level.float() for name, level in narrow.items()}, [regions()], [PICTURE]
    )
    pooled = ours(narrow, [regions()], [PICTURE])
    assert pooled.dtype is torch.bfloat16
    # Half a unit in the last of 8 bits for the answer, and as much for each of the shares.
    torch.testing.assert_close(pooled.float(), expected, rtol=2**-8, atol=2**-6)


@pytest.mark.parametrize("size", [(128, 96), (150, 90)])
def test_the_lean_pyramid_is_torchvisions_also_where_sizes_do_not_double(
    size: tuple[int, int],
) -> None:
    torch.manual_seed(0)
    stock = demo_model.build_mask().backbone.requires_grad_(False)
    given = torch.rand(1, 3, *size)
    expected = stock(given.clone())
    levels = LeanBackbone(stock)(given)
    assert list(levels) == list(expected)
    for name, level in expected.items():
        torch.testing.assert_close(levels[name], level)


def test_the_lean_pyramid_lets_maps_of_the_body_go() -> None:
    """At the last, largest convolution none of them is alive any more."""
    backbone = LeanBackbone(demo_model.build_mask().backbone)
    maps: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []
    backbone.body.register_forward_hook(
        lambda _, __, made: maps.extend(map(weakref.ref, made.values()))
    )
    backbone.fpn.layer_blocks[0].register_forward_pre_hook(
        lambda _, __: alive.append(sum(one() is not None for one in maps))
    )
    with torch.inference_mode():
        backbone(torch.rand(1, 3, 64, 64))
    assert len(maps) == 3
    assert alive == [0]


def varied(network: Any) -> Any:
    """The network with batch norms that do something."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.3, 0.6)
            module.bias.data.normal_(0, 0.2)
    return network.eval().requires_grad_(False)


def states() -> dict[str, dict[str, torch.Tensor]]:
    """State dicts of every architecture that is known, but the demo's."""
    torch.manual_seed(0)
    plain = {"weights": None, "weights_backbone": None}
    return {
        "v1": _frozen(maskrcnn_resnet50_fpn(**plain)),
        "v2": varied(maskrcnn_resnet50_fpn_v2(**plain)).state_dict(),
        "keypoint": _frozen(keypointrcnn_resnet50_fpn(**plain)),
    }


def _frozen(network: Any) -> dict[str, torch.Tensor]:
    state = varied(network).state_dict()
    return {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["v1", "v2", "keypoint"])
def test_every_architecture_keeps_its_features_and_heads(name: str) -> None:
    state = states()[name]
    build = build_keypoint if name == "keypoint" else build_mask
    before = build(state).module
    after = copy.deepcopy(before)
    rewrite(after, Tier.EXACT)
    assert not any(isinstance(m, nn.BatchNorm2d | FrozenBatchNorm2d) for m in after.modules())
    before.transform.min_size = after.transform.min_size = (200,)
    pixels = scene(0)[:, :200]
    expected, pyramid = (embed(network, pixels).payload for network in (before, after))
    assert isinstance(expected, Pyramid)
    assert isinstance(pyramid, Pyramid)
    for level, values in expected.levels.items():
        _close(pyramid.levels[level], values)
    boxes = [torch.tensor([[10.0, 20, 150, 180], [30, 30, 60, 50]])]
    head = "keypoint" if name == "keypoint" else "mask"
    with torch.inference_mode():
        for first, last in (("box", "box"), (head, head)):
            outs = []
            for network, held in ((before, expected), (after, pyramid)):
                heads = network.roi_heads
                crops = getattr(heads, f"{first}_roi_pool")(held.levels, boxes, [held.resized])
                outs.append(
                    getattr(heads, f"{last}_predictor")(getattr(heads, f"{first}_head")(crops))
                )
            for ours, stock in zip(_flat(outs[1]), _flat(outs[0]), strict=True):
                _close(ours, stock)


def _flat(answer: Any) -> list[torch.Tensor]:
    return [answer] if isinstance(answer, torch.Tensor) else list(answer)


def _close(ours: torch.Tensor, stock: torch.Tensor) -> None:
    scale = float(stock.abs().max())
    assert scale > 0
    torch.testing.assert_close(ours, stock, rtol=0, atol=2e-5 * scale)


def test_folding_takes_bias_and_epsilon_into_account() -> None:
    torch.manual_seed(0)
    network = varied(
        nn.Sequential(
            nn.Conv2d(3, 5, 3),
            nn.BatchNorm2d(5, eps=0.3),
            nn.ReLU(),
            nn.Conv2d(5, 4, 1, bias=False),
            FrozenBatchNorm2d(4, eps=0.2),
            nn.Conv2d(4, 4, 1),
        )
    )
    given = torch.randn(2, 3, 9, 9)
    expected = network(given)
    fold_batch_norms(network)
    assert [type(module).__name__ for module in network] == [
        "Conv2d",
        "Identity",
        "ReLU",
        "Conv2d",
        "Identity",
        "Conv2d",
    ]
    torch.testing.assert_close(network(given), expected)
    np.testing.assert_array_equal(network[5].bias.shape, (4,))
