"""Looks for inputs that cost the most: processor, memory, and how long they stop everybody else.

Mutants of the dearest inputs found so far are tried next, so the search climbs towards cost where
other fuzzers climb towards coverage. What is above a floor goes to ``.fuzz/`` and fails the run.

    make fuzz INPUTS=50000, or
    python -m harness.fuzz [--inputs N] [--seconds S] [--seed N] [TARGET ...]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.figures import Figure, report
from harness.fuzz_targets import PLANTED, TARGETS, Cost, MiB, Target, framed

CORPUS = Path(__file__).resolve().parents[2] / ".fuzz"
MAX_BYTES = 32 * MiB
CPU_S, MEMORY, STALL_S = 1.0, 200 * MiB, 0.05
_PIXEL_S, _PIXEL_BYTES = 1.2e-7, 16
"""What a pixel of an accepted image may cost: work units count it."""
_KEPT = 24
_TRIES, _SURE = 4, 3.0
_LARGE_SHARE = 0.02
_QUICK_S, _SLOW_SHARE = 0.02, 0.03
"""Inputs that take longer are changed this rarely: else they would take all the time there is."""
_TOKENS = (
    *(b"[", b"]", b"{", b"}", b",", b"[1],", b'"', b"\\u0000", b"1e999", b"-0", b"null", b"\xff"),
    *(
        b"\xff\xda",
        b"\xff\xc4",
        b"\xff\xfe\0\2",
        b"IDAT",
        b"zTXt",
        b"\0\0\0\0teSt",
        b"VP8X",
        b"\x22",
    ),
    *(b"\x0a\x00", b"\x22\x00", b"\x7b\x7c", b"\x80" * 9 + b"\1", b"\0" * 8, b"\x7f\xff\xff\xff"),
)


@dataclass(order=True)
class Dear:
    """An input and its cost as a share of the floors."""

    score: float
    data: bytes = field(compare=False)
    cost: Cost = field(compare=False)
    recipe: str = field(compare=False)


def score(cost: Cost) -> float:
    """The largest share of a floor that an input takes; above 1 it is over one."""
    megapixels_s, megapixels = cost.pixels * _PIXEL_S, cost.pixels * _PIXEL_BYTES
    return max(
        (cost.cpu_s - megapixels_s) / CPU_S,
        (cost.peak - megapixels) / MEMORY,
        0.0 if cost.pixels else cost.stall_s / STALL_S,
    )


class Worker:
    """The process that measures; started again when an input ends it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def measure(self, number: int, data: bytes) -> Cost:
        """What an input costs; one that ends the process is dearer than all floors."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "harness.fuzz_targets"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(framed(number, data))
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if line:
            return Cost(**json.loads(line))
        code = self._process.wait()
        self._process = None
        return Cost(1000.0, 0, 1000.0, 0, f"ended the process with {code}")

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


class Search:
    """One target: its dearest inputs, and how the next one is made."""

    def __init__(self, number: int, target: Target, worker: Worker, chance: random.Random) -> None:
        self.target = target
        self.dearest: list[Dear] = []
        self._quick: list[Dear] = []
        self.tried = 0
        self.unexpected: dict[str, Dear] = {}
        self._number = number
        self._worker = worker
        self._chance = chance
        self._small: list[bytes] = []

    def sow(self) -> None:
        """Try every seed, the first twice: what is loaded late counts for nobody."""
        for index, seed in enumerate(self.target.seeds()):
            if index == 0:
                self._worker.measure(self._number, seed)
            if len(seed) < 100_000:
                self._small.append(seed)
            self.take(seed[:MAX_BYTES], f"seed {index}")

    def take(self, data: bytes, recipe: str) -> None:
        """Measure one input and keep it if it is dear."""
        cost = self._worker.measure(self._number, data)
        self.tried += 1
        for _ in range(_TRIES):
            if not 1 < score(cost) < _SURE or cost.outcome.startswith("ended"):
                break
            # A busy machine makes things dear once, not each time.
            cost = _cheaper(cost, self._worker.measure(self._number, data))
        dear = Dear(score(cost), data, cost, recipe)
        if cost.outcome.startswith(("unexpected", "ended")):
            self.unexpected.setdefault(cost.outcome, dear)
        for kept in (self.dearest, self._quick) if cost.cpu_s < _QUICK_S else (self.dearest,):
            kept.append(dear)
            kept.sort(reverse=True)
            del kept[_KEPT:]

    def step(self) -> None:
        """Try a mutant of a dear input, or of a plain one."""
        chance = self._chance
        if chance.random() < 0.6 or not self._small:
            slow = not self._quick or chance.random() < _SLOW_SHARE
            parent = chance.choice(self.dearest if slow else self._quick)
            data, recipe = parent.data, parent.recipe
        else:
            index = chance.randrange(len(self._small))
            data, recipe = self._small[index], f"plain {index}"
        large = chance.random() < _LARGE_SHARE
        if len(data) > MiB and not large:
            data, recipe = data[: chance.randrange(200_000)], f"{recipe}, its beginning"
        for _ in range(chance.choice((1, 1, 2, 3, 6))):
            data, how = mutate(chance, data, MAX_BYTES if large else 300_000)
            recipe = f"{recipe}, {how}"
        self.take(data, recipe[-400:])


def _cheaper(first: Cost, second: Cost) -> Cost:
    return Cost(
        min(first.cpu_s, second.cpu_s),
        min(first.peak, second.peak),
        min(first.stall_s, second.stall_s),
        max(first.pixels, second.pixels),
        second.outcome,
    )


def mutate(chance: random.Random, data: bytes, most: int) -> tuple[bytes, str]:
    """Change an input in one way; gives it, at most so long, and how it was changed."""
    at = chance.randrange(len(data) + 1)
    to = min(at + chance.choice((1, 2, 4, 12, 16, 64, 500, 5000)), len(data))
    token = chance.choice(_TOKENS)
    room = max(most - len(data), 0)
    kind = chance.randrange(8)
    if kind <= 1 and data[at:to]:  # many of one piece: what is linear becomes visible
        times = min(chance.choice((2, 10, 100, 10_000, 10**7)), room // (to - at))
        return data[:at] + data[at:to] * times + data[at:], f"{times} times [{at}:{to}]"
    if kind == 2:
        times = min(chance.choice((1, 10, 1000, 10**7)), room // len(token))
        return data[:at] + token * times + data[at:], f"{times} times {token!r} at {at}"
    if kind == 3:
        return data[:at] + data[to:], f"without [{at}:{to}]"
    if kind == 4 and data[at:]:
        value = chance.choice((0, 1, 0x7F, 0x80, 0xFF, data[at] ^ (1 << chance.randrange(8))))
        return data[:at] + bytes([value]) + data[at + 1 :], f"byte {at} is {value}"
    if kind == 5:
        number = chance.choice((0, 1, 65535, 2**31 - 1, 2**32 - 1, len(data)))
        raw = number.to_bytes(4, chance.choice(("big", "little")))
        return data[:at] + raw + data[at + 4 :], f"4 bytes of {number} at {at}"
    if kind == 6:
        return data[:at], f"[:{at}]"
    return (data[:at] + token + data[at:])[:most], f"{token!r} at {at}"


def search(
    targets: Sequence[Target], inputs: int, seconds: float, seed: int, worker: Worker
) -> list[Search]:
    """Try so many inputs, or as many as there is time for, fairly over the targets."""
    everything = (*TARGETS, PLANTED)
    searches = [
        Search(everything.index(target), target, worker, random.Random(f"{seed}:{target.name}"))
        for target in targets
    ]
    began = time.monotonic()
    for one in searches:
        one.sow()
    sown, seeds = time.monotonic(), sum(one.tried for one in searches)
    tried = seeds
    while tried < inputs and time.monotonic() < began + seconds:
        searches[tried % len(searches)].step()
        tried += 1
    rate = (tried - seeds) / (time.monotonic() - sown)
    print(f"{seeds} seeds in {sown - began:.0f} s, then {rate:.0f} inputs a second")
    return searches


def keep(search_of: Search, dear: Dear) -> Path:
    """Write an input to the corpus."""
    CORPUS.mkdir(exist_ok=True)
    digest = hashlib.sha256(dear.data).hexdigest()[:12]
    path = CORPUS / f"{search_of.target.name}-{digest}.bin"
    path.write_bytes(dear.data)
    return path


def show(found: Search) -> None:
    """Print the dearest inputs of a target, and keep those above a floor."""
    print(f"{found.target.name}: {found.tried} inputs")
    listed = [*found.dearest[:5], *found.unexpected.values()]
    for dear in listed:
        cost = dear.cost
        print(
            f"  {dear.score:6.2f} of a floor: {cost.cpu_s:.3f} CPU s, {cost.peak / MiB:.0f} MiB, "
            f"stall {cost.stall_s * 1e3:.0f} ms, {len(dear.data)} bytes, {cost.outcome}"
        )
        if dear.score > 1 or dear in found.unexpected.values():
            print(f"         {dear.recipe}; kept as {keep(found, dear).name}")


def main() -> int:
    """Search as the command line says, print the dearest and compare them with the floors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help=", ".join(one.name for one in TARGETS))
    parser.add_argument("--inputs", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chosen = [one for one in TARGETS if one.name in (arguments.targets or [one.name])]
    worker = Worker()
    try:
        found = search(chosen, arguments.inputs, arguments.seconds, arguments.seed, worker)
    finally:
        worker.close()
    for one in found:
        show(one)
    best = [one.dearest[0] for one in found]
    plain = [dear for one in found for dear in one.dearest if not dear.cost.pixels]
    worst = max(best).score
    return report(
        [
            Figure("dearest refused input: CPU", max(d.cost.cpu_s for d in plain), CPU_S, "s"),
            Figure("memory", max(d.cost.peak for d in plain) / MiB, MEMORY / MiB, "MiB"),
            Figure("stall", max(d.cost.stall_s for d in plain) * 1e3, STALL_S * 1e3, "ms"),
            Figure("dearest of all, accepted ones less their pixels", worst, 1.0, "of a floor"),
            Figure("kinds of unexpected ends", sum(len(one.unexpected) for one in found), 0),
            Figure("inputs", sum(one.tried for one in found), arguments.inputs, at_least=True),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
