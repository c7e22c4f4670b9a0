"""Time and memory of the figures of a large run: two models, many pictures, a thousand resamples.

    python benchmarks/eval_scale.py [--pictures 2000] [--detections 20000] [--resamples 1000]

Truths and answers are drawn from a seed, as they come out of a run's files: nothing is asked of a
service, and drawing is not part of the time. Peak memory is that of the whole process.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from diptych import Mask
from diptych_eval.figures.boundary import boundary_figures
from diptych_eval.figures.differences import ap_difference
from diptych_eval.figures.instances import instance_figures
from diptych_eval.model import Category, Dataset, EvaluationTask, Picture, Truth
from diptych_eval.results import Answer, Cost

HEIGHT, WIDTH = 480, 640
CLASSES = 20


def main() -> None:
    """Draw a data set, compute everything that a report holds, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--detections", type=int, default=20_000, help="of each model")
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    dataset = drawn(random, options.pictures, options.detections // 3)
    answers = {
        name: answered(random, dataset, options.detections, shift)
        for name, shift in (("a", 6), ("b", 3))
    }
    print(f"drawn; memory {peak():.0f} MB")
    before, busy = time.perf_counter(), time.process_time()
    for name, each in answers.items():
        for kind in ("segm", "bbox"):
            with timed(f"{name} {kind}"):
                figures = instance_figures(dataset, each, kind=kind)
            print(f"  AP {figures.values[f'{kind}/AP'].value:.4f}")
        with timed(f"{name} boundary"):
            boundary_figures(dataset, each)
    for kind in ("segm", "bbox", "boundary"):
        with timed(f"difference {kind}, {options.resamples} resamples"):
            found = ap_difference(
                dataset,
                answers["a"],
                answers["b"],
                model_a="a",
                model_b="b",
                kind=kind,
                resamples=options.resamples,
            )
        print(f"  AP {found[0].value:+.4f} [{found[0].low:+.4f}, {found[0].high:+.4f}]")
    wall, processor = time.perf_counter() - before, time.process_time() - busy
    print(f"together {wall:.1f} s, {processor:.1f} s of processor; peak memory {peak():.0f} MB")


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
) -> dict[str, Answer]:
    """Answer with truths moved by up to ``shift`` pixels, and with shapes that are nowhere."""
    objects = sum(len(each.truths) for each in dataset.pictures)
    wrong = (detections - objects) / len(dataset.pictures)
    answers = {}
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
        answers[picture.name] = Answer(picture.name, "", value, Cost(0.1, 0.05, 1000))
    return answers


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


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long it took, and the peak so far."""
    before, busy = time.perf_counter(), time.process_time()
    yield
    wall, processor = time.perf_counter() - before, time.process_time() - busy
    print(f"{what}: {wall:.1f} s, {processor:.1f} s of processor; peak memory {peak():.0f} MB")


def peak() -> float:
    """Give the most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
