"""SAM 2 as people train it with the sam2 package's own training code, for one step."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor

LOSSES = {"loss_mask": 20, "loss_dice": 1, "loss_iou": 1, "loss_class": 1}
"""As in the configuration for training that the package has."""


@contextmanager
def training_code() -> Iterator[SimpleNamespace]:
    """The package's training code; what it imports for clusters and is not installed is left out.

    ``tensordict`` only carries batches, and of the trainer the losses take a name.
    """
    batches, trainer = ModuleType("tensordict"), ModuleType("training.trainer")
    batches.tensorclass = lambda kind: kind  # type: ignore[attr-defined]
    trainer.CORE_LOSS_KEY = "core_loss"  # type: ignore[attr-defined]
    before = set(sys.modules)
    sys.modules |= {"tensordict": batches, "training.trainer": trainer}
    try:
        yield SimpleNamespace(
            network=importlib.import_module("training.model.sam2").SAM2Train,
            losses=importlib.import_module("training.loss_fns").MultiStepMultiMasksAndIous,
        )
    finally:
        for name in {"tensordict", *(n for n in set(sys.modules) - before if "training" in n)}:
            sys.modules.pop(name, None)


def train(model: SAM2Base) -> dict[str, Any]:
    """Train for one step on one picture with one object; returns what the trainer saves."""
    with training_code() as code:
        model.__class__ = code.network  # the same network, with a way to learn
        model.__dict__ |= _training_settings(code.network)
        side = model.image_size
        torch.manual_seed(1)
        masks = torch.zeros(1, 1, side, side, dtype=torch.bool)
        masks[..., side // 4 : side // 2, side // 4 : side // 2] = True
        batch = SimpleNamespace(
            flat_img_batch=torch.rand(1, 3, side, side),
            masks=masks,
            num_frames=1,
            flat_obj_to_img_idx=torch.zeros(1, 1, dtype=torch.int64),
        )
        losses = code.losses(dict(LOSSES), supervise_all_iou=True)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
        loss = losses(model.train()(batch), masks)["core_loss"]
        loss.backward()
        optimizer.step()
        model.eval()
        model.__class__ = SAM2Base
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 0,
        "loss": losses.state_dict(),
        "steps": {"train": 1, "val": 0},
        "time_elapsed": 1.5,
        "best_meter_values": {},
    }


def _training_settings(network: type) -> dict[str, Any]:
    """Attributes that its constructor sets beside those of the plain network."""

    class Bare(network):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

    made = Bare()
    torch.nn.Module.__init__(made)
    base, SAM2Base.__init__ = SAM2Base.__init__, lambda self, *_, **__: None  # type: ignore[method-assign]
    try:
        network.__init__(made, None, prob_to_use_pt_input_for_train=1.0)  # type: ignore[misc]
    finally:
        SAM2Base.__init__ = base  # type: ignore[method-assign]
    return {key: value for key, value in made.__dict__.items() if not key.startswith("_")}


def predicted(model: SAM2Base, pixels: Any, box: tuple[float, float, float, float]) -> Any:
    """The mask of a box, as the package's own predictor gives it."""
    predictor = SAM2ImagePredictor(model)
    side = model.image_size
    predictor._bb_feat_sizes = [(side // stride, side // stride) for stride in (4, 8, 16)]
    predictor.set_image(pixels)
    masks, scores, _ = predictor.predict(box=torch.tensor(box).numpy(), multimask_output=False)
    return masks[0] > 0, float(scores[0])


def save(content: object, path: Path, told: str = "") -> None:
    """Write a checkpoint and what lies beside it."""
    torch.save(content, path)
    if told:
        path.with_suffix(".model.toml").write_text(told)
