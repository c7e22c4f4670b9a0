"""What the training scripts share: files, the nano SAM 2, learning rate, averaged weights."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor
from torch import Tensor

Bools = NDArray[np.bool_]
State = dict[str, Tensor]

PACKAGED = {
    "mask": "diptych_maskrcnn/weights/mask-demo.safetensors",
    "keypoint": "diptych_maskrcnn/weights/keypoint-demo.safetensors",
    "sam2": "diptych_sam2/weights/sam2-demo.safetensors",
}
HELD_BACK = 200  # scenes at the end of a pool that training leaves alone


def packaged(name: str) -> Path:
    """Path of a weights file inside its service package."""
    package, folder, file = PACKAGED[name].split("/")
    return Path(str(files(package))) / folder / file


def load(path: str | Path) -> State:
    """Tensors of a safetensors file, floating ones as fp32."""
    return {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}


def save(state: Mapping[str, Tensor], path: str | Path, half: bool, **notes: object) -> None:
    """Write a safetensors file under its final name in one step; ``half`` stores floats as fp16."""
    out = {
        k: (v.half() if half and v.is_floating_point() else v).detach().clone().contiguous()
        for k, v in state.items()
    }
    unfinished = Path(f"{path}.tmp")
    save_file(out, unfinished, metadata={"format": "pt", **{k: str(v) for k, v in notes.items()}})
    unfinished.chmod(0o644)
    unfinished.replace(path)


def build_sam2(size: int = 256, target: str | None = None) -> SAM2Base:
    """The nano SAM 2 for pictures of ``size`` pixels, or ``target`` with the same modules."""
    config = OmegaConf.load(str(files("diptych_sam2") / "configs" / "demo.yaml")).model
    config.image_size = size
    layer = config.memory_attention.layer
    for attention in (layer.self_attention, layer.cross_attention):
        attention.feat_sizes = [size // 16, size // 16]
    if target:
        config._target_ = target
    model: SAM2Base = instantiate(config, _recursive_=True)
    return model.eval()


def learning_rate(step: int, steps: int, peak: float, warmup: int = 100) -> float:
    """Linear warm-up, then a cosine down to 2 % of ``peak``."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return peak * min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * cosine)


class Average:
    """Running average of a model's state; the decay grows to ``decay`` as steps go by."""

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.model, self.decay, self.steps = model, decay, 0
        self.state: State = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the model's present state; integer buffers are copied."""
        self.steps += 1
        keep = min(self.decay, (self.steps + 1) / (self.steps + 10))
        for name, now in self.model.state_dict().items():
            if now.is_floating_point():
                self.state[name].lerp_(now, 1 - keep)
            else:
                self.state[name].copy_(now)


class Log:
    """Prints running means of named figures every ``every`` steps."""

    def __init__(self, every: int = 100) -> None:
        self.every, self.start, self.means = every, time.monotonic(), dict[str, float]()

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """Take in the figures of ``step`` (counted from 1)."""
        for name, value in figures.items():
            self.means[name] = 0.98 * self.means.get(name, value) + 0.02 * value
        if step % self.every == 0 or step in (10, 30):
            text = "  ".join(f"{name} {value:.3f}" for name, value in self.means.items())
            print(f"{step} {time.monotonic() - self.start:.0f}s  {text}", flush=True)


def box_of(mask: Bools) -> NDArray[np.float32]:
    """Tight box x0, y0, x1, y1 in pixels (exclusive end) of a non-empty (H, W) mask."""
    xs, ys = np.nonzero(mask.any(0))[0], np.nonzero(mask.any(1))[0]
    return np.array([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1], np.float32)


def fit(predictor: SAM2ImagePredictor) -> SAM2ImagePredictor:
    """Correct the feature sizes that the predictor fixes for 1024 pixels; returns it."""
    size = predictor.model.image_size
    predictor._bb_feat_sizes = [(size // stride, size // stride) for stride in (4, 8, 16)]
    return predictor
