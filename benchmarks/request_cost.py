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
from collections.abc import Iterator, Mapping
from pathlib import Path

import bare
import load
import machine
import noop
import payload
import served

_TICK_MS = 1e3 / os.sysconf("SC_CLK_TCK")
_WARM = 20
_NOTE = (
    "Requests follow each other without a pause, so processes and their memory are warm, which a "
    "request after a rest does not find."
)


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
                took.append(load.timed(call, message.fresh()) * 1e3)

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
        sizes = [int(size) for size in args.sizes.split(",")]
        lines = [
            line
            for size, (way, (address, model_id, pids)) in itertools.product(sizes, ways.items())
            for line in cost(
                f"{size / 1e6:g} MB",
                way,
                address,
                load.Request.of(payload.request(size, model_id)),
                pids,
                requests=args.requests,
                clients=args.clients,
            )
        ]
    table = machine.Table(("size", "way", "p50", "process", "user", "system"), lines)
    machine.keep("request_cost", vars(args), tables=[table], notes=[_NOTE])


def cost(
    size: str,
    way: str,
    address: str,
    message: load.Request,
    pids: Mapping[str, int],
    *,
    requests: int,
    clients: int,
) -> Iterator[list[str]]:
    """A line of the table for each process of a way."""
    ask(address, message, _WARM, clients)
    before = {name: spent_ms(pid) for name, pid in pids.items()}
    took = ask(address, message, requests, clients)
    for name, pid in pids.items():
        spent = zip(spent_ms(pid), before[name], strict=True)
        figures = (statistics.median(took), *((after - then) / requests for after, then in spent))
        p50, user, system = (f"{figure:.2f} ms" for figure in figures)
        line = [size, way, p50, name, user, system]
        print(", ".join(line), flush=True)
        yield line


if __name__ == "__main__":
    main()
