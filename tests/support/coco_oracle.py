"""The reference tools on our data sets and answers: pycocotools, faster-coco-eval, tidecv."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Mapping, Sequence
from typing import Any

from diptych_eval.model import Dataset, Picture
from diptych_eval.results import Answer


def coco_truth(pictures: Sequence[Picture], dataset: Dataset) -> dict[str, Any]:
    """Write truths as a COCO file holds them, apart from the product's own way."""
    annotations = []
    for picture in pictures:
        for truth in picture.truths:
            made = {
                "id": truth.id,
                "image_id": picture.id,
                "category_id": truth.category_id,
                "bbox": list(truth.box),
                "area": truth.area,
                "iscrowd": int(truth.crowd),
            }
            if truth.mask is not None:
                counts = truth.mask.to_coco().decode()
                made["segmentation"] = {"size": list(truth.mask.size), "counts": counts}
            if truth.keypoints:
                made["keypoints"] = list(truth.keypoints)
                made["num_keypoints"] = sum(each > 0 for each in truth.keypoints[2::3])
            annotations.append(made)
    return {
        "info": {},
        "images": [
            {"id": each.id, "width": each.width, "height": each.height} for each in pictures
        ],
        "categories": [{"id": each.id, "name": each.name} for each in dataset.categories],
        "annotations": annotations,
    }


def coco_results(
    pictures: Sequence[Picture], answers: Mapping[str, Answer], kind: str
) -> list[dict[str, Any]]:
    """Write answers as a COCO results file holds them."""
    field = {"bbox": "bbox", "keypoints": "keypoints"}.get(kind, "segmentation")
    return [
        {
            "image_id": picture.id,
            "category_id": segment["category_id"],
            "score": segment["score"],
            field: copy.deepcopy(segment[field]),
        }
        for picture in pictures
        for segment in answers[picture.name].value["segments"]
    ]


def pycocotools_eval(
    truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    kind: str,
    *,
    class_agnostic: bool = False,
    max_answers: Sequence[int] | None = None,
) -> Any:
    """Give a ``COCOeval`` that has accumulated, and summed up unless ``max_answers`` are others."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        held = COCO()
        held.dataset = copy.deepcopy(dict(truth))
        held.createIndex()
        found = held.loadRes(copy.deepcopy(list(results)))
        evaluation = COCOeval(held, found, kind)
        evaluation.params.useCats = int(not class_agnostic)
        if max_answers is not None:
            evaluation.params.maxDets = list(max_answers)
        evaluation.evaluate()
        evaluation.accumulate()
        if max_answers is None:
            evaluation.summarize()
    return evaluation
