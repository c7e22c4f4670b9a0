"""What many large requests at once cost a gateway and a service: memory, and what is read of them.

    python benchmarks/trust/bodies.py [--count 500] [--megabytes 32] [--transport grpc|http]

The floors: no process over 1.5 GiB, every request answered with its result or QUEUE_FULL, and
within 10 s of the last answer at most 300 MiB more than before the first. ``--count 60`` is short.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

_ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(_ROOT / "benchmarks"), str(_ROOT / "tests"), str(_ROOT / "tests" / "support")]

import httpx  # noqa: E402
import machine  # noqa: E402
import noop  # noqa: E402
import served  # noqa: E402
from harness.http2 import Http2  # noqa: E402

from diptych.segment import v1 as pb  # noqa: E402
from diptych_runtime.machine import process_memory  # noqa: E402

MOST_BYTES = 1536 * 1024**2
LEFT_BYTES = 300 * 1024**2
_BACK_S = 10.0
_SLICE_BYTES = 256 * 1024
_REFUSED = "8"
_NAMES = {"0": "OK", _REFUSED: "RESOURCE_EXHAUSTED"}
_TASK = pb.Task.TASK_OBJECT_DETECTION
_SEGMENT = "/diptych.segment.v1.SegmentService/Segment"


async def by_grpc(port: int, count: int, image: bytes) -> collections.Counter[str]:
    """Codes of that many requests at once, each on a connection of its own."""
    parts = pb.SegmentRequest(
        model_id=noop.MODEL_ID, image=pb.Image(encoded=image), task=_TASK
    ).SerializeToString()
    codes: collections.Counter[str] = collections.Counter()
    unread: list[int] = []

    async def one(connection: Http2) -> None:
        async with asyncio.timeout(60):
            code = await connection.call(_SEGMENT, parts)
        codes[_NAMES.get(code, code)] += 1
        if code == _REFUSED:
            unread.append(connection.sent)

    connections = [await Http2.connect(port) for _ in range(count)]
    await asyncio.gather(*map(one, connections))
    for connection in connections:
        await connection.close()
    if unread:
        print(f"sent of refused requests: median {statistics.median(unread) / 1024:.0f} KiB,")
        print(f"    over 1 MiB by {sum(each > 1024**2 for each in unread)} of {len(unread)}")
    return codes


async def by_http(port: int, count: int, image: bytes) -> collections.Counter[str]:
    """Statuses of that many forms at once, of senders that look for an answer when all is sent."""
    codes: collections.Counter[str] = collections.Counter()
    options = f'{{"model":"{noop.MODEL_ID}","task":"object-detection"}}'
    head, tail = (
        b'--part\r\nContent-Disposition: form-data; name="options"\r\n\r\n'
        + options.encode()
        + b'\r\n--part\r\nContent-Disposition: form-data; name="image"; filename="i"\r\n\r\n',
        b"\r\n--part--\r\n",
    )
    headers = {
        "Content-Type": "multipart/form-data; boundary=part",
        "Content-Length": str(len(head) + len(image) + len(tail)),
    }

    async def body() -> AsyncIterator[bytes]:
        # In slices: as one piece each of the senders would copy it.
        yield head
        for start in range(0, len(image), _SLICE_BYTES):
            yield image[start : start + _SLICE_BYTES]
        yield tail

    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:

        async def one() -> None:
            try:
                url = f"http://127.0.0.1:{port}/api/segment"
                answer = await client.post(url, content=body(), headers=headers)
                codes[str(answer.status_code)] += 1
            except httpx.HTTPError as error:
                codes[type(error).__name__] += 1

        await asyncio.gather(*(one() for _ in range(count)))
    return codes


async def measured(pids: dict[str, int], work: asyncio.Future[collections.Counter[str]]) -> bool:
    """Watch the processes while the work is done, and after it; say whether the floors are met."""
    before = {name: process_memory(pid).now for name, pid in pids.items()}
    peak = dict(before)
    while not work.done():
        for name, pid in pids.items():
            peak[name] = max(peak[name], process_memory(pid).now)
        await asyncio.sleep(0.02)
    codes, until = work.result(), time.monotonic() + _BACK_S
    left = {}
    while time.monotonic() < until:
        left = {name: process_memory(pid).now - before[name] for name, pid in pids.items()}
        if max(left.values()) <= LEFT_BYTES:
            break
        await asyncio.sleep(0.1)
    mib = 1024**2
    for name in pids:
        print(
            f"{name}: most {peak[name] / mib:.0f} MiB; floor at most {MOST_BYTES / mib:.0f}; "
            f"kept {left[name] / mib:.0f} MiB; floor at most {LEFT_BYTES / mib:.0f}"
        )
    print(f"answers: {dict(codes)}; floor: only results, refusals for room")
    fine = set(codes) <= {"OK", "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "200", "400", "429"}
    return fine and max(peak.values()) <= MOST_BYTES and max(left.values()) <= LEFT_BYTES


async def main() -> int:
    """Run it; 1 if a floor is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--megabytes", type=int, default=32)
    parser.add_argument("--transport", choices=("grpc", "http"), default="grpc")
    asked = parser.parse_args()
    print(machine.describe() if hasattr(machine, "describe") else "")
    image = bytes(asked.megabytes * 1024**2 - 4096)
    http_port = served.free_port()
    with (
        served.running_script(Path(noop.__file__)) as service,
        served.running(
            "diptych_gateway", models=f"{noop.MODEL_ID}={service.address}", http_port=http_port
        ) as gateway,
    ):
        await asyncio.sleep(2)
        pids = {"gateway": gateway.process.pid, "service": service.process.pid}
        if asked.transport == "grpc":
            work = by_grpc(int(gateway.address.rpartition(":")[2]), asked.count, image)
        else:
            work = by_http(http_port, asked.count, image)
        return 0 if await measured(pids, asyncio.ensure_future(work)) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
