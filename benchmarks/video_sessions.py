"""What 200 video sessions leave behind, however they end: nothing.

    python benchmarks/video_sessions.py [--sessions 200]

Starts the SAM 2 service with the demo weights, opens sessions with two objects and ends them in
turn by closing, by cancelling, by killing the client, by a deadline, by a message that is no
message, and by saying nothing. Prints the engine's memory and the number of open sessions.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator

import clips
import grpc
import machine
import served

import diptych
from diptych.segment import v1 as pb

MOST_GROWTH = 20e6
IDLE_S = 3.0
AT_A_TIME = 6
WARM = 24
FRAMES = [clips.encoded(picture) for picture, _ in clips.drawn(5, 6)]
BOXES = ((60, 60, 140, 140), (100, 40, 200, 120))


@contextlib.asynccontextmanager
async def session(
    address: str, timeout: float | None = None
) -> AsyncIterator[diptych.AsyncVideoSession]:
    """An open session that has followed two objects for some frames."""
    async with (
        diptych.AsyncClient(address) as client,
        client.video(timeout=timeout) as opened,
    ):
        for number, frame in enumerate(FRAMES):
            await opened.send(frame)
            await anext(opened)
            if number == 0:
                for object_id, box in enumerate(BOXES):
                    await opened.prompt(object_id, box=box)
                    await anext(opened)
        yield opened


async def closed(address: str) -> None:
    """The client says that nothing more comes, and takes the last answers."""
    async with session(address) as opened:
        await opened.send(FRAMES[0])
        async for _ in opened.finish():
            pass


async def cancelled(address: str) -> None:
    """The client cancels while a frame is in the model."""
    async with session(address) as opened:
        await opened.send(FRAMES[0])


async def late(address: str) -> None:
    """The deadline comes while the client still sends."""
    with contextlib.suppress(diptych.DeadlineExceededError):
        async with session(address, timeout=2.0) as opened:
            while True:
                await opened.send(FRAMES[0])
                await anext(opened)


async def silent(address: str) -> None:
    """The client says nothing, and the server closes the session."""
    async with session(address) as opened:
        try:
            await anext(opened)
        except diptych.SessionLostError as error:
            if error.reason != "SESSION_EXPIRED":
                raise


async def broken(address: str) -> None:
    """The client sends bytes that are no message."""
    method = "/diptych.segment.v1.SegmentService/SegmentVideo"
    start = pb.SegmentVideoRequest(seq=1, start=pb.VideoStart()).SerializeToString()
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.stream_stream(method)()
        for raw in (start, b"\xff\xff\xff no message"):
            await call.write(raw)
        with contextlib.suppress(grpc.aio.AioRpcError):
            while await call.read() is not grpc.aio.EOF:
                pass
        if await call.code() is grpc.StatusCode.OK:
            raise SystemExit("a message that cannot be read was taken")


async def killed(address: str) -> None:
    """The client's process is killed while a session of it is open."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, "--be-killed", address), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    await process.wait()


WAYS = (closed, cancelled, killed, late, broken, silent)


async def be_killed(address: str) -> None:
    """Open a session, say so, and go on until the end."""
    async with session(address) as opened:
        print("open", flush=True)
        while True:
            await opened.send(FRAMES[0])
            await anext(opened)


async def end_all(address: str, count: int) -> Counter[str]:
    """So many sessions, some at a time; returns how many ended in which way."""
    ways = list(itertools.islice(itertools.cycle(WAYS), count))
    for first in range(0, count, AT_A_TIME):
        await asyncio.gather(*(way(address) for way in ways[first : first + AT_A_TIME]))
        await none_left(address)
    return Counter(way.__name__ for way in ways)


async def none_left(address: str, seconds: float = 30) -> None:
    """Wait until the server counts no session."""
    until = time.monotonic() + seconds
    async with diptych.AsyncClient(address) as client:
        while (count := (await client.model_stats("")).session_count) and time.monotonic() < until:
            await asyncio.sleep(0.05)
    if count:
        raise SystemExit(f"{count} sessions are still open after {seconds:g} s")


def main() -> None:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--be-killed", metavar="ADDRESS", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.be_killed:
        asyncio.run(be_killed(args.be_killed))
    print(machine.describe())
    with served.running("diptych_sam2", session_idle_s=IDLE_S) as service:
        asyncio.run(end_all(service.address, WARM))
        base = machine.resident_bytes(service.engine_pid)
        front = machine.resident_bytes(service.process.pid)
        print(
            f"after {WARM} sessions to warm up: engine {base / 1e6:.1f} MB, front {front / 1e6:.1f}"
        )
        ended = asyncio.run(end_all(service.address, args.sessions))
        grown = machine.resident_bytes(service.engine_pid) - base
        front_grown = machine.resident_bytes(service.process.pid) - front
        with diptych.Client(service.address) as client:
            open_now = client.model_stats("").session_count
    print(", ".join(f"{count} {way}" for way, count in ended.items()))
    print(
        f"sessions open {open_now}, engine {grown / 1e6:+.1f} MB, front {front_grown / 1e6:+.1f} MB"
    )
    figures = {"ended": ended, "grown_bytes": grown, "front_grown_bytes": front_grown}
    machine.keep("video_sessions", figures)
    if abs(grown) >= MOST_GROWTH or open_now:
        raise SystemExit("sessions left something behind")


if __name__ == "__main__":
    main()
