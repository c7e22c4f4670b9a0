"""What is asked click by click, of a server whose model is scripted."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diptych import Client, LowResLogits, Mask, Segment
from diptych.segment import v1 as pb
from diptych.testing import FakeCall, FakeSegmentService
from diptych_eval.asking.clicks import ask_clicks, prompt_box
from diptych_eval.model import Picture, Truth

HEIGHT, WIDTH = 160, 200
LOGITS = LowResLogits.from_numpy(np.ones((4, 4)))


def rectangle(left: int, top: int, width: int, height: int) -> Mask:
    return Mask.from_crop(np.ones((height, width), bool), left, top, (HEIGHT, WIDTH))


def truth(number: int, mask: Mask, crowd: bool = False) -> Truth:
    assert mask.box
    return Truth(number, 1, mask.box.xywh, mask.area, mask, crowd)


QUICK, SLOW = rectangle(10, 10, 40, 40), rectangle(100, 20, 60, 100)
TRUTHS = (
    truth(7, QUICK),
    truth(8, SLOW),
    truth(9, rectangle(0, 130, 50, 20), crowd=True),
    Truth(10, 1, (60, 60, 9, 9), 81),
    truth(11, rectangle(80, 5, 3, 3)),
)


@pytest.fixture(scope="module")
def data() -> bytes:
    """A picture that is large enough to be named by its digest."""
    pixels = np.random.default_rng(0).integers(256, size=(HEIGHT, WIDTH, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def picture() -> Picture:
    return Picture(1, "noise.png", Path("noise.png"), HEIGHT, WIDTH, TRUTHS)


@pytest.fixture
def service() -> Iterator[FakeSegmentService]:
    with FakeSegmentService(["corrected"]) as service:
        service.answer_with(answer)
        yield service


@pytest.fixture
def ask(service: FakeSegmentService) -> Iterator[Client]:
    with Client(service.address) as client:
        yield client


def answer(call: FakeCall) -> list[Segment]:
    """A tenth more of the slow object with each click, and all of the others at the second."""
    found = []
    for index, prompt in enumerate(call.request.prompts):
        count = len(prompt.points)
        if not count:
            mask = rectangle(100, 20, 60, 100)
        elif prompt.points[0].x_px > 100:
            mask = rectangle(100, 20, 60, 10 * count)
        elif prompt.points[0].x_px > 60:
            mask = rectangle(80, 5, 3, 3)
        else:
            mask = rectangle(10, 10, 40, 20 if count == 1 else 37)
        logits = LOGITS if call.request.output.low_res_logits else None
        best = Segment(0.9, mask=mask, prompt_index=index, candidate_index=0, low_res_logits=logits)
        found += [best, Segment(0.1, mask=QUICK, prompt_index=index, candidate_index=1)]
    return found


def test_objects_are_clicked_together_until_they_are_good_enough(
    service: FakeSegmentService, ask: Client, picture: Picture, data: bytes
) -> None:
    said = ask_clicks(ask, ask.model_card(), picture, data, clicks=(1, 3), max_clicks=6, key="k")
    assert (said.name, said.key, said.error) == ("noise.png", "k", "")
    assert said.value["corrected"] is True
    objects = said.value["objects"]
    assert set(objects) == {"7", "8", "11"}  # no crowd, nothing without a mask
    assert [objects[key]["box"] for key in ("7", "8", "11")] == [0.0, 1.0, 0.0]
    assert objects["7"]["clicks"] == pytest.approx([0.5, 37 / 40, 37 / 40])
    assert objects["8"]["clicks"] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert objects["11"]["clicks"] == [1.0]  # nothing was left to click

    boxes, *rounds = service.requests
    assert [len(each.prompts) for each in (boxes, *rounds)] == [3, 3, 2, 2, 1, 1, 1]
    assert [each.image.WhichOneof("source") for each in (boxes, *rounds)] == [
        "encoded",
        *["sha256"] * 6,
    ]
    assert said.cost.calls == 7
    assert said.cost.reply_bytes > 0
    assert (said.tier, said.weights) == ("exact", "fake")


def test_each_click_comes_with_those_before_and_the_last_answers_logits(
    service: FakeSegmentService, ask: Client, picture: Picture, data: bytes
) -> None:
    ask_clicks(ask, ask.model_card(), picture, data, clicks=(3,), max_clicks=3)
    first, second, third = (each.prompts[1] for each in service.requests[1:])
    assert [len(each.points) for each in (first, second, third)] == [1, 2, 3]
    assert list(third.points[:2]) == list(second.points)
    assert not first.HasField("mask")
    assert all(each.HasField("mask") for each in (second, third))
    assert all(each.points[0].x_px % 1 == 0.5 for each in (first, second, third))
    # Rows 30 to 119 are left of 60 columns: as deep as that allows, from the top.
    assert second.points[1].label == pb.PointLabel.POINT_LABEL_FOREGROUND
    assert (second.points[1].x_px, second.points[1].y_px) == (129.5, 59.5)


@pytest.mark.parametrize(
    ("kinds", "box", "clicks"),
    [
        ([pb.PromptKind.PROMPT_KIND_POINT, pb.PromptKind.PROMPT_KIND_BOX], 1.0, [0.1]),
        ([pb.PromptKind.PROMPT_KIND_POINT], None, [0.1]),
        ([pb.PromptKind.PROMPT_KIND_BOX], 1.0, None),
    ],
)
def test_the_card_says_what_a_model_is_asked(
    service: FakeSegmentService,
    ask: Client,
    picture: Picture,
    data: bytes,
    kinds: list[pb.PromptKind],
    box: float | None,
    clicks: list[float] | None,
) -> None:
    del service.cards["corrected"].prompt_kinds[:]
    service.cards["corrected"].prompt_kinds.extend(kinds)
    said = ask_clicks(ask, ask.model_card(), picture, data)
    assert said.value["corrected"] is False
    assert said.value["objects"]["8"] == {"box": box, "clicks": clicks}
    assert len(service.requests) == (box is not None) + (clicks is not None)
    assert not any(each.output.low_res_logits for each in service.requests)


def test_an_object_without_an_answer_counts_as_missed(
    service: FakeSegmentService, ask: Client, picture: Picture, data: bytes
) -> None:
    service.answer_with(lambda call: [])
    said = ask_clicks(ask, ask.model_card(), picture, data, clicks=(2,), max_clicks=2)
    assert said.value["objects"]["8"] == {"box": 0.0, "clicks": [0.0, 0.0]}
    first, second = (each.prompts[1].points[0] for each in service.requests[1:])
    assert first == second


def test_more_objects_than_a_request_takes_are_asked_in_several(
    service: FakeSegmentService, ask: Client, data: bytes
) -> None:
    spots = [rectangle(8 * (each % 20), 8 * (each // 20), 4, 4) for each in range(70)]
    truths = tuple(truth(number, mask) for number, mask in enumerate(spots, 1))
    crowded = Picture(1, "noise.png", Path("noise.png"), HEIGHT, WIDTH, truths)
    service.answer_with(
        lambda call: [
            Segment(0.9, mask=spots[0], prompt_index=index, candidate_index=0)
            for index, _ in enumerate(call.request.prompts)
        ]
    )
    said = ask_clicks(ask, ask.model_card(), crowded, data, clicks=(1,), max_clicks=1)
    assert len(said.value["objects"]) == 70
    assert [len(each.prompts) for each in service.requests] == [64, 6, 64, 6]
    assert said.cost.reply_bytes > 0


def test_a_picture_without_objects_is_not_asked_about(
    service: FakeSegmentService, ask: Client, data: bytes
) -> None:
    empty = Picture(1, "noise.png", Path("noise.png"), HEIGHT, WIDTH)
    assert ask_clicks(ask, ask.model_card(), empty, data).value["objects"] == {}
    assert not service.requests


def test_a_picture_of_another_size_than_its_truth_is_named(
    ask: Client, picture: Picture, data: bytes
) -> None:
    turned = Picture(1, "noise.png", picture.path, WIDTH, HEIGHT, TRUTHS)
    with pytest.raises(ValueError, match=r"noise\.png: expected 200 x 160 pixels.*saw 160 x 200"):
        ask_clicks(ask, ask.model_card(), turned, data)


@pytest.mark.parametrize(
    ("labelled", "expected"),
    [
        ((5, 5, 20, 20), (5, 5, 25, 25)),
        ((-5, 5, 20, 200), (0, 5, 15, HEIGHT)),
        ((5, 5, 0, 0), (10, 10, 50, 50)),
        ((500, 5, 9, 9), (10, 10, 50, 50)),
    ],
)
def test_the_labelled_box_is_asked_where_it_has_something_of_the_picture(
    labelled: tuple[float, float, float, float], expected: tuple[float, float, float, float]
) -> None:
    assert prompt_box(Truth(1, 1, labelled, 1, QUICK), QUICK).xyxy == expected
