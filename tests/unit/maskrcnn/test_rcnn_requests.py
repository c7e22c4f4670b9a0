"""What a request asks for decides what is computed: filters, limits, steps, and held features."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from rcnn_cases import ask, finish, job, scene, truth

from diptych import Task
from diptych_maskrcnn.engine import MaskRcnnEngine
from diptych_maskrcnn.network import detect as detect_module
from diptych_maskrcnn.network.pyramid import Pyramid
from diptych_maskrcnn.segments import Network
from diptych_runtime.engine import Features, Reason, ServiceError

SEGMENTATION = Task.INSTANCE_SEGMENTATION


def network(engine: MaskRcnnEngine, kind: str = "mask") -> Network:
    return engine._networks[kind]


@contextmanager
def counted(module: torch.nn.Module) -> Iterator[list[int]]:
    """How many boxes each run of a head gets."""
    seen: list[int] = []
    handle = module.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    yield seen
    handle.remove()


def fresh(engine: MaskRcnnEngine, number: int = 0) -> Features:
    return engine.embed(scene(number), "mask")


@pytest.mark.parametrize("number", [1, 2])
def test_finds_the_objects_of_a_scene(engine: MaskRcnnEngine, number: int) -> None:
    segments = ask(engine, scene(number), SEGMENTATION)
    overlaps = [
        max((s.mask.iou(mask) for s in segments if s.mask and s.label == name), default=0.0)
        for name, mask in truth(number)
    ]
    assert sum(overlap > 0.6 for overlap in overlaps) >= len(overlaps) - 1
    scores = [segment.score for segment in segments]
    assert scores == sorted(scores, reverse=True)


def test_score_floor_comes_before_the_mask_head(engine: MaskRcnnEngine) -> None:
    everything = ask(engine, scene(0), SEGMENTATION, min_score=0.0)
    floor = everything[2].score
    with counted(network(engine).module.roi_heads.mask_head) as boxes:
        segments = ask(engine, scene(0), SEGMENTATION, min_score=floor)
    assert sum(boxes) == len(segments) == 3
    assert [(s.score, s.mask, s.box) for s in segments] == [
        (s.score, s.mask, s.box) for s in everything[:3]
    ]


def test_categories_come_before_the_mask_head(engine: MaskRcnnEngine) -> None:
    everything = ask(engine, scene(0), SEGMENTATION, min_score=0.0)
    ring = next(s for s in everything if s.label == "ring")
    with counted(network(engine).module.roi_heads.mask_head) as boxes:
        segments = ask(
            engine, scene(0), SEGMENTATION, min_score=0.0, category_ids=(ring.category_id,)
        )
    assert sum(boxes) == len(segments) < len(everything)
    expected = [(s.score, s.mask) for s in everything if s.label == "ring"]
    assert [(s.score, s.mask) for s in segments] == expected


def test_category_that_does_not_exist_finds_nothing(engine: MaskRcnnEngine) -> None:
    assert ask(engine, scene(0), SEGMENTATION, min_score=0.0, category_ids=(77,)) == []


def test_limit_counts_what_it_leaves_out(engine: MaskRcnnEngine) -> None:
    features = fresh(engine)
    everything, _ = finish(engine, features, job(SEGMENTATION, min_score=0.0))
    total = len(everything.segments)
    assert everything.omitted == 0
    for task in (SEGMENTATION, Task.OBJECT_DETECTION):
        few, _ = finish(engine, features, job(task, min_score=0.0, max_segments=2))
        assert [s.score for s in few.segments] == [s.score for s in everything.segments[:2]]
        assert few.omitted == total - 2


def test_held_features_run_no_network_twice(engine: MaskRcnnEngine) -> None:
    features = fresh(engine)
    first, _ = finish(engine, features, job(SEGMENTATION, min_score=0.5))
    module = network(engine).module
    with (
        counted(module.roi_heads.box_head) as boxes,
        counted(module.roi_heads.mask_head) as masks,
        counted(module.rpn.head) as proposals,
    ):
        again, _ = finish(engine, features, job(SEGMENTATION, min_score=0.5))
        assert (boxes, masks, proposals) == ([], [], [])
        lower, _ = finish(engine, features, job(SEGMENTATION, min_score=0.0))
    assert again == first
    assert sum(masks) == len(lower.segments) - len(first.segments)
    assert (boxes, proposals) == ([], [])


def test_answer_does_not_depend_on_earlier_requests(engine: MaskRcnnEngine) -> None:
    features = fresh(engine, 1)
    finish(engine, features, job(Task.OBJECT_DETECTION, min_score=0.9))
    finish(engine, features, job(SEGMENTATION, min_score=0.9))
    held, _ = finish(engine, features, job(SEGMENTATION, min_score=0.2))
    alone, _ = finish(engine, fresh(engine, 1), job(SEGMENTATION, min_score=0.2))
    assert [s.score for s in held.segments] == [s.score for s in alone.segments]
    for one, other in zip(held.segments, alone.segments, strict=True):
        assert one.mask is not None
        assert other.mask is not None
        assert one.mask.iou(other.mask) >= 0.999


def test_stopped_between_steps_leaves_nothing_half_done(
    engine: MaskRcnnEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect_module, "HEAD_BATCH", 2)
    expected, _ = finish(engine, fresh(engine), job(SEGMENTATION))
    features = fresh(engine)
    steps = engine.segment(features, lambda: scene(0), job(SEGMENTATION))
    next(steps)
    next(steps)
    steps.close()
    assert isinstance(features.payload, Pyramid)
    assert len(features.payload.masks) == 2
    answer, _ = finish(engine, features, job(SEGMENTATION))
    assert answer == expected


def test_mask_head_works_in_batches(
    engine: MaskRcnnEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect_module, "HEAD_BATCH", 4)
    with counted(network(engine).module.roi_heads.mask_head) as boxes:
        answer, pauses = finish(engine, fresh(engine), job(SEGMENTATION, min_score=0.0))
    assert max(boxes) == 4
    assert pauses >= len(boxes) + len(answer.segments)


def test_steps_interleave(engine: MaskRcnnEngine) -> None:
    """Two requests step in turn, as the runtime may run them; neither sees the other."""
    expected = [ask(engine, scene(number), SEGMENTATION) for number in (0, 1)]
    steps = [
        engine.segment(fresh(engine, number), lambda: scene(0), job(SEGMENTATION))
        for number in (0, 1)
    ]
    answers: dict[int, Any] = {}
    while len(answers) < 2:
        for number, work in enumerate(steps):
            if number not in answers:
                try:
                    next(work)
                except StopIteration as done:
                    answers[number] = list(done.value.segments)
    assert [answers[0], answers[1]] == expected
    assert not torch.is_inference_mode_enabled()


def test_no_tensor_is_as_large_as_all_masks(engine: MaskRcnnEngine) -> None:
    """torchvision allocates detections x height x width floats twice; here not even one."""
    pixels = np.ascontiguousarray(scene(0).repeat(4, axis=0).repeat(4, axis=1))
    features = engine.embed(pixels, "mask")
    with torch.profiler.profile(profile_memory=True, record_shapes=False) as profile:
        answer, _ = finish(engine, features, job(SEGMENTATION, min_score=0.0))
    assert len(answer.segments) >= 5
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert largest < len(answer.segments) * pixels.shape[0] * pixels.shape[1] * 4 / 4


def test_keypoints_follow_score_and_category(engine: MaskRcnnEngine) -> None:
    task = Task.KEYPOINT_DETECTION
    people = ask(engine, scene(3), task, min_score=0.5)
    assert len(people) >= 1
    assert {(p.label, p.category_id) for p in people} == {("person", 8)}
    assert all(len(p.keypoints) == 17 and p.keypoints[0].name == "nose" for p in people)
    with counted(network(engine, "keypoint").module.roi_heads.keypoint_head) as boxes:
        assert ask(engine, scene(3), task, category_ids=(1,)) == []
        best = ask(engine, scene(3), task, category_ids=(8,), max_segments=1)
    assert sum(boxes) == 1
    assert [(p.score, p.box) for p in best] == [(people[0].score, people[0].box)]


def test_full_device_memory_is_told_and_the_next_request_works(
    engine: MaskRcnnEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = fresh(engine)
    heads = network(engine).module.roi_heads

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    handle = heads.mask_head.register_forward_pre_hook(full)
    with pytest.raises(ServiceError) as caught:
        finish(engine, features, job(SEGMENTATION))
    handle.remove()
    assert caught.value.reason is Reason.DEVICE_MEMORY
    assert caught.value.retry_after_s == 1.0
    assert caught.value.__context__ is None  # or the traceback would keep the tensors
    assert "GiB" not in caught.value.message
    answer, _ = finish(engine, features, job(SEGMENTATION))
    assert answer.segments


def test_other_faults_are_not_hidden(engine: MaskRcnnEngine) -> None:
    heads = network(engine).module.roi_heads
    handle = heads.mask_head.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        finish(engine, fresh(engine), job(SEGMENTATION))
    handle.remove()
