"""How close the cascade's outlines come to the truth, beside Mask R-CNN's own, by the demo weights.

python evaluate_cascade.py [--scenes 200] [--first 10000000] [--write]

Both model services and the gateway run as they do for users, on free ports of this process. Every
scene is asked of Mask R-CNN and of the cascade. A detection counts where its box, which both masks
are drawn from, overlaps the box of an object of its class by at least one half; each object is
taken once, by the best score. Its two masks are then held against the object's visible pixels. Mask
AP is COCO's, over all detections of any score.

With --write the figures also go onto the cascade's card, with the weights that they belong to.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, redirect_stdout
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from common import box_of, packaged
from evaluate import truths
from figures import FILE, Figure, dataset, record, share, show
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scenes import CLASSES, HELD_OUT, Scene, scene

from diptych import AsyncClient, Box, Mask, OutputOptions, Segment
from diptych_gateway.server import Gateway
from diptych_gateway.settings import Endpoint, Pair, Settings
from diptych_runtime.front.service import ModelService
from diptych_runtime.logs import configure
from diptych_runtime.settings import RuntimeSettings

ENGINES = {"mask-rcnn": "diptych_maskrcnn.engine:create", "sam-2": "diptych_sam2.engine:create"}
PAIR = Pair("mask-rcnn", "sam-2")
DEMO = {
    "DIPTYCH_MASK_RCNN_WEIGHTS": "demo",
    "DIPTYCH_KEYPOINT_WEIGHTS": "off",
    "DIPTYCH_SAM_2_WEIGHTS": "demo",
    "DIPTYCH_DEVICE": "cpu",
    "DIPTYCH_TIER": "exact",
}
"""Settings that the engine processes inherit."""
LOAD_S = 120.0
MATCH_IOU = 0.5
MIN_SCORE = 0.5
"""Mask R-CNN's default."""
CARD = Path(str(files("diptych_gateway"))) / "cascade" / "measured.json"
"""Where the gateway reads what was measured on two models together."""
ON_THE_CARD = 6
"""Figures that go onto it: the first ones, those of single classes do not."""
Row = tuple[float, float, float]
"""IoU of the own mask with the truth, of the redrawn one with the truth, of both."""


@dataclass
class Counts:
    """What is gathered over all scenes; rows by class."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    detections: int = 0
    unchanged: int = 0
    scenes: int = 0
    truths: list[dict[str, Any]] = field(default_factory=list)
    """Annotations as COCO writes them."""
    own: list[dict[str, Any]] = field(default_factory=list)
    redrawn: list[dict[str, Any]] = field(default_factory=list)
    """Results as COCO writes them, of either."""


@asynccontextmanager
async def running() -> AsyncIterator[AsyncClient]:
    """A client of a gateway with both models and the cascade."""
    settings = RuntimeSettings(drain_s=1.0)
    async with AsyncExitStack() as stack:
        endpoints = []
        for model_id, engine in ENGINES.items():
            service = ModelService(engine, settings, port=0)
            await service.start()
            stack.push_async_callback(service.stop)
            await service.ready(LOAD_S)
            endpoints.append(Endpoint(model_id, f"127.0.0.1:{service.port}"))
        models = tuple(endpoints)
        gateway = Gateway(Settings(models=models, cascades=(PAIR,), port=0, http_port=None))
        port = await gateway.start()
        stack.push_async_callback(gateway.stop)
        client = await stack.enter_async_context(AsyncClient(f"127.0.0.1:{port}"))
        async with asyncio.timeout(LOAD_S):
            while not all(model.card for model in await client.model_cards()):
                await asyncio.sleep(0.1)
        yield client


async def count(client: AsyncClient, one: Scene, counts: Counts) -> None:
    """Ask for one scene and hold both answers against the truth."""
    every = OutputOptions(min_score=0.0, max_segments=100)
    own = (await client.segment(one.image, model=PAIR.detector, output=every)).segments
    redrawn = (await client.segment(one.image, model=PAIR.model_id, output=every)).segments
    count_precision(one, own, redrawn, counts)
    own = [s for s in own if s.score >= MIN_SCORE]
    redrawn = [s for s in redrawn if s.score >= MIN_SCORE]
    counts.detections += len(own)
    counts.unchanged += sum(
        (a.label, a.category_id, a.score) == (b.label, b.category_id, b.score)
        for a, b in zip(own, redrawn, strict=False)
    )
    objects = {i: (CLASSES[c], Mask.from_array(m)) for i, (c, m) in enumerate(truths(one))}
    for before, after in zip(own, redrawn, strict=True):  # best score first
        index = best_match(before, objects)
        if index is not None:
            label, truth = objects.pop(index)
            counts.rows[label].append(
                (iou(before, truth), iou(after, truth), after.source_iou or 0.0)
            )


def count_precision(
    one: Scene, own: Sequence[Segment], redrawn: Sequence[Segment], counts: Counts
) -> None:
    """Note truth and answers as COCO's figures are computed from them."""
    counts.scenes += 1
    image_id = counts.scenes
    for label, mask in truths(one):
        counts.truths.append(
            {
                "id": len(counts.truths) + 1,
                "image_id": image_id,
                "category_id": label,
                "iscrowd": 0,
                "area": int(mask.sum()),
                "segmentation": run_lengths(Mask.from_array(mask)),
            }
        )
    for segments, noted in ((own, counts.own), (redrawn, counts.redrawn)):
        noted += [
            {
                "image_id": image_id,
                "category_id": s.category_id,
                "score": s.score,
                "segmentation": run_lengths(s.mask),
            }
            for s in segments
            if s.mask
        ]


def run_lengths(mask: Mask) -> dict[str, Any]:
    """As pycocotools takes them."""
    return {"size": list(mask.size), "counts": mask.to_coco()}


def average_precision(truth: list[dict[str, Any]], found: list[dict[str, Any]]) -> float:
    """COCO's mask AP: mean over the classes and over thresholds from 0.50 to 0.95."""
    sizes = {a["image_id"]: a["segmentation"]["size"] for a in truth}
    with redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i, "height": h, "width": w} for i, (h, w) in sorted(sizes.items())],
            "annotations": truth,
            "categories": [{"id": i} for i in sorted({a["category_id"] for a in truth})],
        }
        coco.createIndex()
        computed = COCOeval(coco, coco.loadRes(found), "segm")
        computed.evaluate()
        computed.accumulate()
        computed.summarize()
    return float(computed.stats[0])


def best_match(found: Segment, objects: dict[int, tuple[str, Mask]]) -> int | None:
    """The object of the same class whose box overlaps most, if by enough."""
    overlaps = {
        index: found.box.iou(Box(*map(float, box_of(mask.to_array()))))
        for index, (label, mask) in objects.items()
        if label == found.label and found.box
    }
    best = max(overlaps, key=lambda index: overlaps[index], default=None)
    return best if best is not None and overlaps[best] >= MATCH_IOU else None


def iou(segment: Segment, truth: Mask) -> float:
    """Overlap with the truth; a segment without a mask has none."""
    return segment.mask.iou(truth) if segment.mask else 0.0


def figures(counts: Counts, where: str) -> list[Figure]:
    """As they go into the file."""
    table = [row for rows in counts.rows.values() for row in rows]
    better = sum(redrawn > own for own, redrawn, _ in table)
    objects = len(counts.truths)
    precision = [
        Figure(
            f"mask AP, {name} masks", average_precision(counts.truths, found), "AP", where, objects
        )
        for name, found in (("own", counts.own), ("redrawn", counts.redrawn))
    ]
    return [
        *precision,
        *means("", table, where),
        share("detections whose redrawn mask is closer to the truth", better, len(table), where),
        share("labels and scores unchanged", counts.unchanged, counts.detections, where),
        *(
            f
            for label in sorted(counts.rows)
            for f in means(f", {label}", counts.rows[label], where)
        ),
    ]


def means(suffix: str, rows: Sequence[Row], where: str) -> list[Figure]:
    """Both mean overlaps with the truth, and that of one mask with the other."""
    names = ("mean IoU, own mask", "mean IoU, redrawn mask", "mean IoU of own and redrawn mask")
    return [
        Figure(f"{name}{suffix}", value, "IoU", where, len(rows))
        for name, value in zip(names, np.mean(rows, 0), strict=True)
    ]


def put_on_card(found: Sequence[Figure]) -> None:
    """Write the figures, and the weights that they belong to, where the gateway reads them."""
    metrics = [
        {
            "name": f.name,
            "value": f.value,
            "unit": f.unit,
            "dataset": f.dataset,
            "source": "demo-weights/figures.json",
        }
        for f in found[:ON_THE_CARD]
    ]
    detector, segmenter = (
        hashlib.sha256(packaged(name).read_bytes()).hexdigest() for name in ("mask", "sam2")
    )
    entry = {"detector": detector, "segmenter": segmenter, "metrics": metrics}
    CARD.write_text(json.dumps([entry], indent=2) + "\n")


async def measure(args: argparse.Namespace) -> Counts:
    """Count over all scenes."""
    counts = Counts()
    async with running() as client:
        for seed in range(args.first, args.first + args.scenes):
            await count(client, scene(seed), counts)
    return counts


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--first", type=int, default=HELD_OUT, help="seed of the first scene")
    parser.add_argument("--write", action="store_true", help=f"into {FILE.name}")
    args = parser.parse_args()
    os.environ.update(DEMO)
    configure("error", service="evaluate")
    found = figures(asyncio.run(measure(args)), dataset(args.first, args.scenes))
    show(found)
    if args.write:
        record("cascade", found)
        put_on_card(found)


if __name__ == "__main__":
    main()
