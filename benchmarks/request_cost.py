"""What a request costs each process: user and system time, for pictures of several sizes.

    python benchmarks/request_cost.py [--requests 300] [--sizes 200000,1000000] [--clients 1]

A service whose engine does nothing, the gateway in front of a bare handler, and that handler and a
bare proxy for comparison. Time on a processor hardly depends on who else uses the machine, so this
can be measured where wall-clock times cannot.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import statistics
import threading
import time
from pathlib import Path

import bare
import load
import machine
import noop
import payload
import served

_TICK_MS = 1e3 / os.sysconf("SC_CLK_TCK")
_WARM = 20


def spent_ms(pid: int) -> tuple[float, float]:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) * _TICK_MS, int(fields[12]) * _TICK_MS


def ask(address: str, message: load.Request, requests: int, clients: int) -> list[float]:
    """Send so many requests from so many threads; the milliseconds of each."""
    left = itertools.count()
    took: list[float] = []

    def client() -> None:
        with load.grpc_client(address, bare.METHOD) as call:
            while next(left) < requests:
                fresh = message.fresh()
                started = time.perf_counter()
                call(fresh)
                took.append((time.perf_counter() - started) * 1e3)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--sizes", default="200000,1000000,5000000", help="bytes, with commas")
    parser.add_argument("--clients", type=int, default=1)
    args = parser.parse_args()
    print(machine.describe())
    with contextlib.ExitStack() as stack:
        floor = stack.enter_context(bare.running_process())
        proxy = stack.enter_context(bare.running_process(to=floor.address))
        service = stack.enter_context(served.running_script(Path(noop.__file__)))
        gateway = stack.enter_context(
            served.running("diptych_gateway", models=f"bare={floor.address}", http_port="")
        )
        ways = {
            "bare": (floor.address, "bare", {"handler": floor.process.pid}),
            "proxy": (proxy.address, "bare", {"proxy": proxy.process.pid}),
            "gateway": (gateway.address, "bare", {"gateway": gateway.process.pid}),
            "service": (
                service.address,
                noop.MODEL_ID,
                {"front": service.process.pid, "engine process": service.engine_pid},
            ),
        }
        for size, (way, (address, model_id, pids)) in itertools.product(
            map(int, args.sizes.split(",")), ways.items()
        ):
            message = load.Request.of(payload.request(size, model_id))
            ask(address, message, _WARM, args.clients)
            before = {name: spent_ms(pid) for name, pid in pids.items()}
            took = ask(address, message, args.requests, args.clients)
            for name, pid in pids.items():
                user, system = (
                    (after - then) / args.requests
                    for after, then in zip(spent_ms(pid), before[name], strict=True)
                )
                print(
                    f"{size / 1e6:g} MB, {way}, p50 {statistics.median(took):.2f} ms: "
                    f"{name} {user:.2f} user + {system:.2f} system ms"
                )


if __name__ == "__main__":
    main()
