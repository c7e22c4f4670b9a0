"""What prompts on a held image notice of the worst images and of far too much bulk at once.

    python benchmarks/trust/interactive.py [--seconds 10] [--rounds 3] [--bulk 10]

A service with a fake engine: a prompt takes it 4 ms, a request for a whole image 20 ms in steps of
5. It answers prompts on a held image, one after the other, at rest; then while four callers send
images of 49 million pixels without a pause, and while another process offers ``--bulk`` times the
requests for small new images that it can do. Exits with 1 if the p99 of prompts is over five times
its rest value, the median of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_TESTS = _HERE.parents[1] / "tests"
sys.path[:0] = [str(_HERE), str(_TESTS), str(_TESTS / "support")]

import decode  # noqa: E402
import grpc  # noqa: E402
import serving_helpers as serving  # noqa: E402
from harness.engine import HarnessEngine, Plan  # noqa: E402
from harness.figures import Figure, report  # noqa: E402
from harness.load import Caller, Outcome, channel_to, open_loop, pictures  # noqa: E402
from harness.parts import service  # noqa: E402

from diptych_runtime.engine import Features, Pixels  # noqa: E402

MOST = 5.0
_PLAN = Plan(prompt_s=0.004, segment_s=0.02, step_s=0.005)
_DEADLINE_S = 1.0
_SENDERS = 4
_SETTLE_S = 2.0
_PAUSE_S = 0.01


class Blind(HarnessEngine):
    """Does not look at the pixels of large images: to hash 150 MB takes longer than to decode."""

    def embed(self, pixels: Pixels, kind: str) -> Features:
        """Note the size only."""
        if pixels.shape[0] < decode.SIDE:
            return super().embed(pixels, kind)
        return Features(("", (0, 0, 0), pixels.shape[:2]), 1)


def create() -> Blind:
    """For the engine process of this script."""
    return Blind()


async def offer(port: int, seconds: float, factor: float) -> None:
    """Be the others: large images without a pause, and small ones at a rate."""
    files = list(dict(decode.large_files()).values())
    small = pictures(400, first=1000)
    print("ready", flush=True)
    async with serving.stub_of(port) as stub, channel_to(port) as channel:
        senders = [asyncio.create_task(decode.send(stub, files)) for _ in range(_SENDERS)]
        caller = Caller(channel, model="fake", deadline_s=_DEADLINE_S)

        async def ask(number: int) -> Outcome:
            return await caller.segment(small[number % len(small)])

        rate = factor / _PLAN.segment_s
        tally = await open_loop(ask, rate=rate, seconds=seconds, patience_s=2 * _DEADLINE_S)
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
    codes = ", ".join(f"{count} {code}" for code, count in sorted(tally.codes().items()))
    for text in {one.text for one in tally.outcomes if one.code == "UNAVAILABLE"}:
        print(f"unavailable: {text}")
    print(f"bulk: {tally.offered} offered, {codes}; late {tally.lag_s * 1e3:.0f} ms", flush=True)


async def prompts(port: int, seconds: float) -> list[float]:
    """Milliseconds of prompts on one held image, one after the other."""
    request = serving.point_request(serving.png(serving.picture(seed=7)))
    taken = []
    async with serving.stub_of(port) as stub:
        await stub.Segment(request)
        until = time.monotonic() + seconds
        while (began := time.monotonic()) < until:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await stub.Segment(request, timeout=10)
                taken.append(1e3 * (time.monotonic() - began))
            await asyncio.sleep(_PAUSE_S)
    return taken


def quantile(taken: list[float], share: float) -> float:
    """The value below which so many of 100 are."""
    return sorted(taken)[min(int(share / 100 * len(taken)), len(taken) - 1)]


async def one_round(port: int, seconds: float, factor: float) -> tuple[float, float]:
    """The p99 at rest and with the others there, in milliseconds."""
    rest = await prompts(port, seconds)
    lasting = seconds + _SETTLE_S + 1
    others = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, f"--offer-to={port}"),
        *(f"--seconds={lasting}", f"--bulk={factor}"),
        stdout=asyncio.subprocess.PIPE,
        # Others are on another machine: Linux shares processors between sessions, not processes.
        start_new_session=True,
    )
    assert others.stdout
    await others.stdout.readline()
    await asyncio.sleep(_SETTLE_S)
    busy = await prompts(port, seconds)
    said, _ = await others.communicate()
    for name, taken in (("rest", rest), ("busy", busy)):
        line = ", ".join(f"p{share:g} {quantile(taken, share):.1f}" for share in (50, 90, 99))
        print(f"{name}: {len(taken)} prompts, {line} ms", flush=True)
    print(said.decode().strip(), flush=True)
    return quantile(rest, 99), quantile(busy, 99)


async def measure(seconds: float, rounds: int, factor: float) -> int:
    """Print every round and the median; 1 if that is over the floor."""
    ratios = []
    paths = [str(_HERE), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    with tempfile.TemporaryDirectory() as folder:
        part = service(
            "fake", Path(folder), plan=_PLAN, environment={"HARNESS_ENGINE": "interactive:create"}
        )
        await part.start()
        try:
            for number in itertools.count(1):
                rest, busy = await one_round(part.port, seconds, factor)
                ratios.append(busy / rest)
                if number == rounds:
                    break
                await asyncio.sleep(2)
        finally:
            part.kill()
    each = ", ".join(f"{ratio:.1f}" for ratio in ratios)
    name = f"p99 of prompts on a held image, busy / at rest (of {each})"
    return report([Figure(name, statistics.median(ratios), MOST)])


def main() -> int:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of prompts, twice a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bulk", type=float, default=10.0, help="times what can be done")
    parser.add_argument("--offer-to", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.offer_to:
        asyncio.run(offer(asked.offer_to, asked.seconds, asked.bulk))
        return 0
    return asyncio.run(measure(asked.seconds, asked.rounds, asked.bulk))


if __name__ == "__main__":
    sys.exit(main())
