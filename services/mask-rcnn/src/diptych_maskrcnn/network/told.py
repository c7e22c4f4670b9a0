"""What ``NAME.model.toml`` may say of a network: names and meanings are torchvision's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from diptych_runtime.engine import Fact
from diptych_torch.side_file import SideFile

_MAX_SIDE_PX = 8192
_MOST = 100_000

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=16, le=_MAX_SIDE_PX)]
Colours = Annotated[list[float], Field(min_length=3, max_length=3)]
Top = Annotated[int, Field(ge=1, le=_MOST)]


def _one_a_level(value: object) -> object:
    """Take a flat list, as torchvision does, for lists of one number each."""
    flat = isinstance(value, list) and value and not any(isinstance(one, list) for one in value)
    return [[one] for one in value] if flat else value  # type: ignore[attr-defined]


def _one_list(value: object) -> object:
    flat = isinstance(value, list) and value and not any(isinstance(one, list) for one in value)
    return [value] if flat else value


def _one_or_more(value: object) -> object:
    return value if isinstance(value, list) else [value]


Numbers = Annotated[list[Positive], Field(min_length=1)]


class Told(SideFile):
    """Arguments that torchvision's ``MaskRCNN`` and ``KeypointRCNN`` were built with."""

    min_size: Annotated[list[Side], Field(min_length=1), BeforeValidator(_one_or_more)] | None = (
        None
    )
    """Shorter side of the rescaled picture, in pixels; of several, as for training at several
    scales, the last one counts."""
    max_size: Side | None = None
    """What the longer side of the rescaled picture may have, in pixels."""
    image_mean: Colours | None = None
    """Of red, green and blue in [0, 1]."""
    image_std: Annotated[list[Positive], Field(min_length=3, max_length=3)] | None = None
    """Likewise."""
    anchor_sizes: (
        Annotated[list[Numbers], Field(min_length=1), BeforeValidator(_one_a_level)] | None
    ) = None
    """Of each level of the pyramid, finest first, in pixels of the rescaled picture; a list of
    numbers has one for each level."""
    aspect_ratios: (
        Annotated[list[Numbers], Field(min_length=1), BeforeValidator(_one_list)] | None
    ) = None
    """Heights over widths of anchors: one list for all levels, or one for each."""
    batch_norm_eps: Annotated[float, Field(ge=0, le=1)] | None = None
    """Of the batch norms of the backbone."""
    rpn_pre_nms_top_n_test: Top | None = None
    rpn_post_nms_top_n_test: Top | None = None
    rpn_nms_thresh: Share | None = None
    rpn_score_thresh: Share | None = None
    box_score_thresh: Share | None = None
    box_nms_thresh: Share | None = None
    box_detections_per_img: Annotated[int, Field(ge=1, le=1000)] | None = None
    bbox_reg_weights: Annotated[list[Positive], Field(min_length=4, max_length=4)] | None = None
    keypoint_names: Annotated[list[str], Field(min_length=1)] | None = None
    """Of a keypoint network, in the order of its points."""
    keypoint_edges: (
        list[Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2, max_length=2)]] | None
    ) = None
    """Pairs of points, as indices into the names, that drawings join by a line."""

    @property
    def given(self) -> dict[str, Any]:
        """The keys that are there, with their values."""
        return self.model_dump(exclude_none=True)


PASSED = (
    *("min_size", "max_size", "image_mean", "image_std"),
    *("rpn_pre_nms_top_n_test", "rpn_post_nms_top_n_test", "rpn_nms_thresh", "rpn_score_thresh"),
    *("box_score_thresh", "box_nms_thresh", "box_detections_per_img", "bbox_reg_weights"),
)
"""Keys that torchvision's classes take by the same name."""


@dataclass(frozen=True)
class Given:
    """What is known of a network beside its weights."""

    told: Told = field(default_factory=Told)
    args: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of torchvision's reference script, if the checkpoint has them."""
    file: str = "NAME.model.toml"
    """The name of the side file, whether or not there is one."""

    def fact(self, key: str, value: object) -> Fact:
        """Say what a key has, and whether that was told or had to be assumed."""
        told = getattr(self.told, key) is not None
        return Fact(key, as_toml(value), "told" if told else "assumed", self.file)


def as_toml(value: object) -> str:
    """Write numbers, texts and lists of them as a side file has them."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:g}" if isinstance(value, float) else str(value)
