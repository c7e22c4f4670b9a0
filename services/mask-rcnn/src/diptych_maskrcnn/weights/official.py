"""The published checkpoints. Imports no torch: the front process reads this too."""

from __future__ import annotations

from diptych_runtime.weights import OfficialWeights

_BASE = "https://download.pytorch.org/models"

# Addresses, sizes and parameters are those of torchvision's own descriptions; a test compares them.
COCO_V1 = OfficialWeights(
    name="coco-v1",
    url=f"{_BASE}/maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
    size_bytes=178_090_148,
    parameter_count=44_401_393,
)
COCO_V2 = OfficialWeights(
    name="coco-v2",
    url=f"{_BASE}/maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
    size_bytes=185_827_590,
    parameter_count=46_359_409,
    sha256="73cbd0190fcbe3ba339921fbce2c3a0b6bb9126c9a133c85e43a2a8e060a109e",
)
KEYPOINT_COCO = OfficialWeights(
    name="keypoint-coco",
    url=f"{_BASE}/keypointrcnn_resnet50_fpn_coco-fc266e95.pth",
    size_bytes=237_034_799,
    parameter_count=59_137_258,
    sha256="fc266e953d2b302cdcbb9ae66f71f6b0d4649928bf02dc573961e361e4918926",
)

OFFICIAL: tuple[OfficialWeights, ...] = (COCO_V1, COCO_V2, KEYPOINT_COCO)
"""What ``diptych-mask-rcnn pull NAME`` can get.

torchvision publishes no full SHA-256, only the first eight digits, as part of the file's name. The
full ones are what at least three independent public projects pin, all agreeing; for ``coco-v1``
none was found, so the one of the first download is recorded and holds from then on."""
