"""From the value of a setting to a loaded network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from diptych_runtime.engine import Fact
from diptych_torch.card import FILE
from diptych_torch.convert import Checkpoint
from diptych_torch.side_file import read_side_file, side_file_of
from diptych_torch.weights import BundledWeights, ChosenWeights, WeightsSetting

from .. import categories
from ..network.build import Built, build_keypoint, build_mask, label_count
from ..network.heads import CLASSES_KEY, point_count
from ..network.told import Given, Told
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
    given = _given(chosen)
    checkpoint = chosen.read()
    built = build_mask(checkpoint.state, replace(given, args=checkpoint.args))
    names = _CATEGORIES.get(chosen.section)
    if names is None:
        names = categories.read_categories(chosen.path, label_count(checkpoint.state))
    return Network(built.module, chosen, names, _facts(built, chosen, checkpoint))


def load_keypoint(value: str) -> Network | None:
    """Load the Keypoint R-CNN for a value of ``DIPTYCH_KEYPOINT_WEIGHTS``; ``None`` for ``off``.

    Raises:
        WeightsError: as ``load_mask``.
    """
    if value == "off":
        return None
    chosen = KEYPOINT_WEIGHTS.choose(value)
    given = _given(chosen)
    checkpoint = chosen.read()
    built = build_keypoint(checkpoint.state, replace(given, args=checkpoint.args))
    points = point_count(checkpoint.state)
    names = categories.keypoint_names(points, given)
    facts = _facts(built, chosen, checkpoint)
    if chosen.section == FILE:
        facts = (*facts, given.fact("keypoint_names", list(names)))
    return Network(
        built.module,
        chosen,
        _keypoint_categories(chosen, label_count(checkpoint.state)),
        facts,
        names,
        categories.keypoint_edges(points, given),
    )


def _given(chosen: ChosenWeights) -> Given:
    if chosen.section != FILE:
        # torchvision sets it when it loads its first detectors; with another every score changes.
        first = chosen.section in (COCO_V1.name, KEYPOINT_COCO.name)
        return Given(Told(batch_norm_eps=0.0) if first else Told())
    told = read_side_file(chosen.path, Told)
    return Given(told, file=side_file_of(chosen.path).name)


def _facts(built: Built, chosen: ChosenWeights, checkpoint: Checkpoint) -> tuple[Fact, ...]:
    """What is known of a network; of published ones everything is."""
    if chosen.section != FILE:
        return tuple(replace(fact, origin="known", file="") for fact in built.facts)
    left_out = checkpoint.left_out
    return (
        *built.facts,
        *((Fact("left out", ", ".join(left_out), "known"),) if left_out else ()),
    )


def _keypoint_categories(chosen: ChosenWeights, labels: int) -> Mapping[int, str]:
    """Names of a keypoint network's labels; with a single one no list is needed."""
    alone = labels == 2 and not any(path.exists() for path in categories.lists_of(chosen.path))
    if chosen.section != FILE or alone:
        return categories.PERSON
    return categories.read_categories(chosen.path, labels)
