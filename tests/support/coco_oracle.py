"""The reference tools on our data sets and answers: pycocotools, faster-coco-eval, tidecv."""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib
import io
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from unittest import mock

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


def tidecv_errors(dataset: Dataset, answers: Mapping[str, Answer], kind: str) -> Any:
    """Give tidecv's AP at IoU .5, gains (main and special) and counts, by short name; percent."""
    tidecv = _tidecv()
    truth, found = tidecv.Data("truth"), tidecv.Data("answers")
    for held in (truth, found):
        for category in dataset.categories:
            held.add_class(category.id, category.name)
        for picture in dataset.pictures:
            held.add_image(picture.id, picture.name)
    known = {each.id for each in dataset.categories}
    for picture in dataset.pictures:
        for each in picture.truths:
            assert each.mask is not None
            mask = {"size": list(each.mask.size), "counts": each.mask.to_coco()}
            add = truth.add_ignore_region if each.crowd else truth.add_ground_truth
            add(picture.id, each.category_id, list(each.box), mask)
        for segment in answers[picture.name].value["segments"]:
            if segment["category_id"] in known:
                rle = segment["segmentation"]
                mask = {"size": rle["size"], "counts": rle["counts"].encode()}
                score, box = segment["score"], list(segment["bbox"])
                found.add_detection(picture.id, segment["category_id"], score, box, mask)
    mode = {"segm": tidecv.TIDE.MASK, "bbox": tidecv.TIDE.BOX}[kind]
    run = tidecv.TIDE().evaluate(truth, found, mode=mode)
    gains = {**run.fix_main_errors(), **run.fix_special_errors()}
    return (
        run.ap,
        {each.short_name: gain for each, gain in gains.items()},
        {each.short_name: count for each, count in run.count_errors().items()},
    )


@functools.cache
def _tidecv() -> Any:
    """Import it without what it draws with: seconds, and a library that servers lack."""
    drawing = ("cv2", "matplotlib", "matplotlib.lines", "matplotlib.pyplot", "pandas", "seaborn")
    with mock.patch.dict(sys.modules, {name: mock.MagicMock() for name in drawing}):
        return importlib.import_module("tidecv")


def faster_coco_boundary(dataset: Dataset, answers: Mapping[str, Answer]) -> Any:
    """Give a ``COCOeval_faster`` of boundary AP that has accumulated and summed up."""
    from faster_coco_eval import COCO, COCOeval_faster

    truth = COCO(coco_truth(dataset.pictures, dataset))
    found = truth.loadRes(coco_results(dataset.pictures, answers, "segm"))
    evaluation = COCOeval_faster(truth, found, "boundary", print_function=lambda *_: None)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation
