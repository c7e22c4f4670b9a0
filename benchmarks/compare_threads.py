"""How many threads two services on one machine should have each, on one core and on two.

    python benchmarks/compare_threads.py [--rounds 7] [--cores 1,2] [--threads 1,2]

Starts the Mask R-CNN service (ResNet-50 FPN, random weights) and the SAM 2 service (tiny
architecture, random weights) with each number of threads, all on the first cores of this machine
and no other, and asks in turn: each model alone, and both for one new photograph at the same
moment, until the slower one has answered. Services that are not asked wait without work.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import machine
import served
from photographs import photographs
from rcnn_sides import calibrate, save, stock_resnet50
from second_prompt import photograph

import diptych

HEIGHT, WIDTH = 800, 1200
OBJECTS = 10
ASKED = ("mask-rcnn", "sam-2", "both")
_NOTE = (
    "`DIPTYCH_THREADS` is what each of the two services was given. All processes of a line run on "
    "so many cores alone (CPU affinity); both services share them. Both models are asked for one "
    "picture of 1200 x 800 pixels at the same moment."
)
Asks = Mapping[str, Callable[[bytes], object]]
Times = dict[str, list[float]]


@contextlib.contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Let this process, and those that it starts, use only so many of its cores."""
    whole = os.sched_getaffinity(0)
    if count > len(whole):
        raise SystemExit(f"--cores {count}: this process may use {len(whole)}")
    os.sched_setaffinity(0, sorted(whole)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, whole)


@contextlib.contextmanager
def asks(rcnn: str, sam: str) -> Iterator[Asks]:
    """Ways to ask two services, by name."""
    with (
        diptych.Client(rcnn, timeout=600) as one,
        diptych.Client(sam, timeout=600) as other,
        ThreadPoolExecutor(2) as pool,
    ):

        def detect(picture: bytes) -> object:
            return one.segment(picture)

        def point(picture: bytes) -> object:
            return other.segment(picture, points=[(WIDTH / 2, HEIGHT / 2)])

        def both(picture: bytes) -> object:
            waiting = [pool.submit(detect, picture), pool.submit(point, picture)]
            return [one.result() for one in waiting]

        yield dict(zip(ASKED, (detect, point, both), strict=True))


def measure(settings: Mapping[int, Asks], rounds: int) -> dict[int, Times]:
    """Seconds by number of threads and what is asked, once a round. One round before them warms
    up. No picture is asked for twice."""
    times: dict[int, Times] = {threads: {name: [] for name in ASKED} for threads in settings}
    pictures = (photograph(HEIGHT, WIDTH, shift) for shift in range(WIDTH))
    for number in range(rounds + 1):
        for threads, ways in settings.items():
            for name, ask in ways.items():
                picture = next(pictures)
                started = time.perf_counter()
                ask(picture)
                if number:
                    times[threads][name].append(time.perf_counter() - started)
    return times


def started(
    stack: contextlib.ExitStack,
    threads: Sequence[int],
    rcnn: Mapping[str, object],
    sam: Mapping[str, object],
) -> dict[int, Asks]:
    """Two services for each number of threads."""
    made = {}
    for count in threads:
        one, other = (
            stack.enter_context(served.running(module, **weights, threads=count)).address
            for module, weights in (("diptych_maskrcnn", rcnn), ("diptych_sam2", sam))
        )
        made[count] = stack.enter_context(asks(one, other))
    return made


def rows(cores: int, times: Mapping[int, Times]) -> list[machine.Row]:
    """Each number of threads against the largest."""
    most = max(times)
    where = "1 core" if cores == 1 else f"{cores} cores"
    return [
        machine.row(
            f"{name.replace('both', 'both models at once')}, {where}, threads of each: {threads}",
            f"threads of each: {most}",
            ours=[s * 1e3 for s in times[threads][name]],
            theirs=[s * 1e3 for s in times[most][name]],
            unit="ms",
            ratios=[a / b for a, b in zip(times[most][name], times[threads][name], strict=True)],
        )
        for name in ASKED
        for threads in times
        if threads != most
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cores", default="1,2", help="numbers of cores, with commas")
    parser.add_argument("--threads", default="1,2", help="numbers of threads of each service")
    args = parser.parse_args()
    cores, threads = ([int(n) for n in given.split(",")] for given in (args.cores, args.threads))
    print(machine.describe())
    figures, found = {}, []
    with tempfile.TemporaryDirectory() as folder:
        network = stock_resnet50()
        calibrate(network, [file for _, file in photographs()], objects=OBJECTS, floor=0.5)
        rcnn = {"mask_rcnn_weights": save(network, Path(folder)), "keypoint_weights": "off"}
        sam = served.tiny_random(Path(folder))
        for count in cores:
            with on_cores(count), contextlib.ExitStack() as stack:
                times = measure(started(stack, threads, rcnn, sam), args.rounds)
            figures[count] = times
            found += rows(count, times)
            for number, spent in times.items():
                told = (f"{name} {statistics.median(s) * 1e3:.0f} ms" for name, s in spent.items())
                print(f"cores {count}, threads of each {number}: {', '.join(told)}", flush=True)
    machine.print_rows(found)
    machine.keep("compare_threads", figures, rows=found, notes=[_NOTE])


if __name__ == "__main__":
    main()
