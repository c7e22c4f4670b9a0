"""Objects of a video in one batch, and attention to memories without a largest score."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sam2_video_helpers import BOX, OPTIONS, POINT, demo_network, feed, noise, small_network
from torch import Tensor

from diptych import Box, Mask, Prompt
from diptych_runtime.engine import Pixels, Tier
from diptych_sam2.network.quick import memory_products
from diptych_sam2.network.quick.memory_products import attention_to_memories
from diptych_sam2.network.video import VideoNetwork
from diptych_sam2.video.session import Sam2VideoSession

SCENES = Path(__file__).parents[3] / "demo-weights"
OTHER = Prompt(box=Box(50, 10, 120, 90))
PROMPTS = {1: BOX, 2: POINT, 3: OTHER}


@pytest.fixture(scope="module")
def fast() -> VideoNetwork:
    return small_network(Tier.FAST)


def followed(network: VideoNetwork, ids: tuple[int, ...], finish: Any) -> Sam2VideoSession:
    """A session whose objects were all prompted on its first frame, ten frames later."""
    session = Sam2VideoSession(network, OPTIONS)
    feed(session, 0)
    for object_id in ids:
        finish(session.prompt(object_id, 0, PROMPTS[object_id]))
    for number in range(1, 11):
        feed(session, number)
    return session


def logits(session: Sam2VideoSession, object_id: int, number: int) -> Tensor:
    found = session._tracks[object_id].memory.latest(number)
    assert found is not None
    assert found.logits is not None
    return found.logits


@pytest.fixture(scope="module")
def shots() -> Iterator[list[tuple[Pixels, Any]]]:
    """Pictures and labels of a scene whose objects stay in sight."""
    sys.path.insert(0, str(SCENES))
    yield importlib.import_module("scenes").clip(5, 8, speed=5)
    sys.path.remove(str(SCENES))


def test_objects_in_a_batch_are_found_as_each_alone(shots: Any, finish: Any) -> None:
    network = demo_network(Tier.FAST)

    def last_masks(*ids: int) -> dict[int, tuple[Tensor, float]]:
        session = Sam2VideoSession(network, OPTIONS)
        for number, (picture, labels) in enumerate(shots):
            finish(session.add_frame(number, picture))
            for object_id in ids if number == 0 else ():
                box = Mask.from_array(labels == object_id).box
                finish(session.prompt(object_id, 0, Prompt(box=box)))
        tracks = session._tracks
        last = len(shots) - 1
        return {i: (logits(session, i, last), tracks[i].answers[last].presence) for i in ids}

    together = last_masks(1, 2)
    for object_id, (ours, presence) in together.items():
        expected, expected_presence = last_masks(object_id)[object_id]
        # Bfloat16 has three digits, and the frames remember each other.
        assert (ours - expected).abs().mean() <= 0.03 * expected.abs().mean()
        assert iou(ours, expected) >= 0.98
        assert abs(presence - expected_presence) <= 0.01
    assert iou(together[1][0], together[2][0]) <= 0.1


def iou(ours: Tensor, theirs: Tensor) -> float:
    a, b = ours > 0, theirs > 0
    assert a.any()
    return float((a & b).sum() / (a | b).sum())


def test_a_batch_has_objects_of_the_same_frames(fast: VideoNetwork, finish: Any) -> None:
    session = Sam2VideoSession(fast, OPTIONS)
    feed(session, 0)
    for object_id in (1, 2):
        finish(session.prompt(object_id, 0, PROMPTS[object_id]))
    _, yields = finish(session.add_frame(1, noise(1)))
    assert yields == 1
    finish(session.prompt(3, 1, OTHER))
    answer, yields = finish(session.add_frame(2, noise(2)))
    assert yields == 2
    assert [one.object_id for one in answer.objects] == [1, 2, 3]


def test_a_batch_keeps_no_object_in_memory_that_was_removed(
    fast: VideoNetwork, finish: Any
) -> None:
    session = followed(fast, (1, 2, 3), finish)
    alone = followed(fast, (1,), finish)
    for object_id in (2, 3):
        session.remove(object_id)
    assert session._tracks[1].memory.nbytes == alone._tracks[1].memory.nbytes


def test_many_objects_are_more_than_one_batch(fast: VideoNetwork, finish: Any) -> None:
    memory = followed(fast, (1,), finish)._tracks[1].memory
    assert fast.batches(dict.fromkeys(range(6), memory)) == [[0, 1, 2, 3], [4, 5]]


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Queries, keys and values of two objects, of several blocks and parts of blocks."""
    monkeypatch.setattr(memory_products, "_ROWS", 32)
    monkeypatch.setattr(memory_products, "_KEYS", 48)
    random = torch.Generator().manual_seed(3)
    shapes = (80, 64), (200, 64), (200, 16)
    return [torch.randn(2, *shape, generator=random) for shape in shapes]


@pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
def test_attention_to_memories_is_softmax_for_any_scores(looked: list[Tensor], size: float) -> None:
    queries, keys, values = (each.bfloat16() for each in looked)
    queries = queries * size
    seen = attention_to_memories(queries, keys, values).float()
    scores = (queries * 64**-0.5).float() @ keys.float().transpose(1, 2)
    expected = scores.softmax(-1) @ values.float()
    assert scores.max() > 90 or size < 30
    # A score of 100 is rounded by 0.25 in bfloat16, so weights are off by as much.
    torch.testing.assert_close(seen, expected, rtol=0.05, atol=0.4 if size == 30 else 0.02)
    rounded = scores.bfloat16().softmax(-1).float() @ values.float()
    torch.testing.assert_close(seen, rounded, rtol=0.03, atol=0.03)


@pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
def test_attention_to_memories_is_exact_in_float32(looked: list[Tensor], size: float) -> None:
    queries, keys, values = looked
    queries = queries * size
    scores = queries.double() @ keys.double().transpose(1, 2) * 64**-0.5
    expected = scores.softmax(-1) @ values.double()
    assert scores.max() > 90 or size < 30
    seen = attention_to_memories(queries, keys, values)
    torch.testing.assert_close(seen.double(), expected, rtol=1e-4, atol=1e-4)


def test_scores_far_below_zero_are_no_reason_for_nothing() -> None:
    queries = torch.full((1, 4, 64), 4.0).bfloat16()
    keys = torch.full((1, 10, 64), -4.0).bfloat16()
    values = torch.arange(10.0)[None, :, None].bfloat16()
    assert (attention_to_memories(queries, keys, values) == 4.5).all()
