"""Many clients at once: a service of ours against other servers, with models that do nothing.

    python benchmarks/peers.py [--rounds 7] [--seconds 3] [--clients 32] [--peers "Ray Serve,mosec"]

Closed-loop clients send pictures of 1 MB, each a new one, to our service, to it through our
gateway, and to each peer, in turn, round by round; a server that is not asked idles meanwhile. The
peers are installed below ``.tools/peers`` by this script. A service of ours is two processes, as is
the part of every peer that answers: a front and one worker.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
from contextlib import ExitStack
from pathlib import Path

import bare
import load
import machine
import noop
import payload
import peer_servers
import served

_BARE = "a bare grpc.aio handler"
_OURS = "our service"
_THROUGH = "our service through our gateway"
Ways = dict[str, tuple[load.Open, load.Request]]


def start_ours(stack: ExitStack) -> Ways:
    """Our service, a gateway in front of it, and the most that these clients can get."""
    floor = stack.enter_context(bare.running())
    service = stack.enter_context(served.running_script(Path(noop.__file__)))
    gateway = stack.enter_context(
        served.running("diptych_gateway", models=f"{noop.MODEL_ID}={service.address}", http_port="")
    )
    message = payload.request_with(payload.picture(1_000_000), noop.MODEL_ID)
    request = load.Request.of(message)
    return {
        _BARE: (lambda: load.grpc_client(floor, bare.METHOD), request),
        _OURS: (lambda: load.grpc_client(service.address, bare.METHOD), request),
        _THROUGH: (lambda: load.grpc_client(gateway.address, bare.METHOD), request),
    }


def measure(
    ways: Ways, *, rounds: int, clients: int, seconds: float
) -> dict[str, list[load.Taken]]:
    """Every server in turn, round by round; the first round warms up."""
    taken: dict[str, list[load.Taken]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, (opens, request) in ways.items():
            got = load.run(opens, request, clients=clients, seconds=seconds if turn else 1)
            if turn:
                taken[name].append(got)
    return taken


def rows(
    peer: str, against: str, taken: dict[str, list[load.Taken]], clients: int, *, judged: bool
) -> list[machine.Row]:
    """What one peer and we came to: requests per second, and the slowest in a hundred."""
    found = []
    for name in (_OURS, _THROUGH):
        bounds = judged and name == _OURS
        ours, theirs = ([one.per_s for one in taken[way]] for way in (name, peer))
        found.append(
            machine.row(
                f"requests per second, {name}, {clients} clients, 1 MB",
                against,
                ours=ours,
                theirs=theirs,
                unit="1/s",
                ratios=[a / b for a, b in zip(ours, theirs, strict=True)],
                floor=1.5 if bounds else None,
                aim=2.0 if bounds else None,
            )
        )
        ours, theirs = (
            [machine.percentile(one.each, 0.99) * 1e3 for one in taken[way]] for way in (name, peer)
        )
        found.append(
            machine.row(
                f"99th percentile, {name}, {clients} clients, 1 MB",
                against,
                ours=ours,
                theirs=theirs,
                unit="ms",
                ratios=[a / b for a, b in zip(ours, theirs, strict=True)],
                bound="at most",
                floor=0.7 if bounds else None,
                aim=0.5 if bounds else None,
            )
        )
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--peers", default="", help="names, with commas; all of them by default")
    args = parser.parse_args()
    names = [name for name in args.peers.split(",") if name]
    known = [peer.name for peer in peer_servers.PEERS]
    if unknown := [name for name in names if name not in known]:
        parser.error(f"--peers: expected some of {', '.join(known)}, got {', '.join(unknown)}")
    peers = [peer for peer in peer_servers.PEERS if not names or peer.name in names]
    print(machine.describe())
    absent: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        ways = start_ours(stack)
        for peer in peers:
            try:
                ways[peer.name] = stack.enter_context(peer_servers.running(peer))
            except peer_servers.AbsentError as error:
                absent[peer.name] = str(error)
        taken = measure(ways, rounds=args.rounds, clients=args.clients, seconds=args.seconds)
    found = []
    for peer in peers:
        if peer.name in absent:
            what, against = f"requests per second, {_OURS}", f"{peer.name} ({peer.protocol})"
            found.append(machine.Row(what, against, quality=absent[peer.name]))
        else:
            against = f"{peer.name} ({peer.protocol})"
            judged = peer.protocol == "gRPC"
            found += rows(peer.name, against, taken, args.clients, judged=judged)
    found += rows(_BARE, _BARE, taken, args.clients, judged=False)
    for name, runs in taken.items():
        per_s = statistics.median(one.per_s for one in runs)
        print(f"{name}: {per_s:.0f} requests per second")
    machine.print_rows(found)
    notes = [f"{peer.name}, {' '.join(peer.requirements)}: {peer.allowed}." for peer in peers]
    machine.keep(
        "peers", {k: [vars(t) for t in v] for k, v in taken.items()}, rows=found, notes=notes
    )


if __name__ == "__main__":
    main()
