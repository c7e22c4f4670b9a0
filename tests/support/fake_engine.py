"""An engine without a model: it answers at once, and misbehaves when the picture asks for it.

The top left pixel of a picture selects the behaviour; the label of each segment carries a digest
of the pixels, so that a test can tell whose answer it got. Tests speak to it through the
environment: ``FAKE_LOG`` names a file that gets a line for each call, ``FAKE_GATE`` one that gated
pictures wait for, in short steps, ``FAKE_LOAD_S`` is how long loading takes.

The batching engines answer prompts together. What a prompt does there is in its first point's y.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from impossible import impossible

from diptych import AutomaticOptions, Box, LowResLogits, Mask, Segment, Task
from diptych.limits import MAX_REPLY_BYTES
from diptych_runtime.engine import (
    Answer,
    BatchItem,
    BatchSteps,
    DeviceLostError,
    Features,
    Job,
    LoadedModel,
    LoadedWeights,
    Pixels,
    Reason,
    ServiceError,
    Steps,
)
from diptych_runtime.worker.batch_policy import BatchPolicy

CRASH = (255, 0, 1)
RAISE = (255, 0, 2)
HANG = (255, 0, 3)
SLOW = (255, 0, 4)
NO_MEMORY = (255, 0, 5)
LOST = (255, 0, 6)
GATED = (255, 0, 7)
NO_ANSWER = (255, 0, 8)
HUGE = (255, 0, 9)
WRONG = (255, 0, 10)
"""One segment that cannot be so; which, the request says by how many segments it wants."""

BAD_Y = 33
GATED_Y = 35
OTHER_KEY_Y = 37
MODEL_S = 0.004

SLOW_STEPS = 60
SLOW_STEP_S = 0.05

CARD = {
    "id": "fake",
    "display_name": "Fake",
    "organization": "Tests",
    "category": "open",
    "modality": "vision",
    "release_date": "2026-01",
    "licenses": {"code": "Apache-2.0", "weights": "Apache-2.0", "published": "none"},
    "overview": "Answers without a model.",
    "intended_uses": ["Tests."],
    "limitations": ["Knows nothing."],
    "features": ["fast"],
    "references": ["https://example.org"],
    "prompt_kinds": ["PROMPT_KIND_POINT", "PROMPT_KIND_BOX", "PROMPT_KIND_MASK"],
}


def watermark(pixels: Pixels) -> str:
    """What the label of every segment of this picture is."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()[:16]


def note(what: str, watermark: str = "") -> None:
    """Add a line to the log, if there is one."""
    if path := os.environ.get("FAKE_LOG"):
        with Path(path).open("a") as log:
            log.write(f"{what} {watermark} {os.getpid()} {threading.get_ident()}\n")


class FakeEngine:
    """See the module."""

    def load(self) -> LoadedModel:
        note("load")
        time.sleep(float(os.environ.get("FAKE_LOAD_S", "0")))
        return LoadedModel(
            card=CARD,
            tasks=(Task.INSTANCE_SEGMENTATION, Task.OBJECT_DETECTION, Task.PROMPTED_SEGMENTATION),
            weights=(LoadedWeights("fake", bytes(32), "", 0),),
            parameter_count=1,
            device="cpu",
            dtype="float32",
            tier="exact",
            software="none",
            free_device_bytes=lambda: int(os.environ.get("FAKE_FREE_BYTES", "0")),
            default_min_score=0.0,
            default_max_segments=10,
            categories=((1, "thing"), (2, "other")),
            default_automatic=AutomaticOptions(
                points_per_side=4,
                pred_iou_thresh=0.5,
                stability_score_thresh=0.5,
                box_nms_thresh=0.7,
                crop_n_layers=0,
                min_mask_region_area=0,
                stability_score_offset=1.0,
                crop_nms_thresh=0.7,
                crop_overlap_ratio=0.3,
                crop_n_points_downscale_factor=1,
                multimask_output=True,
                use_m2m=False,
            ),
            logits_size=(8, 8),
        )

    def features_kind(self, task: Task) -> str:
        return "boxes" if task is Task.OBJECT_DETECTION else "image"

    def embed(self, pixels: Pixels, kind: str) -> Features:
        behaviour = tuple(int(v) for v in pixels[0, 0])
        note("embed", watermark(pixels))
        if behaviour == CRASH:
            os._exit(9)
        if behaviour == HANG:
            time.sleep(3600)
        if behaviour == NO_MEMORY:
            raise ServiceError(Reason.DEVICE_MEMORY, "the device has no memory left for this")
        if behaviour == LOST:
            raise DeviceLostError("the device fell off the bus")
        if behaviour == RAISE:
            raise RuntimeError(f"secret at {hex(id(pixels))} in /usr/lib/python")
        payload = (watermark(pixels), behaviour, pixels.shape[:2])
        return Features(payload, pixels.nbytes)

    def segment(self, features: Features, pixels: Callable[[], Pixels], job: Job) -> Steps[Answer]:
        label, behaviour, (height, width) = features.payload  # type: ignore[misc]
        note("segment", label)
        if behaviour == GATED and job.task is Task.INSTANCE_SEGMENTATION:
            while not Path(os.environ["FAKE_GATE"]).exists():
                time.sleep(0.005)
                note("step", label)
                yield
        if behaviour == NO_ANSWER:
            return None  # type: ignore[return-value]
        if behaviour == HUGE:
            return Answer((Segment(score=0.5, label="x" * MAX_REPLY_BYTES),))
        if behaviour == WRONG:
            return Answer((impossible(job.output.max_segments or 1, (height, width)),))
        if behaviour == SLOW and job.task is Task.INSTANCE_SEGMENTATION:
            for _ in range(SLOW_STEPS):
                time.sleep(SLOW_STEP_S)
                yield
        segments, wanted = [], job.output.low_res_logits
        for index, prompt in enumerate(job.prompts):
            point = prompt.points[0] if prompt.points else None
            box = prompt.box or Box(0, 0, width, height)
            if point:
                box = Box(max(point.x - 4, 0), max(point.y - 4, 0), point.x + 4, point.y + 4)
            segments.append(_segment(label, box, (height, width), index, wanted))
            yield
        if not job.prompts:
            half = Box(0, 0, width / 2, height / 2)
            segments = [_segment(label, half, (height, width), None, wanted)]
        limit = job.output.max_segments or len(segments)
        return Answer(tuple(segments[:limit]), max(len(segments) - limit, 0))


_LOGITS = LowResLogits.from_numpy(np.zeros((8, 8)))


def _segment(
    label: str, box: Box, size: tuple[int, int], index: int | None, logits: bool = False
) -> Segment:
    crop = np.ones(
        (
            min(int(box.y_max), size[0]) - int(box.y_min),
            min(int(box.x_max), size[1]) - int(box.x_min),
        ),
        bool,
    )
    mask = Mask.from_crop(crop, int(box.x_min), int(box.y_min), size)
    return Segment(
        score=0.9,
        box=mask.box,
        mask=mask,
        label=label,
        area=mask.area,
        prompt_index=index,
        candidate_index=None if index is None else 0,
        low_res_logits=_LOGITS if logits else None,
    )


def create() -> FakeEngine:
    """The factory that services name."""
    return FakeEngine()


def create_plain() -> FakeEngine:
    """A factory whose engine takes boxes only and has no automatic mode and no categories."""

    class Plain(FakeEngine):
        def load(self) -> LoadedModel:
            return replace(
                super().load(),
                card={**CARD, "id": "plain", "prompt_kinds": ["PROMPT_KIND_BOX"]},
                categories=(),
                default_automatic=None,
                logits_size=None,
            )

    return Plain()


def create_broken() -> FakeEngine:
    """A factory whose engine cannot be loaded as it is set up."""
    from diptych_runtime.engine.protocol import LoadError

    class Broken(FakeEngine):
        def load(self) -> LoadedModel:
            raise LoadError("weights 'nothing' are not here; run: diptych-fake pull nothing")

    return Broken()


def create_once() -> FakeEngine:
    """A factory that works in its first process only; ``FAKE_LOG`` has to name a file."""
    log = Path(os.environ["FAKE_LOG"])
    if log.exists() and "load" in log.read_text():
        os._exit(11)
    return FakeEngine()


def create_changing() -> FakeEngine:
    """A factory whose later engines mark other pixels than its first; ``FAKE_LOG`` names a file."""
    log = Path(os.environ["FAKE_LOG"])
    later = log.exists() and "load" in log.read_text()

    class Changed(FakeEngine):
        def segment(
            self, features: Features, pixels: Callable[[], Pixels], job: Job
        ) -> Steps[Answer]:
            answer = yield from super().segment(features, pixels, job)
            size = features.payload[2]  # type: ignore[index]
            wrong = (_segment("wrong", Box(0, 0, 9, 9), size, 0),) if later else answer.segments
            return replace(answer, segments=wrong)

    return Changed()


def create_without_numbers() -> FakeEngine:
    """A factory whose engine gives scores that are not numbers."""

    class Nan(FakeEngine):
        def segment(
            self, features: Features, pixels: Callable[[], Pixels], job: Job
        ) -> Steps[Answer]:
            answer = yield from super().segment(features, pixels, job)
            segments = tuple(replace(each, score=float("nan")) for each in answer.segments)
            return replace(answer, segments=segments)

    return Nan()


def create_silent() -> FakeEngine:
    """A factory whose engine finds nothing, also where it is asked about a point."""

    class Silent(FakeEngine):
        def segment(
            self, features: Features, pixels: Callable[[], Pixels], job: Job
        ) -> Steps[Answer]:
            answer = yield from super().segment(features, pixels, job)
            return replace(answer, segments=())

    return Silent()


def create_crashing() -> FakeEngine:
    """A factory whose process ends while it loads."""
    os._exit(11)


class BatchingFake(FakeEngine):
    """Every call of the model takes ``MODEL_S``, for however many prompts.

    What the service learns of sizes is ``learned_s``, not what a clock says: a neighbour on the
    machine would be learned, too.
    """

    def __init__(self, learned_s: Callable[[int], float]) -> None:
        self._learned_s = learned_s

    def load(self) -> LoadedModel:
        learn, learned_s = BatchPolicy.learn, self._learned_s

        def told(policy: BatchPolicy, kind: Hashable, size: int, seconds: float) -> None:
            assert seconds >= 0
            learn(policy, kind, size, learned_s(size))

        # For this whole process, which has one engine.
        BatchPolicy.learn = told  # type: ignore[method-assign]
        return super().load()

    def batch_key(self, features: Features, job: Job) -> Hashable | None:
        if job.task is not Task.PROMPTED_SEGMENTATION or _y(job) == GATED_Y:
            return None  # how long a gate is closed, nobody shall learn
        return "other" if _y(job) == OTHER_KEY_Y else "key"

    def segment(self, features: Features, pixels: Callable[[], Pixels], job: Job) -> Steps[Answer]:
        if job.task is Task.PROMPTED_SEGMENTATION:
            self._compute([(features, job)])
        return (yield from super().segment(features, pixels, job))

    def segment_batch(self, items: Sequence[BatchItem]) -> BatchSteps:
        note(f"together{len(items)}")
        self._compute([(item.features, item.job) for item in items])
        for index, item in enumerate(items):
            yield None
            if item.wanted():
                steps = super().segment(item.features, item.pixels, item.job)
                while True:
                    try:
                        next(steps)
                    except StopIteration as end:
                        yield index, end.value
                        break

    def _compute(self, jobs: Sequence[tuple[Features, Job]]) -> None:
        ys = [_y(job) for _, job in jobs]
        if GATED_Y in ys:
            note("gated", jobs[ys.index(GATED_Y)][0].payload[0])  # type: ignore[index]
            while not Path(os.environ["FAKE_GATE"]).exists():
                time.sleep(0.005)
        time.sleep(MODEL_S)
        if BAD_Y in ys:
            raise RuntimeError("secret of a bad prompt")


def _y(job: Job) -> int:
    return int(job.prompts[0].points[0].y)


def create_batching() -> BatchingFake:
    """A factory whose engine takes as long for many prompts as for one."""
    return BatchingFake(lambda size: 0.01)


def create_slower_together() -> BatchingFake:
    """A factory whose engine takes longer for prompts together than one by one."""
    return BatchingFake(lambda size: 0.01 if size == 1 else 0.1 * size)


def create_failing() -> FakeEngine:
    """A factory whose engine loads well and fails at every image."""

    class Failing(FakeEngine):
        def embed(self, pixels: Pixels, kind: str) -> Features:
            raise RuntimeError("secret of a device")

    return Failing()
