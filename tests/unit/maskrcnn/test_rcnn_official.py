"""A file of the official format goes the whole way: served, pulled, converted, loaded, equal."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from rcnn_cases import ask, check_parity, stock
from skimage import data
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from diptych import Box, Prompt, Task
from diptych_maskrcnn.engine import create
from diptych_maskrcnn.weights.official import COCO_V1
from diptych_runtime.engine import Pixels
from diptych_runtime.weights import OfficialWeights, pull
from diptych_torch.weights import CONVERTER


def author_network() -> Any:
    """What ``maskrcnn_resnet50_fpn(weights=COCO_V1)`` builds, with seeded random weights.

    Random weights call everything an object; a bias for the background leaves a few.
    """
    torch.manual_seed(0)
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None)
    network = MaskRCNN(backbone, num_classes=91).eval()
    for module in network.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0
            # Variances far below the usual epsilon: a loader that keeps it is found out.
            module.running_var.uniform_(0.5e-5, 1.5e-5)
            module.weight.fill_(3e-3)
    torch.nn.init.constant_(network.roi_heads.box_predictor.cls_score.bias[:1].detach(), 14.0)
    return network


def save_as_published(network: Any, path: Path) -> None:
    """The published file is older than today's names of the mask head and the proposals."""
    state = {}
    for key, value in network.state_dict().items():
        old = key.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        for number in range(4):
            old = old.replace(f"mask_head.{number}.0.", f"mask_head.mask_fcn{number + 1}.")
        state[old] = value
    assert "roi_heads.mask_head.mask_fcn4.weight" in state
    torch.save(state, path)


@contextmanager
def served(directory: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(directory))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def strip() -> Pixels:
    """A strip of a photograph: not square, and cheap at the network's own resolution."""
    pixels: Pixels = data.coffee()[150:210, 60:540].copy()  # type: ignore[no-untyped-call]
    return pixels


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_pull_convert_load_and_answer_as_torchvision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = author_network()
    site = tmp_path / "site"
    site.mkdir()
    unnamed = site / "checkpoint"
    save_as_published(network, unnamed)
    digest = hashlib.sha256(unnamed.read_bytes()).hexdigest()
    published = unnamed.rename(site / f"maskrcnn_resnet50_fpn_coco-{digest[:8]}.pth")
    size = published.stat().st_size
    assert size == pytest.approx(COCO_V1.size_bytes, rel=0.01)

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with served(site) as address:
        wanted = OfficialWeights(
            "coco-v1", f"{address}/{published.name}", size, COCO_V1.parameter_count
        )
        pull(wanted, converter=CONVERTER, progress=False)

    monkeypatch.setenv("DIPTYCH_MASK_RCNN_WEIGHTS", "coco-v1")
    monkeypatch.setenv("DIPTYCH_KEYPOINT_WEIGHTS", "off")
    monkeypatch.setenv("DIPTYCH_DEVICE", "cpu")
    engine: Any = create()
    model = engine.load()
    assert model.parameter_count == COCO_V1.parameter_count
    assert model.weights[0].url == wanted.url
    assert len(model.categories) == 80
    assert model.categories[-1] == (90, "toothbrush")

    stock_scales(network)
    expected = stock(network, strip())
    assert len(expected["scores"]) >= 5
    segments = ask(engine, strip(), Task.INSTANCE_SEGMENTATION, min_score=0.0)
    assert check_parity(segments, expected) >= 0.999

    (boxed,) = ask(engine, strip(), Task.PROMPTED_SEGMENTATION, [Prompt(box=Box(100, 5, 200, 55))])
    assert boxed.category_id in dict(model.categories)


@torch.inference_mode()
def stock_scales(network: Any) -> None:
    """Show torchvision's RoI pools a square picture first, as a usual photograph would be."""
    levels = network.backbone(torch.zeros(1, 3, 128, 128))
    for pool in (network.roi_heads.box_roi_pool, network.roi_heads.mask_roi_pool):
        pool(levels, [torch.tensor([[0.0, 0.0, 128.0, 128.0]])], [(128, 128)])
