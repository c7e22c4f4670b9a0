"""A folder of features under real services: restarted, shared, and next to a memory too small."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gates import fresh
from serving_helpers import picture, png, point_request, running_service, stats, stub_of

ENGINE = "keeping_engine:create"


async def _written(folder: Path, count: int) -> None:
    while len(list(folder.rglob("*.features"))) < count:
        await asyncio.sleep(0.01)


async def test_after_a_restart_no_picture_is_encoded_again(tmp_path: Path) -> None:
    pictures = [png(fresh()) for _ in range(20)]
    async with (
        running_service(ENGINE, features_dir=tmp_path) as service,
        stub_of(service.port) as s,
    ):
        first = [await s.Segment(point_request(encoded)) for encoded in pictures]
        await _written(tmp_path, len(pictures))
    async with (
        running_service(ENGINE, features_dir=tmp_path) as service,
        stub_of(service.port) as s,
    ):
        again = [await s.Segment(point_request(encoded)) for encoded in pictures]
        known = await stats(s)
    assert (known.encoder_run_count, known.image_cache_hit_count) == (0, len(pictures))
    assert [each.segments for each in again] == [each.segments for each in first]
    assert all(each.provenance[0].image_cache_hit for each in again)


async def test_two_services_share_a_folder(tmp_path: Path) -> None:
    encoded = png(fresh())
    async with (
        running_service(ENGINE, features_dir=tmp_path) as one,
        running_service(ENGINE, features_dir=tmp_path) as other,
        stub_of(one.port) as first,
        stub_of(other.port) as second,
    ):
        await first.Segment(point_request(encoded))
        await _written(tmp_path, 1)
        await second.Segment(point_request(encoded))
        assert (await stats(second)).encoder_run_count == 0


async def test_what_memory_dropped_comes_from_the_disk(tmp_path: Path) -> None:
    pictures = [png(picture((0, 0, 0), size=(200, 300), seed=seed)) for seed in range(4)]
    service = running_service(ENGINE, features_dir=tmp_path, cache_bytes=400_000)
    async with service as running, stub_of(running.port) as stub:
        for encoded in pictures:
            await stub.Segment(point_request(encoded))
        await _written(tmp_path, len(pictures))
        before = await stats(stub)
        assert before.held_image_count < len(pictures)
        for encoded in pictures:
            assert (await stub.Segment(point_request(encoded))).provenance[0].image_cache_hit
        assert (await stats(stub)).encoder_run_count == before.encoder_run_count
