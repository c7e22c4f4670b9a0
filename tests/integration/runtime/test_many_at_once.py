"""Many callers at once: every answer belongs to its request, every outcome is counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

import grpc
from fake_engine import watermark
from serving_helpers import (
    CHANNEL_OPTIONS,
    automatic_request,
    outcomes,
    picture,
    png,
    point_request,
    running_service,
    stats,
    stub_of,
)

from diptych.segment import v1 as pb

THREADS = 24
REQUESTS = 500
PICTURES = 60


def mixed_request(number: int, encoded: list[bytes]) -> tuple[int, pb.SegmentRequest, str]:
    """Which picture, the request, and how it ends."""
    index = number % PICTURES
    match number % 5:
        case 0:
            return index, automatic_request(encoded[index]), "OK"
        case 1:
            return index, point_request(encoded[index], 1000), "INVALID_ARGUMENT"
        case 2:
            request = automatic_request(encoded[index])
            request.task = pb.Task.TASK_OBJECT_DETECTION
            return index, request, "OK"
        case _:
            request = point_request(encoded[index])
            request.prompts.extend(list(request.prompts) * (number % 4))
            return index, request, "OK"


def ask_all(
    port: int, todo: SimpleQueue[int], marks: list[str], encoded: list[bytes]
) -> Counter[str]:
    """What one thread does; returns how its calls ended, ``wrong`` for a stranger's answer."""
    ended: Counter[str] = Counter()
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS) as channel:
        stub = pb.SegmentServiceStub(channel)
        while True:
            try:
                number = todo.get_nowait()
            except Empty:
                return ended
            index, request, expected = mixed_request(number, encoded)
            try:
                answer = stub.Segment(request, timeout=90)
            except grpc.RpcError as error:
                name = error.code().name
            else:
                labels = {segment.label for segment in answer.segments}
                count = max(len(request.prompts), 1)
                right = labels == {marks[index]} and len(answer.segments) == count
                name = "OK" if right else "wrong"
            ended[name if name == expected else f"{name} for {expected}"] += 1


async def test_every_answer_belongs_to_its_request() -> None:
    pixels = [picture(seed=seed, size=(40, 40 + seed)) for seed in range(PICTURES)]
    encoded, marks = [png(p) for p in pixels], [watermark(p) for p in pixels]
    todo: SimpleQueue[int] = SimpleQueue()
    for number in range(REQUESTS):
        todo.put(number)
    # Small enough that pictures come and go all the time.
    async with running_service(cache_bytes=200_000) as service, stub_of(service.port) as stub:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(THREADS) as threads:
            work = (service.port, todo, marks, encoded)
            runs = [loop.run_in_executor(threads, ask_all, *work) for _ in range(THREADS)]
            ended = await asyncio.gather(*runs)
        counted = sum(ended, Counter())
        assert counted == {"OK": 400, "INVALID_ARGUMENT": 100}
        now = await stats(stub)
        assert outcomes(now) == counted
        assert (now.running_count, now.queue_length) == (0, 0)
        assert now.held_bytes <= 200_000
        assert now.image_cache_hit_count + now.encoder_run_count == 400
