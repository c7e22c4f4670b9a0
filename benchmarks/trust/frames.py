"""How long large frames over a WebSocket stop everybody else in the gateway's event loop.

    python benchmarks/trust/frames.py [--megabytes 30] [--frames 20]

A ticker in the loop says how late it was; of that, what the process did not compute in is left
out: somebody else on the machine did. The floor is 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

_ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(_ROOT / "tests"), str(_ROOT / "tests" / "support")]

import websockets  # noqa: E402
from harness.figures import Figure, report  # noqa: E402
from harness.parts import service  # noqa: E402

from diptych_gateway.server import Gateway  # noqa: E402
from diptych_gateway.settings import Endpoint, Settings  # noqa: E402

MOST_MS = 50.0
_TICK_S = 0.001


async def watch(stalls: list[float]) -> None:
    """Note how long the loop stood still, in milliseconds, until cancelled."""
    while True:
        began, used = time.monotonic(), time.process_time()
        await asyncio.sleep(_TICK_S)
        late = time.monotonic() - began - _TICK_S
        stalls.append(1e3 * min(late, time.process_time() - used))


async def send(port: int, size: int, frames: int) -> None:
    """Be the client: open a session and send frames, each after the answer to the last."""
    url = f"ws://127.0.0.1:{port}/api/video"
    async with websockets.connect(url, max_size=None, compression=None) as socket:
        await socket.send(json.dumps({"event": "start", "model": "fake"}))
        await socket.recv()
        file = bytes(size)
        for index in range(frames):
            await socket.send(index.to_bytes(8) + file)
            await socket.recv()


async def main() -> int:
    """Run it; 1 if the floor is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=30)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--send-to", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    size = asked.megabytes * 10**6
    if asked.send_to:
        await send(asked.send_to, size, asked.frames)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        model = service("fake", Path(folder))
        await model.start()
        settings = Settings(models=(Endpoint("fake", model.address),), port=0, http_port=0)
        gateway = Gateway(settings)
        try:
            await gateway.start()
            while any(known.status.code for known in gateway.registry.known_models()):
                await asyncio.sleep(0.1)
            stalls: list[float] = []
            watching = asyncio.create_task(watch(stalls))
            arguments = [f"--send-to={gateway.http_port}", f"--megabytes={asked.megabytes}"]
            client = await asyncio.create_subprocess_exec(
                sys.executable, __file__, *arguments, f"--frames={asked.frames}"
            )
            code = await client.wait()
            watching.cancel()
        finally:
            await gateway.stop()
            model.kill()
    longest = sorted(stalls, reverse=True)[: asked.frames]
    print(f"{asked.frames} frames of {asked.megabytes} MB; longest stalls in ms:")
    print(" ".join(f"{each:.0f}" for each in longest))
    return code or report(
        [
            Figure("longest stall of the event loop", longest[0], MOST_MS, "ms"),
            Figure(
                "median of the longest, one for each frame", statistics.median(longest), MOST_MS
            ),
        ]
    )


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
