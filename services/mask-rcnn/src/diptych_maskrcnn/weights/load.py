"""From the value of a setting to a loaded network."""

from __future__ import annotations

from pathlib import Path

from diptych_torch.weights import BundledWeights, WeightsSetting

from .. import categories
from ..network.build import CLASSES_KEY, build_keypoint, build_mask, label_count
from ..segments import Network
from .official import COCO_V1, COCO_V2, KEYPOINT_COCO

BUNDLED = Path(__file__).parent
_PROGRAM = "diptych-mask-rcnn"

MASK_WEIGHTS = WeightsSetting(
    variable="DIPTYCH_MASK_RCNN_WEIGHTS",
    program=_PROGRAM,
    choices={
        "demo": BundledWeights("demo", BUNDLED / "mask-demo.safetensors", 1_864_725),
        "coco-v1": COCO_V1,
        "coco-v2": COCO_V2,
    },
    key=CLASSES_KEY,
)
KEYPOINT_WEIGHTS = WeightsSetting(
    variable="DIPTYCH_KEYPOINT_WEIGHTS",
    program=_PROGRAM,
    choices={
        "demo": BundledWeights("keypoint-demo", BUNDLED / "keypoint-demo.safetensors", 1_893_050),
        "coco": KEYPOINT_COCO,
    },
    further=("off",),
    key=CLASSES_KEY,
)
_CATEGORIES = {"demo": categories.DEMO, "coco-v1": categories.COCO, "coco-v2": categories.COCO}


def load_mask(value: str) -> Network:
    """Load the Mask R-CNN for a value of ``DIPTYCH_MASK_RCNN_WEIGHTS``.

    Raises:
        WeightsError: not there, damaged, or not the weights of such a network.
    """
    chosen = MASK_WEIGHTS.choose(value)
    state = chosen.read_state()
    module = build_mask(state)
    names = _CATEGORIES.get(chosen.section)
    return Network(
        module, chosen, names or categories.read_categories(chosen.path, label_count(state))
    )


def load_keypoint(value: str) -> Network | None:
    """Load the Keypoint R-CNN for a value of ``DIPTYCH_KEYPOINT_WEIGHTS``; ``None`` for ``off``.

    Raises:
        WeightsError: as ``load_mask``.
    """
    if value == "off":
        return None
    chosen = KEYPOINT_WEIGHTS.choose(value)
    return Network(build_keypoint(chosen.read_state()), chosen, {1: "person"})
