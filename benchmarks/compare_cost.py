"""What a comparison costs: two models through the gateway, against the slower one alone.

    python benchmarks/compare_cost.py [--rounds 40] [--slow-ms 200] [--fast-ms 120]

Two services of which each "model" sleeps for its time, so that they share no core, as two GPUs or
disjoint cores would not. Every round sends a new picture of 1 MB, once to both by ``Compare``
through the gateway, and once straight to the service of the slower model. What that one sleeps is
what it would take in process.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from pathlib import Path

import grpc
import machine
import noop
import payload
import served

from diptych.limits import MAX_REQUEST_BYTES
from diptych.segment import v1 as pb

_WARM_ROUNDS = 3
_SIZE = 1_000_000


def compare(stub: pb.GatewayServiceStub, picture: bytes) -> None:
    """Ask both and see that both answered."""
    request = pb.SegmentRequest(image=pb.Image(encoded=picture), task=pb.Task.TASK_OBJECT_DETECTION)
    reply = stub.Compare(pb.CompareRequest(request=request))
    failed = [result.error.message for result in reply.results if result.HasField("error")]
    if failed or len(reply.results) != 2 or len(reply.agreements) != 1:
        raise SystemExit(f"expected two answers and how far they agree, got {failed or reply}")


def measure(
    gateway: pb.GatewayServiceStub, slow: pb.SegmentServiceStub, rounds: int
) -> tuple[list[float], list[float]]:
    """Milliseconds of a comparison and of the slower model's service, by round."""
    both, alone = list[float](), list[float]()
    for turn in range(rounds + _WARM_ROUNDS):
        picture = payload.picture(_SIZE)
        request = pb.SegmentRequest.FromString(payload.request(_SIZE))
        started = time.perf_counter()
        compare(gateway, picture)
        between = time.perf_counter()
        slow.Segment(request)
        ended = time.perf_counter()
        if turn >= _WARM_ROUNDS:
            both.append((between - started) * 1e3)
            alone.append((ended - between) * 1e3)
    return both, alone


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--slow-ms", type=float, default=200)
    parser.add_argument("--fast-ms", type=float, default=120)
    args = parser.parse_args()
    print(machine.describe())
    options = [("grpc.max_send_message_length", MAX_REQUEST_BYTES)]
    script = Path(noop.__file__)
    with contextlib.ExitStack() as stack:
        slow, fast = (
            stack.enter_context(
                served.running_script(script, noop_id=name, noop_sleep_s=milliseconds / 1e3)
            ).address
            for name, milliseconds in (("slow", args.slow_ms), ("fast", args.fast_ms))
        )
        gateway = stack.enter_context(
            served.running("diptych_gateway", models=f"slow={slow},fast={fast}", http_port="")
        )
        channels = [
            stack.enter_context(grpc.insecure_channel(address, options))
            for address in (gateway.address, slow)
        ]
        stubs = pb.GatewayServiceStub(channels[0]), pb.SegmentServiceStub(channels[1])
        both, alone = measure(*stubs, args.rounds)
    sleep = [args.slow_ms] * len(both)
    rows = [
        machine.row(
            f"compare of two models ({args.slow_ms:g} and {args.fast_ms:g} ms), 1 MB",
            against,
            ours=both,
            theirs=theirs,
            unit="ms",
            ratios=[mine / other for mine, other in zip(both, theirs, strict=True)],
            bound="at most",
            floor=1.08,
            aim=1.05,
        )
        for against, theirs in (("the slower model, in process", sleep), ("its service", alone))
    ]
    machine.print_rows(rows)
    note = "A model that sleeps stands for one on a device of its own; both find one box."
    machine.keep("compare_cost", {"both_ms": both, "alone_ms": alone}, rows=rows, notes=[note])


if __name__ == "__main__":
    main()
