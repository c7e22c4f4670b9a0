"""What a hop costs: the gateway alone and a model service alone, against a bare gRPC handler.

    python benchmarks/hop.py [--rounds 30] [--starts 4] [--sizes 200000,1000000,5000000]

One client, one request at a time: straight to a bare ``grpc.aio`` handler (bytes in, a small answer
out); the same handler through a bare ``grpc.aio`` proxy and through the gateway, where the time
that the detour adds counts; and a service whose engine does nothing. Every request carries a new
picture of that size. Ways take turns, once request by request, so that each finds processes that
have rested, and once by twenty requests in a row, of which the median counts.

The floors: the gateway adds at most 1.5 times what the bare handler takes, a service takes at most
twice as long. The proxy has none: it is the least that a gateway of the same parts can add.

All processes are started several times: whether the C library of one keeps the memory of a large
request for the next differs from start to start, and a bare handler takes two or three times as
long for 5 MB if it does not.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
from collections.abc import Iterator
from pathlib import Path

import bare
import grpc
import load
import machine
import noop
import payload
import served

Ways = dict[str, tuple[load.Call, str]]
"""By name: how to call it, and the model id that it wants."""

_WARM_ROUNDS = 5
_IN_A_ROW = 20
_FEWER_ROUNDS = 10  # of so many requests in a row than of single ones
_BARE = "a bare grpc.aio handler"
_NOTE = (
    "One client, one request at a time, every request a new picture. Where requests come in a row, "
    "each round has twenty for each way, of which the median counts; else one, which finds all "
    "processes rested, and Python runs several times slower at first. What a detour adds is the "
    "time through it less the time without it, in the same round. All processes are started "
    "several times, because their memory differs from start to start. The proxy passes bytes on "
    "and does nothing else: it is the least that a gateway made of grpc.aio can add."
)


@contextlib.contextmanager
def caller(address: str) -> Iterator[load.Call]:
    """Calls ``Segment`` with bytes."""
    with grpc.insecure_channel(address, options=bare.SEND_OPTIONS) as channel:
        yield channel.unary_unary(bare.METHOD)


@contextlib.contextmanager
def started() -> Iterator[Ways]:
    """All processes, new ones."""
    with contextlib.ExitStack() as stack:
        floor = stack.enter_context(bare.running())
        proxy = stack.enter_context(bare.running(to=floor))
        service = stack.enter_context(served.running_script(Path(noop.__file__)))
        gateway = stack.enter_context(
            served.running(
                "diptych_gateway", models=f"bare={floor}", http_port="", log_level="error"
            )
        )
        addresses = {
            "bare": (floor, "bare"),
            "proxy": (proxy, "bare"),
            "gateway": (gateway.address, "bare"),
            "service": (service.address, noop.MODEL_ID),
        }
        yield {
            name: (stack.enter_context(caller(address)), model_id)
            for name, (address, model_id) in addresses.items()
        }


def rested(size: int, rounds: int, ways: Ways) -> dict[str, list[float]]:
    """Milliseconds of every way, once a round, in turn."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + _WARM_ROUNDS):
        for name, (call, model_id) in ways.items():
            taken = load.timed(call, payload.request(size, model_id))
            if turn >= _WARM_ROUNDS:
                times[name].append(taken * 1e3)
    return times


def in_a_row(size: int, rounds: int, ways: Ways) -> dict[str, list[float]]:
    """The same for many requests in a row: medians."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    messages = {
        name: load.Request.of(payload.request(size, model_id))
        for name, (_, model_id) in ways.items()
    }
    for turn in range(rounds + 1):
        for name, (call, _) in ways.items():
            taken = [load.timed(call, messages[name].fresh()) for _ in range(_IN_A_ROW)]
            if turn:
                times[name].append(statistics.median(taken) * 1e3)
    return times


def measure(size: int, rounds: int, ways: Ways) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """Both manners."""
    yield f"{size / 1e6:g} MB", rested(size, rounds, ways)
    fewer = max(rounds // _FEWER_ROUNDS, 1)
    yield f"{size / 1e6:g} MB, in a row", in_a_row(size, fewer, ways)


def rows(how: str, times: dict[str, list[float]]) -> list[machine.Row]:
    """What the times of one size and manner say."""
    floor, service = times["bare"], times["service"]
    added = {
        name: [slow - fast for slow, fast in zip(times[name], floor, strict=True)]
        for name in ("proxy", "gateway")
    }

    def row(
        what: str, ours: list[float], theirs: list[float], against: str, **bounds: float
    ) -> machine.Row:
        ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        return machine.row(
            f"{what}, {how}",
            against,
            ours=ours,
            theirs=theirs,
            unit="ms",
            ratios=ratios,
            bound="at most",
            **bounds,
        )

    return [
        row("what the gateway adds", added["gateway"], floor, _BARE, floor=1.5, aim=1.3),
        row("what a bare grpc.aio proxy adds", added["proxy"], floor, _BARE),
        row("what the gateway adds", added["gateway"], added["proxy"], "a bare grpc.aio proxy"),
        row("a service with a no-op engine", service, floor, _BARE, floor=2.0, aim=1.6),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="after each start")
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--sizes", default="200000,1000000,5000000", help="bytes, with commas")
    args = parser.parse_args()
    print(machine.describe())
    sizes = [int(size) for size in args.sizes.split(",")]
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(args.starts):
        with started() as ways:
            for size in sizes:
                for how, times in measure(size, args.rounds, ways):
                    kept = found.setdefault(how, {name: [] for name in ways})
                    for name, taken in times.items():
                        kept[name] += taken
    lines = [row for how, times in found.items() for row in rows(how, times)]
    machine.print_rows(lines)
    machine.keep("hop", found, rows=lines, notes=[_NOTE])


if __name__ == "__main__":
    main()
