"""Pictures that a service holds: asked about again by their digest, without the encoder."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from fake_engine import CRASH
from gates import fresh
from serving_helpers import (
    automatic_request,
    error_info,
    error_of,
    picture,
    png,
    point_request,
    running_service,
    stats,
    stub_of,
)

from diptych.segment import v1 as pb

pytestmark = pytest.mark.asyncio(loop_scope="module")

Stub = pb.SegmentServiceStub


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stub() -> AsyncIterator[Stub]:
    async with running_service() as service, stub_of(service.port) as stub:
        assert (await stats(stub)).held_image_count == 0  # nor is the canary's picture
        yield stub


def by_digest(encoded: bytes, request: pb.SegmentRequest | None = None) -> pb.SegmentRequest:
    request = request or point_request(b"")
    request.image.sha256 = hashlib.sha256(encoded).digest()
    return request


async def test_a_second_prompt_does_not_run_the_encoder(stub: Stub) -> None:
    encoded = png(fresh())
    first = await stub.Segment(point_request(encoded))
    before = await stats(stub)
    assert not first.provenance[0].image_cache_hit
    assert first.timings.encode.ToNanoseconds() > 0
    assert first.image_sha256 == hashlib.sha256(encoded).digest()
    for request in (point_request(encoded, 30, 30), by_digest(encoded)):
        answer = await stub.Segment(request)
        assert answer.provenance[0].image_cache_hit
        assert answer.image_sha256 == first.image_sha256
        assert answer.segments[0].label == first.segments[0].label
        assert answer.timings.decode.ToNanoseconds() == 0
        assert answer.timings.encode.ToNanoseconds() == 0
    after = await stats(stub)
    assert after.encoder_run_count == before.encoder_run_count
    assert after.image_cache_hit_count == before.image_cache_hit_count + 2
    assert after.held_bytes == before.held_bytes > 0


async def test_another_encoder_decodes_the_held_file(stub: Stub) -> None:
    encoded = png(fresh())
    first = await stub.Segment(point_request(encoded))
    request = by_digest(encoded, automatic_request(b""))
    request.task = pb.Task.TASK_OBJECT_DETECTION
    answer = await stub.Segment(request)
    assert answer.segments[0].label == first.segments[0].label
    assert not answer.provenance[0].image_cache_hit
    assert answer.timings.decode.ToNanoseconds() > 0
    again = await stub.Segment(request)
    assert again.provenance[0].image_cache_hit


async def test_the_same_picture_at_once_is_encoded_once(stub: Stub) -> None:
    encoded = png(fresh())
    before = await stats(stub)
    answers = await asyncio.gather(*(stub.Segment(point_request(encoded)) for _ in range(12)))
    after = await stats(stub)
    assert after.encoder_run_count == before.encoder_run_count + 1
    assert after.held_image_count == before.held_image_count + 1
    assert len({answer.segments[0].label for answer in answers}) == 1
    assert len({answer.request_id for answer in answers}) == 12


async def test_a_wrong_prompt_on_a_held_picture(stub: Stub) -> None:
    encoded = png(fresh())
    await stub.Segment(point_request(encoded))
    error = await error_of(stub.Segment(point_request(encoded, x=1000)))
    assert error_info(error).reason == "PROMPT_INVALID"
    assert (await stub.Segment(point_request(encoded))).segments


async def test_the_longest_unused_picture_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a setting, what may be held is a quarter of what is free on the device."""
    pixels = [picture(seed=seed) for seed in range(4)]
    files = [png(p) for p in pixels]
    budget = 3 * (max(map(len, files)) + pixels[0].nbytes)
    monkeypatch.setenv("FAKE_FREE_BYTES", str(4 * budget))
    async with running_service() as service, stub_of(service.port) as stub:
        for encoded in files[:3]:
            await stub.Segment(point_request(encoded))
        await stub.Segment(by_digest(files[0]))  # the second one is now the longest unused
        await stub.Segment(point_request(files[3]))
        now = await stats(stub)
        assert now.held_image_count == 3
        assert now.held_bytes <= budget
        error = await error_of(stub.Segment(by_digest(files[1])))
        assert error_info(error).reason == "IMAGE_NOT_HELD"
        for index in (0, 2, 3):
            assert (await stub.Segment(by_digest(files[index]))).provenance[0].image_cache_hit


async def test_a_service_that_holds_nothing_still_answers() -> None:
    async with running_service(cache_bytes=0) as service, stub_of(service.port) as stub:
        encoded = png(fresh())
        for _ in range(2):
            answer = await stub.Segment(point_request(encoded))
            assert not answer.provenance[0].image_cache_hit
        assert error_info(await error_of(stub.Segment(by_digest(encoded)))).reason == (
            "IMAGE_NOT_HELD"
        )
        assert (await stats(stub)).held_bytes == 0


async def test_a_new_engine_holds_nothing() -> None:
    async with running_service() as service, stub_of(service.port) as stub:
        encoded = png(fresh())
        await stub.Segment(point_request(encoded))
        await error_of(stub.Segment(automatic_request(png(fresh(CRASH)))))
        error = await error_of(stub.Segment(by_digest(encoded)))
        assert error_info(error).reason == "IMAGE_NOT_HELD"
        assert (await stub.Segment(point_request(encoded))).segments
        assert (await stub.Segment(by_digest(encoded))).provenance[0].image_cache_hit
