"""The real SAM 2 behind ``SegmentVideo``: its masks are those of a session driven directly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sam2_video_helpers import demo_network
from serving_helpers import running_service, stats, stub_of
from steps import finished
from video_calls import talk

from diptych import Box, Mask, OutputOptions, Prompt
from diptych.segment import v1 as pb
from diptych_runtime.engine import FrameAnswer, Pixels, VideoOptions
from diptych_sam2.video.session import Sam2VideoSession

SIZE = (96, 128)
FRAMES = 6
EDGES = (20, 30, 50, 60)
MOVED = (34, 30, 64, 60)  # where it is on frame 4


def frame(index: int) -> Pixels:
    """A square that moves to the right over a plain background."""
    pixels = np.full((*SIZE, 3), 90, np.uint8)
    x = 20 + 4 * index
    pixels[30:60, x : x + 30] = (230, 60, 40)
    return pixels


def direct() -> list[FrameAnswer]:
    """What the session says to the same messages."""
    options = VideoOptions(OutputOptions(), track_all=False, max_objects=16, held_frames=8)
    session = Sam2VideoSession(demo_network(), options, max_conditioning_frames=8, feature_frames=2)
    answers = [finished(session.add_frame(0, frame(0)))]
    answers += finished(session.prompt(5, 0, Prompt(box=Box(*EDGES))))
    answers += [finished(session.add_frame(index, frame(index))) for index in range(1, FRAMES)]
    answers += finished(session.prompt(5, 4, Prompt(box=Box(*MOVED))))
    session.close()
    return answers


def box_prompt(edges: tuple[int, int, int, int]) -> pb.ObjectPrompt:
    x_min, y_min, x_max, y_max = edges
    box = pb.BoundingBox(x_min_px=x_min, y_min_px=y_min, x_max_px=x_max, y_max_px=y_max)
    return pb.ObjectPrompt(box=box)


async def test_masks_over_the_wire_equal_those_of_a_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DIPTYCH_THREADS", "1")
    monkeypatch.setenv("DIPTYCH_DEVICE", "cpu")
    async with (
        running_service("diptych_sam2.engine:create") as service,
        stub_of(service.port) as stub,
        talk(stub) as t,
    ):
        card = (await stub.GetModelCard(pb.GetModelCardRequest())).model_card
        assert pb.Task.TASK_VIDEO_SEGMENTATION in card.tasks
        assert card.limits.max_video_objects == 16
        assert (await t.start(model_id="sam-2")).started.provenance[0].weights == "demo"
        sent = [await t.frame(0, frame(0)), await t.prompt(5, 0, box_prompt(EDGES))]
        answers = [await t.read() for _ in sent]
        for index in range(1, FRAMES):
            sent.append(await t.frame(index, frame(index)))
            answers.append(await t.read())
        sent.append(await t.prompt(5, 4, box_prompt(MOVED)))
        answers += await t.done()
        assert (await stats(stub)).session_count == 0
    assert [a.in_reply_to_seq for a in answers] == [*sent, sent[-1]]
    revisions = [(a.frame.frame_index, a.frame.revision) for a in answers]
    assert revisions == [(0, 0), (0, 1), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (4, 1), (5, 1)]
    torch.set_num_threads(1)
    for answer, expected in zip(answers, direct(), strict=True):
        assert answer.frame.frame_index == expected.frame_index
        assert len(answer.frame.segments) == len(expected.objects)
        for found, wanted in zip(answer.frame.segments, expected.objects, strict=True):
            assert (found.object_id, wanted.segment.mask is None) == (5, False)
            assert found.presence == pytest.approx(wanted.presence, abs=1e-4)
            mask = Mask.from_coco(found.segment.mask.coco_rle, SIZE)
            assert wanted.segment.mask is not None
            assert mask.iou(wanted.segment.mask) > 0.999
            assert mask.area > 0
