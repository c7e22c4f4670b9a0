"""Adaptive batches: what they cost one client, and what they are worth to 32, against fixed sizes.

    python benchmarks/batcher.py [--rounds 7] [--seconds 1.5] [--engines gains,nothing,sam2]
        [--sizes 1,2,4,8,16,32]

Prompts on held pictures, to three models: one that sleeps 20 ms for a batch and 4 ms for each of
its prompts; one that sleeps 10 ms for each, so that batches bring nothing; and SAM 2 (architecture
of sam2.1-hiera-tiny, random weights) with clients on four pictures. Each is served with the
runtime's own batches and with fixed sizes of 1, 2, 4, 8, 16 and 32 (as many as wait, up to so
many), all in turn in each round.

The floors: alone, a request takes at most 1.02 times what it takes without batches; 32 clients get
at least 0.95 times what the best of the fixed sizes gives them.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import bare
import batching
import load
import machine
import second_prompt
import served

import diptych
from diptych.segment import v1 as pb

_ADAPTIVE = "adaptive"
_CLIENTS = 32
_PICTURES = 4
_SIDE_PX = 512
_CALLS = 15
_NOTE = (
    "Fixed sizes take as many as wait, up to so many; no side waits for company. The best fixed "
    "size is that with the highest median, found in the same rounds."
)


@dataclass(frozen=True)
class Model:
    """What is served, and how it is called in the table."""

    name: str
    settings: Mapping[str, object]
    sizes: Sequence[int]
    """Fixed ones, among them 1."""


class Prompts:
    """Serialised prompts, each another point on the next of the held pictures."""

    def __init__(self, digests: Sequence[bytes]) -> None:
        self._digests = itertools.cycle(digests)
        self._numbers = itertools.count()

    def fresh(self) -> bytes:
        """The next one."""
        number = next(self._numbers)
        point = pb.PointPrompt(
            x_px=float(number * 37 % _SIDE_PX),
            y_px=float(number * 101 % _SIDE_PX),
            label=pb.PointLabel.POINT_LABEL_FOREGROUND,
        )
        return pb.SegmentRequest(
            image=pb.Image(sha256=next(self._digests)),
            task=pb.Task.TASK_PROMPTED_SEGMENTATION,
            prompts=[pb.ObjectPrompt(points=[point])],
        ).SerializeToString()


def hold(address: str) -> Prompts:
    """Have a service hold the pictures."""
    digests = []
    with diptych.Client(address, timeout=300) as client:
        for number in range(_PICTURES):
            picture = second_prompt.photograph(_SIDE_PX, _SIDE_PX, 100 * number)
            client.segment(picture, points=[(100, 100)])
            digests.append(hashlib.sha256(picture).digest())
    return Prompts(digests)


@contextlib.contextmanager
def services(model: Model) -> Iterator[dict[str, str]]:
    """Addresses by side: the adaptive one, and each fixed size."""
    with contextlib.ExitStack() as stack:
        start = partial(served.running_script, Path(batching.__file__), **model.settings)
        found = {_ADAPTIVE: stack.enter_context(start()).address}
        for size in model.sizes:
            found[str(size)] = stack.enter_context(start(batching_fixed=size)).address
        yield found


def alone(addresses: Mapping[str, str], prompts: Mapping[str, Prompts]) -> dict[str, float]:
    """Median milliseconds of one client, calls in turn."""
    times: dict[str, list[float]] = {_ADAPTIVE: [], "1": []}
    with contextlib.ExitStack() as stack:
        calls = {
            side: stack.enter_context(load.grpc_client(addresses[side], bare.METHOD))
            for side in times
        }
        for turn in range(_CALLS + 1):
            for side, call in calls.items():
                message = prompts[side].fresh()
                started = time.perf_counter()
                call(message)
                if turn:  # the first one connects
                    times[side].append((time.perf_counter() - started) * 1e3)
    return {side: statistics.median(each) for side, each in times.items()}


def crowded(
    addresses: Mapping[str, str], prompts: Mapping[str, Prompts], seconds: float
) -> dict[str, float]:
    """Requests answered per second, to 32 clients."""
    return {
        side: load.run(
            partial(load.grpc_client, address, bare.METHOD),
            prompts[side],
            clients=_CLIENTS,
            seconds=seconds,
        ).per_s
        for side, address in addresses.items()
    }


def measure(model: Model, rounds: int, seconds: float) -> tuple[list[machine.Row], object]:
    """Rows and figures of one model."""
    lone: list[dict[str, float]] = []
    many: list[dict[str, float]] = []
    with services(model) as addresses:
        prompts = {side: hold(address) for side, address in addresses.items()}
        for turn in range(rounds + 1):
            ms, per_s = alone(addresses, prompts), crowded(addresses, prompts, seconds)
            if turn:  # in the first round sizes are learned
                lone.append(ms)
                many.append(per_s)
        sizes = batch_sizes(addresses[_ADAPTIVE])
    print(model.name)
    for side in addresses:
        middle = statistics.median(per_s[side] for per_s in many)
        print(f"  {side:>8} {middle:8.1f} requests/s", flush=True)
    print(f"  answers by size of their batch: {sizes}")
    return rows(model, lone, many), {"alone_ms": lone, "per_s": many, "sizes": sizes}


def batch_sizes(address: str) -> dict[int, int]:
    """Answers of a service by the size of their batch."""
    with diptych.Client(address) as client:
        return dict(client.model_stats("").batch_sizes)


def rows(
    model: Model, lone: Sequence[Mapping[str, float]], many: Sequence[Mapping[str, float]]
) -> list[machine.Row]:
    """What one model's rounds say."""
    best = max(map(str, model.sizes), key=lambda size: statistics.median(one[size] for one in many))
    return [
        machine.row(
            f"p50 of one client, {model.name}",
            "no batches",
            ours=[one[_ADAPTIVE] for one in lone],
            theirs=[one["1"] for one in lone],
            unit="ms",
            ratios=[one[_ADAPTIVE] / one["1"] for one in lone],
            bound="at most",
            floor=1.02,
        ),
        machine.row(
            f"requests/s, {_CLIENTS} clients, {model.name}",
            f"the best fixed size: {best}",
            ours=[one[_ADAPTIVE] for one in many],
            theirs=[one[best] for one in many],
            unit="/s",
            ratios=[one[_ADAPTIVE] / one[best] for one in many],
            floor=0.95,
        ),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--engines", default="gains,nothing,sam2")
    parser.add_argument("--sizes", default="1,2,4,8,16,32", help="fixed ones, 1 among them")
    args = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder:
        wanted = args.engines.split(",")
        sizes = [int(size) for size in args.sizes.split(",")]
        models = {
            "gains": Model("a model that gains by batches", {"batching_cost": "20,4"}, sizes),
            "nothing": Model("a model that gains nothing", {"batching_cost": "0,10"}, sizes),
        }
        if "sam2" in wanted:
            models["sam2"] = Model("SAM 2.1 tiny", served.tiny_random(Path(folder)), sizes)
        found = {name: measure(models[name], args.rounds, args.seconds) for name in wanted}
    every = [row for kept, _ in found.values() for row in kept]
    machine.print_rows(every)
    figures = {name: kept for name, (_, kept) in found.items()}
    machine.keep("batcher", figures, rows=every, notes=[_NOTE])


if __name__ == "__main__":
    main()
