"""Truths in COCO's form, for tools and figures that take it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..model import Category, Dataset, Truth
from .geometry import rasterise

__all__ = ["rasterise", "to_coco"]


def to_coco(dataset: Dataset, names: Collection[str] | None = None) -> dict[str, Any]:
    """A COCO dictionary of pictures, truths and categories under our ids, which count from 1.

    Args:
        dataset: of pictures; clips are not part of it.
        names: only the pictures of these names; ``None`` for all. Categories are always all.
    """
    chosen = [each for each in dataset.pictures if names is None or each.name in names]
    has_bodies = any(each.keypoints for each in dataset.categories)
    return {
        "info": {"description": dataset.name},
        "images": [
            {"id": each.id, "file_name": each.name, "height": each.height, "width": each.width}
            for each in chosen
        ],
        "annotations": [
            _annotation(picture.id, truth, has_bodies)
            for picture in chosen
            for truth in picture.truths
        ],
        "categories": [_category(each) for each in dataset.categories],
    }


def _annotation(picture_id: int, truth: Truth, has_bodies: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": truth.id,
        "image_id": picture_id,
        "category_id": truth.category_id,
        "bbox": list(truth.box),
        "area": truth.area,
        "iscrowd": int(truth.crowd),
    }
    if truth.mask is not None:
        counts = truth.mask.to_coco().decode("ascii")
        made["segmentation"] = {"size": list(truth.mask.size), "counts": counts}
    if truth.keypoints:
        made["keypoints"] = list(truth.keypoints)
    if has_bodies:  # pycocotools looks for it in what is no body, too
        made["num_keypoints"] = truth.visible_keypoints
    return made


def _category(category: Category) -> dict[str, Any]:
    made: dict[str, Any] = {"id": category.id, "name": category.name}
    if category.keypoints:
        made["keypoints"] = list(category.keypoints)
    return made
