"""More prompts than one request takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from diptych import (
    Box,
    ChannelOptions,
    DeadlineExceededError,
    InvalidRequestError,
    LowResLogits,
    OutputOptions,
    Prompt,
    Violation,
)
from diptych.testing import FakeCall, FakeSegmentService
from diptych.testing._failures import Failed, make_failure
from diptych.testing._replies import default_segments

LOGITS = LowResLogits.from_numpy(np.zeros((256, 256)))
WIDTHS = [*range(1, 201)]


@pytest.fixture(params=["gateway", "model service"])
def strict(request: pytest.FixtureRequest) -> Iterator[FakeSegmentService]:
    """A server that takes as many prompts as its card says."""
    with FakeSegmentService(("one",), gateway=request.param == "gateway") as fake:

        def answer(call: FakeCall) -> list[Any]:
            most, count = fake.cards["one"].limits.max_prompts, len(call.request.prompts)
            if most and count > most:
                problem = f"expected 1 to {most}, got {count}"
                raise Failed(make_failure("PROMPT_INVALID", f"prompts: {problem}"))
            return default_segments(call.request, call.image_size)

        fake.answer_with(answer)
        yield fake


def boxes(widths: list[int]) -> list[tuple[int, int, int, int]]:
    return [(1, 2, 1 + width, 20) for width in widths]


def counts(service: FakeSegmentService) -> list[int]:
    return [len(request.prompts) for request in service.requests]


def sources(service: FakeSegmentService) -> list[str | None]:
    return [request.image.WhichOneof("source") for request in service.requests]


def test_prompts_beyond_the_cards_limit_take_several_requests(
    connect: Any, strict: FakeSegmentService, big_png: bytes
) -> None:
    found = connect(strict.address).segment(big_png, model="one", boxes=boxes(WIDTHS))
    assert counts(strict) == [64, 64, 64, 8]
    assert sources(strict) == ["encoded", "sha256", "sha256", "sha256"]
    assert [s.prompt_index for s in found.segments] == [*range(200)]
    assert [s.box.xywh[2] for s in found.segments if s.box] == WIDTHS
    assert found.raw is None
    strict.cards["one"].limits.max_prompts = 256
    whole = connect(strict.address).segment(big_png, model="one", boxes=boxes(WIDTHS))
    assert counts(strict)[4:] == [200]
    assert found.timings.predict_s == pytest.approx(4 * whole.timings.predict_s)
    same = {"request_id": "", "raw": None, "timings": whole.timings}
    assert replace(found, **same) == replace(whole, **same)  # type: ignore[arg-type]


@pytest.mark.parametrize("most", [0, 64, 200])
def test_few_prompts_take_one_request(
    connect: Any, strict: FakeSegmentService, small_png: bytes, most: int
) -> None:
    strict.cards["one"].limits.max_prompts = most
    connect(strict.address).segment(small_png, model="one", boxes=boxes(WIDTHS[: most or 100]))
    assert counts(strict) == [most or 100]


def test_prompts_with_logits_fill_messages(
    connect: Any, service: FakeSegmentService, big_png: bytes
) -> None:
    """Each has 128 KiB; there is room for three beside the picture."""
    room = len(big_png) + 3 * len(LOGITS.float16_le) + 100_000
    client = connect(service.address, options=ChannelOptions(max_request_bytes=room))
    prompts = [Prompt(box=Box(1, 2, 1 + w, 20), mask=LOGITS) for w in WIDTHS[:8]]
    found = client.segment(big_png, model="one", prompts=prompts)
    assert counts(service) == [3, 3, 2]
    assert [s.prompt_index for s in found.segments] == [*range(8)]
    assert [s.box.xywh[2] for s in found.segments if s.box] == WIDTHS[:8]


def test_replies_have_room_for_the_logits_that_are_asked_for(
    connect: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    service.cards["one"].limits.max_prompts = 256
    client = connect(service.address, options=ChannelOptions(max_reply_bytes=40 * 2**20))
    for candidates, expected in ((False, [200]), (True, [80, 80, 40])):
        before = len(counts(service))
        output = OutputOptions(low_res_logits=True, all_candidates=candidates)
        client.segment(small_png, model="one", boxes=boxes(WIDTHS), output=output)
        assert counts(service)[before:] == expected


def test_a_picture_that_is_dropped_meanwhile_is_sent_again(
    connect: Any, service: FakeSegmentService, big_png: bytes
) -> None:
    def answer(call: FakeCall) -> list[Any]:
        if len(service.requests) == 1:
            service.forget_images()
        return default_segments(call.request, call.image_size)

    service.answer_with(answer)
    client = connect(service.address)
    assert len(client.segment(big_png, model="one", boxes=boxes(WIDTHS)).segments) == 200
    assert sources(service) == ["encoded", "sha256", "encoded", "sha256", "sha256"]


def test_further_candidates_are_as_many_as_in_one_request(
    connect: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    """Of 70 prompts with a second candidate, 80 segments leave room for the best ten of those."""

    def answer(call: FakeCall) -> list[Any]:
        found = []
        for first in default_segments(call.request, call.image_size):
            score = first.box.xywh[2] / 100 if first.box else 0.0
            found += [first, replace(first, candidate_index=1, score=score)]
        return found

    service.answer_with(answer)
    output = OutputOptions(all_candidates=True, max_segments=80)
    widths = [1 + (7 * number) % 50 for number in range(50)] + [40] * 20
    client = connect(service.address)
    found = client.segment(small_png, model="one", boxes=boxes(widths), output=output)
    assert counts(service) == [64, 6]
    further = [s for s in found.segments if s.candidate_index]
    assert len(found.segments) - len(further) == 70
    assert sorted(round(100 * s.score) for s in further) == [*range(41, 51)]
    assert found.omitted == 60


def test_errors_count_prompts_as_the_caller_does(
    connect: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    def answer(call: FakeCall) -> list[Any]:
        if len(service.requests) < 2:
            return []
        violation = Violation("prompts[3].box", "expected more")
        text = "prompts[3].box: expected more"
        raise Failed(make_failure("PROMPT_INVALID", text, violations=[violation]))

    service.answer_with(answer)
    with pytest.raises(InvalidRequestError, match=r"^prompts\[67\]\.box: expected more") as caught:
        connect(service.address).segment(small_png, model="one", boxes=boxes(WIDTHS))
    assert caught.value.violations == (Violation("prompts[67].box", "expected more"),)
    assert len(service.requests) == 2


def test_one_timeout_is_for_all_of_them(
    connect: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    service.delay_s = 0.15
    with pytest.raises(DeadlineExceededError, match=r"no answer within 0\.4 s"):
        connect(service.address).segment(small_png, boxes=boxes(WIDTHS), model="one", timeout=0.4)


def test_many_pictures_with_many_prompts(
    connect: Any, strict: FakeSegmentService, small_png: bytes
) -> None:
    each = [[Prompt(box=Box(*map(float, box))) for box in boxes(WIDTHS[:n])] for n in (70, 1)]
    client = connect(strict.address)
    items = list(client.segment_many([small_png] * 2, model="one", prompts_per_image=each))
    assert [len(item.result.segments) for item in items] == [70, 1]


def test_the_card_is_not_asked_for_a_few(connect: Any, small_png: bytes) -> None:
    with FakeSegmentService() as fake:
        fake.cards.clear()
        assert connect(fake.address).segment(small_png, boxes=boxes(WIDTHS[:64])).segments
