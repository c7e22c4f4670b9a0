"""A folder of features under real services: restarted, shared, and next to a memory too small."""

from __future__ import annotations

import asyncio
import subprocess
import sys
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


async def test_a_folder_is_encoded_before_anybody_clicks(tmp_path: Path) -> None:
    album, kept = tmp_path / "album", tmp_path / "kept"
    (album / "more").mkdir(parents=True)
    for index in range(4):
        (album / "more" / f"{index}.png").write_bytes(png(fresh()))
    (album / "broken.png").write_bytes(b"no picture")

    def warm(port: int, *arguments: str) -> tuple[int, str]:
        address = f"127.0.0.1:{port}"
        words = [sys.executable, "-m", "diptych.cli", "warm", *arguments, "--address", address]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    async with running_service(ENGINE, features_dir=kept) as service:
        code, said = await asyncio.to_thread(warm, service.port, str(album))
        assert code == 1
        assert "broken.png" in said
        assert "4 encoded, 0 kept from before, 1 failed" in said
        await _written(kept, 4)
    async with running_service(ENGINE, features_dir=kept) as service:
        code, said = await asyncio.to_thread(warm, service.port, str(album / "more"))
        assert (code, said) == (0, "0 encoded, 4 kept from before, 0 failed\n")
        code, said = await asyncio.to_thread(warm, service.port, str(tmp_path / "none"))
        assert code == 2
