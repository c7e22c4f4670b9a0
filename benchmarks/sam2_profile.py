"""Where the time of SAM 2 goes, and how much quicker than stock this processor lets it be.

    python benchmarks/sam2_profile.py [--size tiny] [--rounds 5] [--threads 2]
        [--tiers exact,fast]

The encoder, and a frame of a video with one object once memories are full. Each round runs stock,
then each tier with every operation of torch timed and the multiplications of its products counted,
then large products alone, which show what the processor reaches. On a CPU only.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import devices
import machine
import sam2_models
import sam2_video
import torch
from operations import KINDS, PRODUCTS, Operations
from sam2.sam2_image_predictor import SAM2ImagePredictor
from tiers import Chosen

from diptych_runtime.engine import Tier
from diptych_sam2.network.image import Network
from diptych_sam2.network.quick.attention import Product

_LARGE = ((4096, 384, 1536), (4096, 1024, 1024), (8192, 768, 768))
"""Rows, inputs and outputs of the products that stand for what a processor reaches."""
_COLUMNS = (
    *("what", "stock", "ours", *(f"of it {kind}" for kind in KINDS), "all else"),
    *("products", "their rate", "of the best", "at most"),
)
_NOTE = (
    "Products are those of matrices, convolutions among them, and attention where one kernel does "
    "all of it. Their rate is in billions of multiplications and additions a second; the best is "
    "what large ones alone reach, weights packed where that is quicker. *At most* is how much "
    "quicker than stock this would be if its products ran at the best rate and all else took no "
    "time."
)


@dataclass
class _Times:
    """Of one tier, a value for each round; seconds, unless said otherwise."""

    stock: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    kinds: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    flop: int = 0
    best: list[float] = field(default_factory=list)
    """Operations a second of large products."""


def best_rate(tier: Tier) -> float:
    """Operations a second of the quickest large product."""
    dtype = torch.bfloat16 if tier is Tier.FAST else torch.float32
    rates = []
    for rows, inputs, outputs in _LARGE:
        product = Product(torch.randn(outputs, inputs, dtype=dtype), None)
        given = torch.randn(rows, inputs, dtype=dtype)
        product(given)
        started = time.perf_counter()
        product(given)
        rates.append(2 * rows * inputs * outputs / (time.perf_counter() - started))
    return max(rates)


def measure(
    stock: Callable[[], object],
    tiers: Mapping[str, Callable[[], object]],
    rounds: int,
    after: Callable[[], object] = lambda: None,
) -> dict[str, _Times]:
    """By tier; the first round warms up."""
    found = {tier: _Times() for tier in tiers}
    for number in range(rounds + 1):
        started = time.perf_counter()
        stock()
        taken = time.perf_counter() - started
        for tier, ours in tiers.items():
            with Operations() as operations:
                ours()
            if number:
                times = found[tier]
                times.stock.append(taken)
                times.ours.append(operations.elapsed_s)
                times.flop = operations.flop
                times.best.append(best_rate(Tier(tier)))
                for kind, spent in operations.seconds.items():
                    times.kinds[kind].append(spent)
        after()
    return found


def cells(what: str, times: _Times) -> list[str]:
    """A line of the table; medians of the rounds."""
    stock, ours, best = (statistics.median(one) for one in (times.stock, times.ours, times.best))
    spent = {kind: statistics.median(seconds) for kind, seconds in times.kinds.items()}
    rate = times.flop / spent[PRODUCTS]
    return [
        what,
        f"{stock * 1e3:,.0f} ms",
        f"{ours * 1e3:,.0f} ms",
        *(f"{seconds / ours:.0%}" for seconds in spent.values()),
        f"{1 - sum(spent.values()) / ours:.0%}",
        f"{times.flop / 1e9:,.0f} billion",
        f"{rate / 1e9:,.0f}/s",
        f"{rate / best:.0%} of {best / 1e9:,.0f}/s",
        f"{stock * best / times.flop:.2f}x",
    ]


def encoder(size: str, rounds: int, chosen: Chosen) -> dict[str, _Times]:
    """``set_image`` of the package, and what stands for it here."""
    picture = sam2_models.photograph()
    predictor = SAM2ImagePredictor(sam2_models.stock(size))
    parts = sam2_models.ours(size, devices.CPU, chosen)
    tiers = {tier: partial(Network(made).encode, picture) for tier, made in parts.items()}
    return measure(partial(predictor.set_image, picture), tiers, rounds)


def video(size: str, rounds: int, chosen: Chosen) -> dict[str, _Times]:
    """A frame with one object."""
    with sam2_video.following(size, 1, devices.CPU, chosen) as (stock, tiers):
        turns = sam2_video.Rounds(stock, tiers)
        follow = {tier: partial(turns.follow, tier) for tier in tiers}
        return measure(turns.follow_stock, follow, rounds, turns.over)


def main() -> None:
    """Measure and print."""
    args = sam2_models.parser(__doc__, rounds=5).parse_args()
    device, chosen = sam2_models.prepare(args)
    if device.type != "cpu":
        raise SystemExit(f"--device {device}: operations are timed on a CPU only")
    found = {"set_image": encoder, "video, 1 object, a frame": video}
    rows, figures = [], {}
    for what, look in found.items():
        for tier, times in look(args.size, args.rounds, chosen).items():
            rows.append(cells(f"SAM 2.1 {args.size}, {what}, {tier}", times))
            figures[f"{what}, {tier}"] = vars(times)
            print("; ".join(map(": ".join, zip(_COLUMNS, rows[-1], strict=True))), flush=True)
    table = machine.Table(_COLUMNS, rows)
    kept = {"threads": args.threads, **figures}
    notes = [_NOTE, *chosen.notes]
    machine.keep(f"sam2_profile_{args.size}", kept, tables=[table], notes=notes)


if __name__ == "__main__":
    main()
