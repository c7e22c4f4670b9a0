"""Two ways from a JPEG file to COCO run lengths, with the same weights, in this process.

The stock side is torchvision and pycocotools as their documentation shows them; ours is the engine
that the service runs, with the runtime's decoder.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from devices import CPU
from PIL import Image
from pycocotools import mask as coco
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d
from torchvision.transforms.functional import to_tensor

from diptych import Mask, OutputOptions, Task
from diptych_maskrcnn.engine import MaskRcnnEngine
from diptych_maskrcnn.network import demo_model
from diptych_maskrcnn.settings import EngineSettings
from diptych_maskrcnn.weights.load import BUNDLED
from diptych_runtime.engine import Answer, Job, Steps
from diptych_runtime.worker.images import decode

_LABELS = 91
_SPREAD = 4.0
"""Of the logits of a class over the regions of a picture."""
_NEAR = 0.1
"""How far from the wanted number of objects the background's logit may end."""


@dataclass(frozen=True)
class Found:
    """One object: its label, score and COCO run lengths."""

    label: int
    score: float
    rle: Mapping[str, Any]

    @property
    def mask(self) -> Mask:
        """For comparing."""
        height, width = self.rle["size"]
        return Mask.from_coco(self.rle["counts"], (height, width))


class Side(Protocol):
    """One way to an answer."""

    def __call__(self, file: bytes, min_score: float) -> list[Found]: ...


class Stock:
    """torchvision alone. With ``score_threshold`` it is built for requests of one floor, which its
    ``box_score_thresh`` allows and the default of 0.05 does not ask for; with ``half`` it runs
    under bfloat16 autocast, which leaves suppression and RoIAlign in float32."""

    def __init__(
        self,
        network: nn.Module,
        score_threshold: float | None = None,
        device: torch.device = CPU,
        *,
        half: bool = False,
    ) -> None:
        self._network: Any = network.eval().to(device)
        self._device = device
        self._half = half
        self._own = self._network.roi_heads.score_thresh
        self._threshold = self._own if score_threshold is None else score_threshold

    def __call__(self, file: bytes, min_score: float) -> list[Found]:
        image = to_tensor(Image.open(io.BytesIO(file)).convert("RGB"))
        self._network.roi_heads.score_thresh = self._threshold
        autocast = torch.autocast(self._device.type, torch.bfloat16, enabled=self._half)
        with torch.inference_mode(), autocast:
            (answer,) = self._network([image.to(self._device)])
        self._network.roi_heads.score_thresh = self._own
        kept = answer["scores"] >= min_score
        masks = (answer["masks"][kept, 0] > 0.5).cpu().numpy().astype(np.uint8)
        labels, scores = answer["labels"][kept].tolist(), answer["scores"][kept].tolist()
        return [
            Found(label, score, coco.encode(np.asfortranarray(mask)))
            for label, score, mask in zip(labels, scores, masks, strict=True)
        ]


class Ours:
    """The engine of the service."""

    def __init__(self, tier: str, weights: str, device: torch.device = CPU) -> None:
        self._engine = MaskRcnnEngine(
            EngineSettings(
                device=str(device), tier=tier, mask_rcnn_weights=weights, keypoint_weights="off"
            )
        )
        self._engine.load()

    def __call__(self, file: bytes, min_score: float) -> list[Found]:
        pixels = decode(file, max_pixels=50_000_000, min_side=16, max_aspect_ratio=20)
        features = self._engine.embed(pixels, "mask")
        job = Job(Task.INSTANCE_SEGMENTATION, (), OutputOptions(min_score, 100), None)
        answer = _finished(self._engine.segment(features, lambda: pixels, job))
        found = []
        for one in answer.segments:
            assert one.mask is not None
            rle = {"size": list(one.mask.size), "counts": one.mask.to_coco()}
            found.append(Found(one.category_id, one.score, rle))
        return found


def labelled(found: Sequence[Found]) -> list[tuple[int, Mask]]:
    """Masks with their labels, for comparing."""
    return [(one.label, one.mask) for one in found]


def _finished(steps: Steps[Answer]) -> Answer:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            answer: Answer = done.value
            return answer


def stock_demo() -> nn.Module:
    """torchvision's classes with the demo weights."""
    state = load_file(BUNDLED / "mask-demo.safetensors")
    network = demo_model.build_mask()
    network.load_state_dict({k: v.float() for k, v in state.items()})
    return network


def stock_resnet50() -> MaskRCNN:
    """``maskrcnn_resnet50_fpn`` as it is with published weights, but random."""
    torch.manual_seed(0)
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None)
    for module in backbone.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0
    return MaskRCNN(backbone, num_classes=_LABELS).eval().requires_grad_(False)


def stock_half(network: MaskRCNN, device: torch.device) -> Stock:
    """A copy of the network in bfloat16, with the part compiled whose shapes depend on nothing but
    the picture's."""
    copied: Any = copy.deepcopy(network)
    copied.backbone.forward = torch.compile(copied.backbone.forward, mode="max-autotune")
    return Stock(copied, device=device, half=True)


def calibrate(network: MaskRCNN, files: Sequence[bytes], *, objects: float, floor: float) -> None:
    """Shift and scale the class logits so that a picture has about as many objects over the floor.

    Random logits hardly differ between regions. Each class gets the spread of a trained one's, and
    the background as much more than the others as leaves that many objects, by bisection, and as
    keeps every score off the floor.
    """
    images = [to_tensor(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]
    with torch.inference_mode():
        heads = [_box_head(network, image) for image in images]
        classes = network.roi_heads.box_predictor.cls_score
        logits = torch.cat([logits for logits, *_ in heads])
        scale, mean = _SPREAD / logits.std(0), logits.mean(0)
        classes.weight *= scale[:, None]
        classes.bias.copy_((classes.bias - mean) * scale)
        classes.weight[0] = 0
        wanted = objects * len(files)

        def scores(background: float) -> list[Tensor]:
            return [
                _scores(network, head, logits_of(head, mean, scale, background)) for head in heads
            ]

        low, high = 0.0, 60.0
        for _ in range(12):
            background = (low + high) / 2
            if sum(int((found >= floor).sum()) for found in scores(background)) > wanted:
                low = background
            else:
                high = background
        # Where the number changes, a score is the floor itself, and rounding would decide.
        near = [background + step for step in np.linspace(-_NEAR, _NEAR, 41).tolist()]
        classes.bias[0] = max(near, key=lambda one: _nearest(scores(one), floor))


def logits_of(head: Any, mean: Tensor, scale: Tensor, background: float) -> Tensor:
    """Class logits of one picture after the shift and the scaling."""
    logits: Tensor = (head[0] - mean) * scale
    logits[:, 0] = background
    return logits


def _box_head(network: Any, image: Tensor) -> tuple[Tensor, Tensor, list[Tensor], Any]:
    images, _ = network.transform([image])
    levels = network.backbone(images.tensors)
    proposals, _ = network.rpn(images, levels)
    heads = network.roi_heads
    crops = heads.box_roi_pool(levels, proposals, images.image_sizes)
    logits, regression = heads.box_predictor(heads.box_head(crops))
    return logits, regression, proposals, images.image_sizes


def _scores(network: Any, head: Any, logits: Tensor) -> Tensor:
    _, regression, proposals, sizes = head
    _, scores, _ = network.roi_heads.postprocess_detections(logits, regression, proposals, sizes)
    found: Tensor = scores[0]
    return found


def _nearest(scores: Sequence[Tensor], floor: float) -> float:
    return min(float((found - floor).abs().min()) for found in scores if len(found))


def save(network: nn.Module, folder: Path) -> str:
    """A file that both sides can load, with its class list; returns its path."""
    path = folder / "random.safetensors"
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path)
    names = "\n".join(f"class {label}" for label in range(1, _LABELS))
    path.with_name("random.classes.txt").write_text(names + "\n")
    return str(path)
