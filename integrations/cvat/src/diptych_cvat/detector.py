"""Objects that a model finds by itself: Mask R-CNN, a cascade, or SAM 2's automatic mode."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import cvat_sdk.auto_annotation as cvataa
import PIL.Image
from cvat_sdk import models

from diptych import (
    Category,
    ImageLike,
    MaskEncoding,
    ModelCard,
    OutputOptions,
    Segment,
    SegmentResult,
    Task,
)

from . import shapes
from .failures import FunctionError, told
from .parameters import Parameters, read
from .pictures import encoded

_OWN = {"shape": str, "labels": str, "threshold": float, "tolerance": float}
_SHAPES = ("mask", "polygon", "rectangle", "skeleton")
_TASKS = {"rectangle": Task.OBJECT_DETECTION, "skeleton": Task.KEYPOINT_DETECTION}
_OBJECT = Category(0, "object")
"""The label of what a model without classes finds."""
_WITH_BODY = "person"
"""The class that keypoints are found of."""


class Detector:
    """A detection function; its labels are the classes of the model's card."""

    def __init__(self, parameters: Parameters) -> None:
        self._client = parameters.client()
        self._model = parameters.text("model", "mask-rcnn")
        self._shape = parameters.choice("shape", _SHAPES)
        self._task = _TASKS.get(self._shape, Task.INSTANCE_SEGMENTATION)
        self._wanted = parameters.names("labels")
        self._threshold = parameters.number("threshold", None, most=1.0)
        self._tolerance = parameters.number("tolerance", 1.0) or 0.0

    @cached_property
    def spec(self) -> cvataa.DetectionFunctionSpec:
        """The labels of what is found; the server is asked for them once."""
        return cvataa.DetectionFunctionSpec(labels=[self._label(c) for c in self._categories])

    def detect(
        self, context: cvataa.DetectionFunctionContext, image: PIL.Image.Image
    ) -> list[models.LabeledShapeRequest]:
        """Find objects in one frame.

        Raises:
            FunctionError: the server refuses the frame, or does not answer.
        """
        found = self._ask(encoded(image), context)
        known = {category.id for category in self._categories}
        return [
            shape
            for segment in found.segments
            if segment.category_id in known
            for shape in self._shapes_of(segment, found.image_size, context.conv_mask_to_poly)
        ]

    def _ask(self, image: ImageLike, context: cvataa.DetectionFunctionContext) -> SegmentResult:
        asked = context.conf_threshold
        output = OutputOptions(
            min_score=self._threshold if asked is None else asked,
            mask_encoding=MaskEncoding.NONE if self._shape in _TASKS else MaskEncoding.COCO_RLE,
            category_ids=tuple(c.id for c in self._categories) if self._wanted else (),
        )
        with told(self._client, context.frame_name):
            # Of one picture, for its patience: what a task has found so far is lost with an error.
            items = self._client.segment_many(
                [image], model=self._model, task=self._task, output=output
            )
            item = next(iter(items))
            if item.error is not None:
                raise item.error
        assert item.result is not None
        return item.result

    def _shapes_of(
        self, found: Segment, size: tuple[int, int], as_polygons: bool
    ) -> Iterator[models.LabeledShapeRequest]:
        if self._shape == "rectangle":
            return shapes.box_shapes(found, found.category_id, size)
        if self._shape == "skeleton":
            return shapes.skeleton_shapes(found, found.category_id, size)
        as_polygons = as_polygons or self._shape == "polygon"
        tolerance = self._tolerance if as_polygons else None
        return shapes.mask_shapes(found, found.category_id, tolerance)

    @cached_property
    def _card(self) -> ModelCard:
        with told(self._client):
            card = self._client.model_card(self._model)
        if self._task not in card.tasks:
            can = ", ".join(task.value for task in card.tasks)
            raise FunctionError(
                f"parameter 'shape': expected a model with the task {self._task.value} for "
                f"{self._shape!r}, got {self._model}, which does {can}"
            )
        return card

    @cached_property
    def _categories(self) -> tuple[Category, ...]:
        named = self._card.categories or (_OBJECT,)
        names = [category.name for category in named]
        if unknown := [name for name in self._wanted if name not in names]:
            raise FunctionError(
                f"parameter 'labels': expected classes of {self._model} ({', '.join(names)}), "
                f"got {', '.join(unknown)}"
            )
        wanted = self._wanted or names
        if self._shape == "skeleton" and _WITH_BODY in names:
            wanted = [_WITH_BODY]
        return tuple(category for category in named if category.name in wanted)

    def _label(self, category: Category) -> models.PatchedLabelRequest:
        points = self._card.keypoint_schema
        if self._shape == "skeleton" and points is not None:
            parts = [cvataa.keypoint_spec(name, i) for i, name in enumerate(points.names)]
            return cvataa.skeleton_label_spec(category.name, category.id, parts)
        return cvataa.label_spec(category.name, category.id, type=self._shape)


def create(**given: object) -> Detector:
    """Make the function of ``--function-module diptych_cvat``.

    Args:
        given: the parameters of ``-p``; those of every function, and ``shape``, ``labels``,
            ``threshold`` and ``tolerance``.

    Raises:
        FunctionError: a parameter cannot be used.
    """
    return Detector(read(given, _OWN))
