"""What a hop costs: the gateway alone and a model service alone, against a bare gRPC handler.

    python benchmarks/hop.py [--rounds 60] [--sizes 200000,1000000,5000000]

One client, one request at a time, the three interleaved: straight to a bare ``grpc.aio`` handler
(bytes in, a small answer out); the same handler through the gateway, whose time is what the detour
adds; and a service whose engine does nothing. Every request carries a new picture of that size.
The floors: the gateway adds at most 1.5 times what the bare handler takes, a service takes at most
twice as long.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import bare
import grpc
import machine
import noop
import payload
import served

from diptych.limits import MAX_REQUEST_BYTES

Call = Callable[[bytes], bytes]
_WARM_ROUNDS = 5


@dataclass(frozen=True)
class Figures:
    """Medians in milliseconds for one size, and their ratios to the bare handler."""

    size: int
    bare_ms: float
    through_gateway_ms: float
    service_ms: float
    gateway_added_ratio: float
    service_ratio: float


@contextlib.contextmanager
def bare_server() -> Iterator[str]:
    """The bare handler in a process of its own; yields its address."""
    port = served.free_port()
    process = subprocess.Popen([sys.executable, bare.__file__, str(port)])
    try:
        address = f"127.0.0.1:{port}"
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=60)
        yield address
    finally:
        process.terminate()
        process.wait(60)


@contextlib.contextmanager
def caller(address: str) -> Iterator[Call]:
    """Calls ``Segment`` with bytes."""
    options = [("grpc.max_send_message_length", MAX_REQUEST_BYTES)]
    with grpc.insecure_channel(address, options=options) as channel:
        yield channel.unary_unary(f"/{bare.SERVICE}/Segment")


def measure(size: int, rounds: int, ways: dict[str, tuple[Call, str]]) -> Figures:
    """Time every way once a round, in turn."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + _WARM_ROUNDS):
        for name, (call, model_id) in ways.items():
            request = payload.request(size, model_id)
            started = time.perf_counter()
            call(request)
            if turn >= _WARM_ROUNDS:
                times[name].append(time.perf_counter() - started)
    floor, through, service = (
        statistics.median(times[name]) * 1e3 for name in ("bare", "gateway", "service")
    )
    added = statistics.median(
        through - bare for through, bare in zip(times["gateway"], times["bare"], strict=True)
    )
    return Figures(size, floor, through, service, added * 1e3 / floor, service / floor)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--sizes", default="200000,1000000,5000000", help="bytes, with commas")
    args = parser.parse_args()
    print(machine.describe())
    with contextlib.ExitStack() as stack:
        floor = stack.enter_context(bare_server())
        service = stack.enter_context(served.running_script(Path(noop.__file__)))
        gateway = stack.enter_context(
            served.running("diptych_gateway", models=f"bare={floor}", http_port="",picture_cache_bytes=0)
        )
        addresses = {"bare": floor, "gateway": gateway.address, "service": service.address}
        models = {"bare": "bare", "gateway": "bare", "service": noop.MODEL_ID}
        ways = {
            name: (stack.enter_context(caller(address)), models[name])
            for name, address in addresses.items()
        }
        print(f"{'bytes in':>10} {'bare ms':>9} {'gateway ms':>11} {'adds':>7} {'service ms':>11}")
        rows = [measure(int(size), args.rounds, ways) for size in args.sizes.split(",")]
    for row in rows:
        print(
            f"{row.size:10d} {row.bare_ms:9.2f} {row.through_gateway_ms:11.2f} "
            f"{row.gateway_added_ratio:6.2f}x {row.service_ms:11.2f} {row.service_ratio:6.2f}x"
        )
    print("hop", [asdict(row) for row in rows])


if __name__ == "__main__":
    main()
