"""What the worst images cost, and what prompts on held images notice of them.

    python benchmarks/trust/decode.py [--seconds 10]

First each hand-made file is decoded, or refused, in a process of its own: processor seconds and
memory above the pixels. Then a service with a fake engine answers prompts on a held image, at rest
and while four callers send those files without a pause. Exits with 1 if a file that is refused or
has few pixels costs over a second, or if the p99 of prompts is over five times its rest value.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import io
import itertools
import os
import platform
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))
import fake_engine
import serving_helpers as serving

from diptych.segment import v1 as pb
from diptych_runtime import logs
from diptych_runtime.engine import Features, Pixels, ServiceError
from diptych_runtime.machine import process_memory, processor_name
from diptych_runtime.worker.images import decode

MIB = 2**20
SIDE = 7000
FLOOR_CPU_S = 1.0
FLOOR_RATIO = 5.0
_CALLERS = 4


class Blind(fake_engine.FakeEngine):
    """Does not look at pixels: to hash 150 MB takes longer than to decode them."""

    def embed(self, pixels: Pixels, kind: str) -> Features:
        """Note the size only."""
        return Features(("", (0, 0, 0), pixels.shape[:2]), 1)


def create() -> Blind:
    """For the engine process of this script."""
    return Blind()


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _segment(marker: int, data: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def _chunk(name: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def small_files() -> Iterator[tuple[str, bytes]]:
    """A picture of 64 x 48 pixels, and up to 30 MB of something else."""
    picture = Image.new("RGB", (64, 48), (200, 30, 30))
    jpeg, png = _saved(picture, "JPEG"), _saved(picture, "PNG")
    resources = (b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5459)[:65533]
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xf0" + b"\x01\x12\0\x03\0\0\0\1\0\6\0\0" * 5459
    for name, data in (
        ("30 MB of filling", b"\xff" * 30_000_000),
        ("30 MB of comments", b"\xff\xfe\0\2" * 7_500_000),
        ("240 x APP13", _segment(0xED, resources) * 240),
        ("240 x EXIF", _segment(0xE1, exif[:65533]) * 240),
    ):
        yield f"JPEG, {name}", jpeg[:2] + data + jpeg[2:]
    yield "JPEG, 16 MB behind its scan", jpeg[:-2] + b"\xff" * 16_000_000 + jpeg[-2:]
    yield "JPEG, 16 MB instead of its end", jpeg[:-2] + b"\xff" * 16_000_000
    for name, data in (
        ("2.5 million chunks", _chunk(b"teSt") * 2_500_000),
        ("19,000 chunks", _chunk(b"teSt") * 19_000),
        ("19,000 texts", _chunk(b"tEXt", b"a\0b") * 19_000),
        ("packed texts", _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6), 9)) * 64),
    ):
        yield f"PNG, {name}", png[:33] + data + png[33:]


def large_files() -> Iterator[tuple[str, bytes]]:
    """Few bytes, 49 million pixels."""
    picture = Image.new("RGB", (SIDE, SIDE))
    progressive = _saved(picture, "JPEG", progressive=True)
    last = progressive.rindex(b"\xff\xda")
    yield "JPEG", _saved(picture, "JPEG")
    yield "JPEG, 19 scans", progressive[:-2] + progressive[last:-2] * 9 + progressive[-2:]
    yield "PNG", _saved(picture, "PNG")
    yield "PNG with alpha", _saved(picture.convert("RGBA"), "PNG")
    yield "WebP", _saved(picture, "WEBP")
    yield "WebP without loss", _saved(picture, "WEBP", lossless=True)
    clear = picture.convert("RGBA")
    clear.putalpha(128)
    yield "WebP with alpha", _saved(clear, "WEBP")
    yield "JPEG without its end", _saved(picture, "JPEG")[:-2]


def cost(data: bytes) -> tuple[float, float, str]:
    """Processor seconds, MiB above the pixels, and what came of a file, in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).malloc_trim(0)  # what making the files left would be used again
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
        before, started = process_memory(os.getpid()).peak, time.process_time()
        pixels = 0
        try:
            pixels = decode(data, max_pixels=50_000_000, min_side=16, max_aspect_ratio=20).nbytes
            what = "decoded"
        except ServiceError as error:
            what = str(error.reason)
        seconds = time.process_time() - started
        above = (process_memory(os.getpid()).peak - before - pixels) / MIB
        os.write(writing, f"{seconds}\t{max(above, 0)}\t{what}".encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        seconds, above, what = answer.read().split("\t")
    os.waitpid(child, 0)
    return float(seconds), float(above), what


async def _prompts(stub: pb.SegmentServiceStub, seconds: float) -> list[float]:
    request = serving.point_request(serving.png(serving.picture()))
    await stub.Segment(request)
    taken = []
    until = time.monotonic() + seconds
    while (started := time.monotonic()) < until:
        await stub.Segment(request)
        taken.append(time.monotonic() - started)
        await asyncio.sleep(0.01)
    return taken


async def send(stub: pb.SegmentServiceStub, files: list[bytes]) -> None:
    """Send these files without a pause, until cancelled."""
    for number, data in enumerate(itertools.cycle(files)):
        # Another picture each time: its digest is not held.
        request = serving.automatic_request(data + number.to_bytes(4) + os.urandom(8))
        with contextlib.suppress(grpc.aio.AioRpcError):
            await stub.Segment(request, timeout=20)


async def held(seconds: float, files: list[bytes]) -> tuple[list[float], list[float]]:
    """Seconds of prompts on a held image: at rest, and during the decoding of ``files``."""
    async with (
        serving.running_service("decode:create", log_level="error") as service,
        serving.stub_of(service.port) as stub,
        serving.stub_of(service.port) as other,
    ):
        await _prompts(stub, 1)
        rest = await _prompts(stub, seconds)
        senders = [asyncio.create_task(send(other, files)) for _ in range(_CALLERS)]
        await asyncio.sleep(1)
        busy = await _prompts(stub, seconds)
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
    return rest, busy


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of prompts, twice")
    args = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    print(f"{processor_name()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    missed, large = False, dict(large_files())
    for name, data in small_files():
        seconds, above, what = cost(data)
        missed |= seconds > FLOOR_CPU_S or above > 200
        print(f"{name:30} {seconds:6.3f} s (floor {FLOOR_CPU_S:g} s) {above:5.0f} MiB  {what}")
    for name, data in large.items():
        seconds, above, what = cost(data)
        print(f"{'49 MP ' + name:30} {seconds:6.3f} s {above:5.0f} MiB above its pixels  {what}")
    logs.configure("error")
    found = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parent), found)))
    rest, busy = asyncio.run(held(args.seconds, list(large.values())))
    figures = {}
    for name, taken in (("rest", rest), ("decoding", busy)):
        p50, figures[name] = np.percentile(taken, (50, 99)) * 1e3
        print(f"held prompts, {name:8} p50 {p50:6.1f} ms  p99 {figures[name]:6.1f} ms")
    ratio = figures["decoding"] / figures["rest"]
    missed |= ratio > FLOOR_RATIO
    print(f"p99 during the worst decode / at rest: {ratio:.1f} (floor {FLOOR_RATIO:g})")
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
