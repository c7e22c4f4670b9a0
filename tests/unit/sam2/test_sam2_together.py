"""Prompts of several callers in one call of the decoder are answered as each would be alone."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from diptych import Box, LowResLogits, OutputOptions, Point, Prompt, Segment, Task
from diptych_runtime.engine import BatchingEngine, BatchItem, Features, Job, Pixels
from diptych_sam2.network.build import build_model
from diptych_sam2.network.image import Network, PromptBatch
from diptych_sam2.network.parts import assemble
from diptych_sam2.network.quick.decoder import QuickDecoder
from diptych_sam2.weights.checkpoints import packaged_config

POINT = Prompt(points=(Point(60, 70),))
OTHER = Prompt(points=(Point(120, 90),))
BOX = Prompt(box=Box(30, 40, 150, 160))


def job(*prompts: Prompt, **output: Any) -> Job:
    return Job(Task.PROMPTED_SEGMENTATION, prompts, OutputOptions(**output), None)


def refuse() -> Pixels:
    raise AssertionError("prompts need no pixels")


def together(
    engine: Any, pairs: Sequence[tuple[Features, Job]], unwanted: Sequence[int] = ()
) -> dict[int, tuple[Segment, ...]]:
    """Answers by place."""
    asked = [
        BatchItem(features, refuse, one, partial(operator.not_, place in unwanted))
        for place, (features, one) in enumerate(pairs)
    ]
    told = [item for item in engine.segment_batch(asked) if item is not None]
    assert len({place for place, _ in told}) == len(told)
    return {place: answer.segments for place, answer in told}


def assert_alike(ours: Sequence[Segment], alone: Sequence[Segment]) -> None:
    assert len(ours) == len(alone)
    for mine, expected in zip(ours, alone, strict=True):
        assert (mine.prompt_index, mine.candidate_index) == (
            expected.prompt_index,
            expected.candidate_index,
        )
        assert mine.score == pytest.approx(expected.score, abs=1e-5)
        assert mine.mask is not None
        assert expected.mask is not None
        assert mine.mask.size == expected.mask.size
        assert mine.mask.iou(expected.mask) > 0.999 or not expected.area
        if expected.low_res_logits is not None:
            assert mine.low_res_logits is not None
            # Half precision, as they travel: the smallest difference may round to a step.
            np.testing.assert_allclose(
                mine.low_res_logits.to_numpy(),
                expected.low_res_logits.to_numpy(),
                rtol=1e-3,
                atol=1e-3,
            )


@pytest.fixture(scope="module")
def held(engine: Any, scene: Any, wide: Any) -> list[Features]:
    """Features of three pictures, one of another shape."""
    return [engine.embed(pixels, "image") for pixels in (scene(0), scene(1), wide)]


def alone(engine: Any, finish: Any, features: Features, one: Job) -> tuple[Segment, ...]:
    answer, _ = finish(engine.segment(features, refuse, one))
    segments: tuple[Segment, ...] = answer.segments
    return segments


@pytest.mark.parametrize("places", [(0, 0, 0), (0, 1, 2), (1, 0, 1)])
@pytest.mark.parametrize(
    "jobs",
    [
        (job(POINT), job(OTHER), job(POINT)),
        (job(BOX), job(BOX), job(BOX)),
        (job(POINT, OTHER), job(OTHER, POINT), job(POINT, POINT)),
        (job(POINT, all_candidates=True), job(OTHER), job(OTHER, low_res_logits=True)),
    ],
    ids=["points", "boxes", "two-prompts", "options"],
)
def test_answers_are_those_alone(
    engine: Any, finish: Any, held: Any, places: Sequence[int], jobs: Sequence[Job]
) -> None:
    pairs = [(held[place], one) for place, one in zip(places, jobs, strict=True)]
    assert len({engine.batch_key(*pair) for pair in pairs}) == 1
    found = together(engine, pairs)
    assert sorted(found) == [0, 1, 2]
    for place, pair in enumerate(pairs):
        assert_alike(found[place], alone(engine, finish, *pair))


def test_earlier_guesses_on_several_pictures(engine: Any, finish: Any, held: Any) -> None:
    side = engine._network.logits_size
    generator = np.random.default_rng(0)
    pairs = []
    for features in held:
        guess = LowResLogits.from_numpy(generator.normal(0, 8, side).astype(np.float32))
        pairs.append((features, job(Prompt(points=POINT.points, mask=guess))))
    found = together(engine, pairs)
    for place, pair in enumerate(pairs):
        assert_alike(found[place], alone(engine, finish, *pair))


def test_more_than_a_call_of_the_decoder_takes(engine: Any, finish: Any, held: Any) -> None:
    pairs = [
        (held[place % 2], job(Prompt(points=(Point(20.0 + 5 * place, 90.0),))))
        for place in range(19)
    ]
    found = together(engine, pairs)
    assert len(found) == 19
    for place in (0, 7, 15, 16, 18):
        assert_alike(found[place], alone(engine, finish, *pairs[place]))


def test_one_picture_is_not_copied_for_each_prompt(
    engine: Any, held: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stack(decoder: QuickDecoder, inputs: object) -> None:
        raise AssertionError("one row serves all")

    monkeypatch.setattr(QuickDecoder, "stack", stack)
    assert len(together(engine, [(held[0], job(POINT)), (held[0], job(OTHER))])) == 2
    with pytest.raises(AssertionError, match="one row serves all"):
        together(engine, [(held[0], job(POINT)), (held[1], job(OTHER))])


def test_who_has_left_costs_nothing(
    engine: Any, held: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    decode = Network.decode

    def counted(self: Network, features: Any, prompts: PromptBatch, **options: Any) -> Any:
        assert prompts.labels is not None
        rows.append(len(prompts.labels))
        return decode(self, features, prompts, **options)

    monkeypatch.setattr(Network, "decode", counted)
    found = together(engine, [(held[0], job(POINT))] * 3, unwanted=[1])
    assert sorted(found) == [0, 2]
    assert rows == [2]


def test_keys(engine: Any, held: Any) -> None:
    def key(one: Job) -> object:
        return engine.batch_key(held[0], one)

    assert isinstance(engine, BatchingEngine)
    assert key(job(POINT)) == key(job(OTHER)) is not None
    assert key(job(POINT)) == engine.batch_key(held[2], job(OTHER))
    kinds = [job(POINT), job(BOX), job(POINT, POINT), job(Prompt(points=POINT.points * 3))]
    assert len({key(one) for one in kinds}) == len(kinds)
    assert key(job(BOX)) == key(job(Prompt(points=POINT.points * 2)))  # a box is two points
    # A call of the decoder of its own is filled, or several are needed.
    assert key(job(*[POINT] * 16)) is None
    assert key(job(POINT, BOX)) is None
    assert key(job()) is None
    assert key(Job(Task.INSTANCE_SEGMENTATION, (), OutputOptions(), None)) is None


@pytest.mark.slow
def test_the_tiny_architecture_with_random_weights(scene: Any, photo: Any) -> None:
    torch.manual_seed(1)
    config = packaged_config("configs/sam2.1/sam2.1_hiera_t.yaml")
    network = Network(assemble(build_model(config, image_size=512), torch.device("cpu")))
    pictures = [network.encode(scene(0)), network.encode(photo)]
    places = torch.tensor([[[100.0, 150.0]], [[320.0, 250.0]]])
    labels = torch.ones(2, 1, dtype=torch.int32)
    both = network.decode(pictures, PromptBatch(places, labels, None), multimask=True)
    for row, picture in enumerate(pictures):
        prompt = PromptBatch(places[row : row + 1], labels[:1], None)
        one = network.decode(picture, prompt, multimask=True)
        torch.testing.assert_close(both.logits[row], one.logits[0], atol=1e-3, rtol=0)
        torch.testing.assert_close(both.quality[row], one.quality[0], atol=1e-4, rtol=0)
    assert (both.logits[0] - both.logits[1]).abs().max() > 0.01
