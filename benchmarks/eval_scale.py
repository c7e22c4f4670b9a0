"""Time and memory of the figures of a large run: two models, many pictures, a thousand resamples.

    python benchmarks/eval_scale.py [--pictures 2000] [--detections 20000] [--resamples 1000]

Truths and answers are drawn from a seed and kept as a run keeps them: no service is asked, and
drawing is not part of the time. Peak memory is that of the whole process, drawing included.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from diptych import Mask
from diptych_eval.asking.store import AnswerFile
from diptych_eval.figures.all import ComputeOptions, compute
from diptych_eval.model import Category, Dataset, EvaluationTask, Picture, Truth
from diptych_eval.results import Answer, Cost

HEIGHT, WIDTH = 480, 640
CLASSES = 20
SHIFTS = {"a": 6, "b": 3}
"""Model to how far its answers are off, in pixels."""


def main() -> None:
    """Draw a data set and answers, compute all that a report holds, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--detections", type=int, default=20_000, help="of each model")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--task", action="append", choices=("instances", "boxes"))
    options = parser.parse_args()
    random = np.random.default_rng(0)
    dataset = drawn(random, options.pictures, options.detections // 3)
    with tempfile.TemporaryDirectory() as folder:
        files = {model: AnswerFile(Path(folder) / f"{model}.jsonl") for model in SHIFTS}
        for model, shift in SHIFTS.items():
            for answer in answered(random, dataset, options.detections, shift):
                files[model].add(answer)
        tasks = options.task or ["instances"]
        answers = {model: dict.fromkeys(tasks, each) for model, each in files.items()}
        print(f"drawn; peak memory {peak():.0f} MB")
        wall, processor = time.perf_counter(), time.process_time()
        figures = compute(dataset, answers, ComputeOptions(bootstrap=options.resamples))
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        for each in files.values():
            each.close()
    for each in figures.differences:
        print(f"{each.figure}: {each.value:+.4f} [{each.low:+.4f}, {each.high:+.4f}]")
    print(
        f"{', '.join(tasks)}: {wall:.1f} s, {processor:.1f} s of processor; "
        f"peak memory {peak():.0f} MB"
    )


def drawn(random: np.random.Generator, pictures: int, objects: int) -> Dataset:
    """Draw a data set of ellipses in ``CLASSES`` classes."""
    owners = np.bincount(random.integers(pictures, size=objects), minlength=pictures)
    made, next_id = [], 1
    for index, count in enumerate(owners):
        truths = []
        for _ in range(count):
            mask = ellipse(random)
            truths.append(
                Truth(
                    id=next_id,
                    category_id=int(random.integers(1, CLASSES + 1)),
                    box=mask.box.xywh if mask.box else (0.0, 0.0, 0.0, 0.0),
                    area=mask.area,
                    mask=mask,
                    crowd=random.random() < 0.01,
                )
            )
            next_id += 1
        name = f"{index:05}.png"
        made.append(Picture(index + 1, name, Path(name), HEIGHT, WIDTH, tuple(truths)))
    return Dataset(
        name="drawn",
        format="coco",
        root=Path(),
        tasks=frozenset({EvaluationTask.INSTANCES, EvaluationTask.BOXES}),
        categories=tuple(Category(each, f"class {each}") for each in range(1, CLASSES + 1)),
        pictures=tuple(made),
    )


def answered(
    random: np.random.Generator, dataset: Dataset, detections: int, shift: int
) -> Iterator[Answer]:
    """Answer with truths moved by up to ``shift`` pixels, and with shapes that are nowhere."""
    objects = sum(len(each.truths) for each in dataset.pictures)
    wrong = (detections - objects) / len(dataset.pictures)
    for picture in dataset.pictures:
        segments = [
            segment(
                each.mask.shifted(*map(int, random.integers(-shift, shift + 1, 2))),
                each.category_id if random.random() < 0.9 else int(random.integers(1, CLASSES)),
                random.beta(4, 2),
            )
            for each in picture.truths
            if each.mask is not None
        ]
        segments += [
            segment(ellipse(random), int(random.integers(1, CLASSES + 1)), random.beta(2, 4))
            for _ in range(random.poisson(wrong))
        ]
        value = {"segments": segments}
        yield Answer(picture.name, "", value, Cost(0.1, 0.05, 1000))


def ellipse(random: np.random.Generator) -> Mask:
    """Draw an ellipse of 8 to 120 pixels across each way."""
    across = np.exp(random.uniform(np.log(4), np.log(60), 2)).round().astype(int)
    top, left = (random.random(2) * (HEIGHT - 2 * across[0], WIDTH - 2 * across[1])).astype(int)
    y, x = np.ogrid[: 2 * across[0], : 2 * across[1]]
    inside = ((y - across[0]) / across[0]) ** 2 + ((x - across[1]) / across[1]) ** 2 < 1
    return Mask.from_crop(inside, int(left), int(top), (HEIGHT, WIDTH))


def segment(mask: Mask, category: int, score: float) -> dict[str, Any]:
    """Make a segment as answers hold it."""
    return {
        "category_id": category,
        "score": float(score),
        "bbox": list(mask.box.xywh) if mask.box else [0.0, 0.0, 0.0, 0.0],
        "segmentation": {"size": list(mask.size), "counts": mask.to_coco().decode()},
    }


def peak() -> float:
    """Give the most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
